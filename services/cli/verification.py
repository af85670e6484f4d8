"""Verifies an installation: audit logs, checkpoints from outside, inputs and scores."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from services.cli.evidence import campaign_ids, exporting_services, write_archive
from services.cli.installation import build
from shared.foundation.settings import Settings
from shared.messaging.checkpoint_topic import read_published_checkpoints
from shared.runtime.service import SNAPSHOT, Service
from shared.security.audit import (
    SIGNATURE_BYTES,
    Checkpoint,
    EntryProof,
    Verifier,
    entry_from_row,
)
from shared.security.daily_checkpoints import DailyLine, LineOutcome, check_line
from shared.security.log_verification import verify_log
from shared.storage.schema import SERVICES
from shared.verifier.findings import Difference, Finding, Remark
from shared.verifier.notes import MalformedNote, SignedNote, read_key, read_note, read_notes
from shared.verifier.verify import verify_archive

OnProgress = Callable[[str], None]
WITNESS_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Outside:
    """What others have seen of the logs, and where that was read."""

    notes: Sequence[SignedNote]
    source: str


async def verify_installation(
    settings: Settings,
    outside: Outside | None,
    *,
    on_progress: OnProgress,
    lines: Sequence[DailyLine] = (),
) -> AsyncIterator[Finding]:
    """Yield everything that is wrong with an installation, and what was not checked.

    `lines` are daily lines from paper, which the logs are compared with.
    """
    if outside is None and settings.witness_url:
        outside = await ask_witness(settings.witness_url)
    async for finding in _verify_logs(settings, outside, on_progress):
        yield finding
    for line in lines:
        for found in await _verify_line(line, settings):
            yield found
    notes = outside.notes if outside else ()
    async with exporting_services(settings) as services:
        keys = [line for each in services.values() for line in trusted_keys(each)]
        for campaign_id in await campaign_ids(services["scoring"]):
            on_progress(f"campaign {campaign_id}")
            for found in await _verify_campaign(services, campaign_id, notes, keys):
                yield found


def trusted_keys(service: Service) -> list[str]:
    """Return the public keys of a service's log."""
    return [line.split(" ")[0] for line in service.signer.verifier.key_lines()]


def kept_in_file(file: Path) -> Outside:
    """Return the checkpoints in a file. Raises MalformedNote or OSError."""
    return Outside(read_notes(file.read_text(encoding="utf-8")), str(file))


async def ask_kafka(settings: Settings) -> Outside:
    """Return every checkpoint that the services published to Kafka. Raises MalformedNote."""
    notes = [read_note(note) for note in await read_published_checkpoints(settings)]
    return Outside(notes, "Kafka's topic checkpoints")


async def ask_witness(url: str) -> Outside | None:
    """Return the newest checkpoint of every log that the witness has cosigned; None if silent."""
    try:
        async with httpx2.AsyncClient(timeout=WITNESS_TIMEOUT_SECONDS) as client:
            key = read_key((await client.get(f"{url}/key")).text)
            answers = [
                await client.get(f"{url}/checkpoint", params={"origin": f"fengping/{service}"})
                for service in SERVICES
            ]
    except (httpx2.HTTPError, MalformedNote):
        return None
    notes = [read_note(answer.text) for answer in answers if answer.status_code == httpx2.codes.OK]
    return Outside([note for note in notes if note.is_signed_by(key)], f"the witness at {url}")


# ── audit logs ────────────────────────────────────────────────────────────────────────────────────


async def _verify_logs(
    settings: Settings, outside: Outside | None, on_progress: OnProgress
) -> AsyncIterator[Finding]:
    if outside is None:
        yield Remark(
            "no checkpoint from outside was compared: a log that was cut or rebuilt by someone "
            "with its key looks complete; use --checkpoints FILE or run a witness"
        )
    for name in SERVICES:
        service = build(name, settings)
        try:
            for finding in await _verify_log(service, outside, on_progress):
                yield finding
        finally:
            await service.close()


async def _verify_log(
    service: Service, outside: Outside | None, on_progress: OnProgress
) -> list[Finding]:
    verifier = service.signer.verifier
    kept = list(_kept_checkpoints(verifier, outside))
    findings: list[Finding] = []

    def report(entries: int) -> None:
        on_progress(f"audit log of {service.name}: {entries} entries")

    # One snapshot: the log is read page by page, and the service may go on sealing.
    async with service.database.transaction(setup_sql=SNAPSHOT) as tx:
        violation = await verify_log(tx, verifier, kept, on_progress=report)
        newest = await tx.fetchval("select coalesce(max(size), 0) from checkpoints")
    if outside is not None and newest and not kept:
        findings.append(Difference("checkpoints", verifier.origin, f"is not in {outside.source}"))
    if violation is not None:
        findings.append(Difference("audit log", verifier.origin, violation.sentence))
    elif kept and newest > (size := max(one.size for one in kept)):
        findings.append(
            Remark(f"{verifier.origin}: nobody outside has seen {newest - size} entries")
        )
    return findings


async def _verify_line(line: DailyLine, settings: Settings) -> list[Finding]:
    if line.service not in SERVICES:
        return [Difference("daily line", line.text, "names no service")]
    service = build(line.service, settings)
    try:
        async with service.database.transaction() as tx:
            outcome = await check_line(tx, line)
    finally:
        await service.close()
    subject = f"{line.service} {line.day} {line.size}"
    if outcome is LineOutcome.AGREES:
        return [Remark(f"daily line {subject}: agrees")]
    return [Difference("daily line", subject, str(outcome))]


async def registration_proof(settings: Settings, number: str) -> tuple[bool, str]:
    """Return whether the log proves the registration of a complaint, and a sentence about it."""
    service = build("intake", settings)
    try:
        verifier = service.signer.verifier
        async with service.database.transaction() as tx:
            rows = await tx.fetch(_REGISTRATION, number)
    finally:
        await service.close()
    if not rows:
        return False, f"{number}: the audit log has no registration of this number"
    entry = entry_from_row(rows[0])
    if entry.position is None:
        return False, f"{number}: registered, and not sealed yet; try again in a minute"
    if not verifier.verify_entry(entry, entry.position):
        return False, f"{number}: its entry is not the one that was sealed at its place"
    size = EntryProof.decode(entry.proof or b"").size
    return True, (
        f"{number}: entry {entry.position + 1} of the log {verifier.origin}, "
        f"leaf {entry.computed_hash().hex()}, included in the signed checkpoint of {size} entries"
    )


_REGISTRATION: Final = """
select at, actor, action, subject, details::text as details, position, leaf_hash, proof
from audit where action = 'complaint.registered' and details ->> 'number' = $1
order by id limit 1
"""


def _kept_checkpoints(verifier: Verifier, outside: Outside | None) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a log from outside, those with a wrong signature too."""
    for note in outside.notes if outside else ():
        if note.origin == verifier.origin:
            own = [rest for name, _, rest in note.signatures if name == note.origin]
            signature = own[0] if own else bytes(SIGNATURE_BYTES)
            yield Checkpoint(note.origin, note.size, note.root, signature)


# ── campaigns ─────────────────────────────────────────────────────────────────────────────────────


async def _verify_campaign(
    services: dict[str, Service],
    campaign_id: str,
    notes: Sequence[SignedNote],
    keys: Sequence[str],
) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="fengping-verify-") as folder:
        archive = Path(folder) / "evidence.zip"
        await write_archive(services, campaign_id, archive)

        def verify() -> list[Finding]:
            return list(verify_archive([archive], checkpoints=notes, trusted_keys=keys))

        return await asyncio.to_thread(verify)
