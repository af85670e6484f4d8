"""What intake exports, so that others can check scores: the ballots as it stores them."""

from collections.abc import AsyncIterator
from typing import Final

from shared.security.evidence import ArchiveFile, Line, json_line, rows_of
from shared.storage.transaction import Transaction

_BALLOTS: Final = """
select b.id, t.instrument, t."group", b.released_hour, encode(b.answers, 'hex')
from ballots b left join token_batches t on t.id = b.batch_id
where b.campaign_id = {campaign} order by b.id
"""
_VOIDED: Final = """
select ballot_id, event_id from voided_ballots where campaign_id = {campaign} order by ballot_id
"""


async def evidence_of(tx: Transaction, campaign_id: str) -> list[ArchiveFile]:
    """Return intake's own files of an evidence archive."""
    return [
        ArchiveFile("ballots.jsonl", _lines(tx, _BALLOTS, campaign_id)),
        ArchiveFile("voided.jsonl", _lines(tx, _VOIDED, campaign_id)),
    ]


async def _lines(
    tx: Transaction,
    query: str,
    campaign_id: str,
) -> AsyncIterator[Line]:
    async for row in rows_of(tx, query, campaign=campaign_id):
        yield json_line(list(row))
