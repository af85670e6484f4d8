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


async def evidence_of(tx: Transaction, campaign_id: str) -> list[ArchiveFile]:
    """Return intake's own files of an evidence archive."""
    return [ArchiveFile("ballots.jsonl", _ballot_lines(tx, campaign_id))]


async def _ballot_lines(tx: Transaction, campaign_id: str) -> AsyncIterator[Line]:
    async for row in rows_of(tx, _BALLOTS, campaign=campaign_id):
        yield json_line(list(row))
