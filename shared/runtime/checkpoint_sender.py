"""Sends the checkpoints of an audit log out of the system: to a witness and to a file.

Whoever has the database and the signing key can rebuild a log, but not what others have seen of it.
The witness cosigns only what continues what it saw; the file is only ever appended to.
"""

import os
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from shared.foundation import telemetry
from shared.foundation.telemetry import log
from shared.security.audit import Checkpoint, Verifier
from shared.security.checkpoints import (
    UnknownSize,
    WitnessStep,
    cosigned_size,
    newest_checkpoint,
    next_step,
    seconds_behind,
    store_cosignature,
)
from shared.storage.connections import Database

WITNESS_TIMEOUT_SECONDS: Final = 10.0
LAST_BYTES: Final = 4_096
"""How much of the file's end is read to find what was appended last."""
FILE_MODE: Final = 0o640


class WitnessRefusal(Exception):
    """The witness did not cosign; the message is its answer."""


class WitnessUnreachable(Exception):
    """The witness did not answer."""


@dataclass(frozen=True, slots=True)
class CheckpointSender:
    """Sends the newest checkpoint of one log to those places that are set."""

    verifier: Verifier
    witness_url: str
    file: Path | None

    async def send(self, database: Database) -> bool:
        """Send what is new; return whether the witness is to be shown more."""
        if self.file is not None:
            async with database.transaction() as tx:
                newest = await newest_checkpoint(tx, self.verifier.origin)
            if newest is not None:
                self._append(self.file, newest)
        if not self.witness_url:
            return False
        more = await self._show_witness(database)
        await self._measure(database)
        return more

    # ── file ──────────────────────────────────────────────────────────────────────────────────────

    def _append(self, file: Path, checkpoint: Checkpoint) -> None:
        """Append a checkpoint unless it is the last one of this log in the file."""
        note = self.verifier.note(checkpoint)
        if note in _end_of(file):
            return
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(note + "\n")
            opened.flush()
            os.fsync(opened.fileno())

    # ── witness ───────────────────────────────────────────────────────────────────────────────────

    async def _show_witness(self, database: Database) -> bool:
        async with database.transaction() as tx:
            step = await next_step(tx, self.verifier.origin, await cosigned_size(tx))
        if step is None:
            return False
        try:
            cosigned = await self._submit(database, step)
        except WitnessRefusal as refusal:
            _report(database.schema, str(refusal))
            return False
        except WitnessUnreachable:
            log.warning("witness does not answer", service=database.schema)
            return False
        telemetry.witness_refusing.labels(database.schema).set(0)
        if cosigned is not None:
            async with database.transaction() as tx:
                await store_cosignature(tx, *cosigned)
        return cosigned is not None

    async def _measure(self, database: Database) -> None:
        async with database.transaction() as tx:
            seconds = await seconds_behind(tx)
        telemetry.witness_behind_seconds.labels(database.schema).set(seconds)

    async def _submit(self, database: Database, step: WitnessStep) -> tuple[int, str] | None:
        """Submit a step, from the size that the witness names if it has seen another.

        Returns the size and the cosignature, or None if another process was faster. Raises
        WitnessRefusal or WitnessUnreachable.
        """
        answer = await self._post(step)
        if answer.status_code == httpx2.codes.CONFLICT:
            other = await self._step_from(database, answer.text)
            if other is None:
                return None
            step = other
            answer = await self._post(step)
        if answer.status_code != httpx2.codes.OK:
            raise WitnessRefusal(f"{answer.status_code} {answer.text.strip()[:200]}")
        return step.checkpoint.size, answer.text

    async def _step_from(self, database: Database, size: str) -> WitnessStep | None:
        try:
            async with database.transaction() as tx:
                return await next_step(tx, self.verifier.origin, int(size))
        except (ValueError, UnknownSize) as error:
            sentence = f"it has seen {size.strip()} entries, which this log does not have"
            raise WitnessRefusal(sentence) from error

    async def _post(self, step: WitnessStep) -> httpx2.Response:
        proof = [b64encode(each).decode() for each in step.proof]
        head = "\n".join([f"old {step.old_size}", *proof])
        body = f"{head}\n\n{self.verifier.note(step.checkpoint)}"
        try:
            async with httpx2.AsyncClient(timeout=WITNESS_TIMEOUT_SECONDS) as client:
                url = f"{self.witness_url}/add-checkpoint"
                return await client.post(url, content=body.encode())
        except httpx2.HTTPError as error:
            raise WitnessUnreachable from error


def _report(service: str, reason: str) -> None:
    telemetry.witness_refusing.labels(service).set(1)
    log.error("witness does not cosign", service=service, reason=reason)


def _end_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - LAST_BYTES))
            return opened.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
