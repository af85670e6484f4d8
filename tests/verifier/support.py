"""An installation whose services have published, consumed and sealed a campaign."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

from services.cli.evidence import write_archive
from services.cli.installation import build
from services.intake.domain.token_batches import TokenUse
from services.intake.store import ballots as ballot_store
from services.intake.store import token_batches
from services.intake.store.ballots import ReleasedRow
from services.intake.store.token_batches import TokenBatch
from services.scoring.actions.decisions import decide
from services.scoring.domain.decisions import is_decidable
from shared.appraisal.ballots import pack
from shared.appraisal.events import (
    BallotsHeld,
    BallotsHoldEnded,
    BallotsReleased,
    BallotsVoided,
    Event,
    Meta,
    decode,
)
from shared.foundation.settings import Settings
from shared.runtime.service import Service
from shared.security import audit, log_sealing
from shared.security.input_seals import seal_inputs
from shared.verifier.findings import Difference, Finding
from shared.verifier.verify import verify_archive
from tests.conftest import on_server
from tests.scoring.factories import CAMPAIGN, OFFICE, UNITS, Scoring, j_scheme, random_events

SERVICES = ("intake", "casework", "scoring")
_CONSUMED = """
select event_id, type, key, version, occurred_at, topic, body from outbox
where topic in ('ballots', 'complaints', 'visits', 'cases') order by id
"""


class Installation:
    """The services of one database, called as their routes, jobs and consumers call them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.services = {name: build(name, settings) for name in SERVICES}
        self.scoring = Scoring(self.services["scoring"].database)
        self.batches: dict[tuple[str, str], TokenBatch] = {}
        self.consumed: set[UUID] = set()

    async def close(self) -> None:
        for service in self.services.values():
            await service.close()

    async def create_campaign(self) -> None:
        """Publish the campaign of the J rules."""
        async with self.services["intake"].database.transaction() as tx:
            await tx.run(
                "insert into campaigns (id, title, year, scheme, scheme_version, revision, "
                "published_at) values ($1, 'J', 2020, '{}', '1', 1, now())",
                CAMPAIGN,
            )
            await tx.run("select create_campaign_partitions($1)", CAMPAIGN)
        await self.scoring.publish()

    async def play(self, *seeds: int, events: int = 60) -> None:
        """Publish a course of events at their owners, consume them in scoring, and seal."""
        for seed in seeds:
            await self._publish(random_events(seed, events=events))
            await self.consume()
            await self.seal()

    async def decide(self) -> None:
        """Enter a decision into the ledger by hand."""
        rules = j_scheme().rules()
        rule_id = next(rule.id for rule in rules if is_decidable(j_scheme(), rule.id))
        async with self.scoring.transaction() as tx:
            await decide(
                tx,
                campaign_id=CAMPAIGN,
                unit_id=UNITS[0].unit_id,
                rule_id=rule_id,
                grounds="省委通报",
                document="吉纪通〔2020〕1 号",
                by=OFFICE,
            )
        await self.scoring.rescore_pending()

    async def void(self, ballots: int = 12, *, by_one: bool = False, decided: bool = True) -> None:
        """Two people decide that some released ballots are void."""
        proposer = uuid4()
        async with self.services["intake"].database.transaction() as tx:
            rows = await tx.fetch(
                "select id from ballots where id not in (select ballot_id from voided_ballots) "
                "order by id limit $1",
                ballots,
            )
            event_id = uuid4()
            decision = {
                "integrity_event_id": event_id,
                "campaign_id": CAMPAIGN,
                "reason": "现场核对发放登记，确认由同一人代填",
                "proposed_by": proposer,
                "decided_by": proposer if by_one else uuid4(),
            }
            await tx.run(
                "insert into integrity_events (id, kind, campaign_id, batch_id, ballots, evidence, "
                "raised_at, verdict, reason, decided_at) select $1, 'burst', $2, id, $3, '{}', "
                "now(), 'void', '', now() from token_batches limit 1",
                event_id,
                CAMPAIGN,
                ballots,
            )
            await tx.run(
                "insert into voided_ballots (campaign_id, ballot_id, event_id) "
                "select $1, id, $2 from unnest($3::uuid[]) as t (id)",
                CAMPAIGN,
                event_id,
                [row["id"] for row in rows],
            )
            tx.publish(
                BallotsVoided(
                    occurred_at=tx.now,
                    instrument="cities",
                    group="city_units",
                    kind="burst",
                    ballot_ids=tuple(row["id"] for row in rows),
                    **decision,
                )
            )
            if decided:
                tx.publish(BallotsHoldEnded(occurred_at=tx.now, verdict="void", **decision))
        await self.consume()

    async def _publish(self, events: Sequence[Event]) -> None:
        ballots = [event for event in events if isinstance(event, BallotsReleased)]
        async with self.services["intake"].database.transaction() as tx:
            for event in ballots:
                batch = await self._batch(tx, event)
                rows = [
                    ReleasedRow(
                        CAMPAIGN, each.ballot_id, batch.id, pack(each.answers), event.occurred_at
                    )
                    for each in event.ballots
                ]
                await ballot_store.release(tx, rows, [])
                tx.publish(event)
            for event in events:
                if event.topic in ("complaints", "visits"):
                    tx.publish(event)
        async with self.services["casework"].database.transaction() as tx:
            for event in events:
                if event.topic == "cases":
                    tx.publish(event)

    async def _batch(self, tx, event: BallotsReleased) -> TokenBatch:
        key = (event.instrument, event.group)
        if key not in self.batches:
            batch = TokenBatch(
                id=uuid4(),
                campaign_id=CAMPAIGN,
                instrument=event.instrument,
                group=event.group,
                unit_id=None,
                use=TokenUse.ONE_USE,
                closes_on=date(2030, 1, 1),
            )
            await token_batches.add_batch(tx, batch, 0, by=OFFICE.id)
            tx.audit("tokens.requested", batch.id, str(OFFICE.id))
            self.batches[key] = batch
        return self.batches[key]

    async def consume(self) -> None:
        """Consume in scoring what the owners published since."""
        pairs = []
        for name in ("intake", "casework"):
            async with self.services[name].database.transaction() as tx:
                rows = await tx.fetch(_CONSUMED)
            pairs += [_pair(row, len(pairs)) for row in rows]
        new = [pair for pair in pairs if pair[1].event_id not in self.consumed]
        self.consumed |= {meta.event_id for _, meta in new}
        known = _ledger_types()
        await self.scoring.consume_batch([pair for pair in new if pair[1].type in known])
        await self.scoring.rescore_pending()

    async def seal(self) -> None:
        """Seal every input now, as the hourly job does, and the audit logs after it."""
        for service in self.services.values():
            await self._pretend_an_hour_has_passed(service.name)
            more = True
            while more:
                async with service.database.transaction(service.context) as tx:
                    more = await seal_inputs(tx, service.sealed_streams)
            await seal_log(service)

    async def _pretend_an_hour_has_passed(self, schema: str) -> None:
        sql = f"update {schema}.seal_rounds set sealed_to = sealed_to - interval '1 day'"
        await on_server(self.settings.database_url, sql)

    async def notes(self) -> str:
        """Return the newest checkpoint of every log as signed notes, as somebody outside has them."""
        notes = []
        for service in self.services.values():
            verifier = service.signer.verifier
            async with service.database.transaction() as tx:
                row = await tx.fetchrow(
                    "select size, root, signature from checkpoints order by size desc limit 1"
                )
            notes.append(verifier.note(audit.Checkpoint(verifier.origin, **row)))
        return "\n".join(notes)

    async def export(self, folder: Path) -> Path:
        archive = folder / "evidence.zip"
        await write_archive(self.services, CAMPAIGN, archive)
        return archive

    async def differences(self, folder: Path, **options) -> list[Difference]:
        findings = await self.findings(folder, **options)
        return [finding for finding in findings if isinstance(finding, Difference)]

    async def findings(self, folder: Path, **options) -> list[Finding]:
        archive = await self.export(folder)
        return await asyncio.to_thread(lambda: list(verify_archive([archive], **options)))


def _ledger_types() -> set[str]:
    from services.scoring.domain.ledger import LEDGER_EVENTS

    of_ballots = (BallotsReleased, BallotsHeld, BallotsVoided, BallotsHoldEnded)
    return {event.name for event in (*LEDGER_EVENTS, *of_ballots)}


def _pair(row, offset: int) -> tuple[Event, Meta]:
    meta = Meta(
        event_id=row["event_id"],
        type=row["type"],
        key=row["key"],
        version=row["version"],
        occurred_at=row["occurred_at"],
        topic=row["topic"],
        partition=0,
        offset=offset,
    )
    return decode(row["type"], row["body"]), meta


async def seal_log(service: Service) -> None:
    """Seal a service's audit log to its end."""
    sealed = True
    while sealed:
        async with service.database.transaction() as tx:
            sealed = await log_sealing.seal_log(tx, service.keys)
