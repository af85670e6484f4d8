"""回避: the bodies that may not learn of a case.

The accused of a 举报 is told nothing, and what its people were told before they became the
accused's disappears: see `services.notify.store.inbox` for what they may read.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from shared.storage.transaction import Transaction

HIDES: Final = "exists (select from case_exclusions x where x.subject_id = {n}.subject_id and {s})"
_OF_UNIT: Final = """(
  s.unit_id = any(x.unit_ids)
  or s.unit_id in (select u.heir_id from units u where u.id = any(x.unit_ids))
)"""
HIDDEN_FROM_SUBSCRIPTION: Final = HIDES.format(n="g", s=_OF_UNIT)
"""SQL: whether notification `g` may not reach subscription `s`."""
HIDDEN_FROM_READER: Final = HIDES.format(n="n", s="x.unit_ids && {units}")
"""SQL: whether notification `n` may not be read by people who act for `{units}`."""

_REPLACE: Final = """
with given as (
  select * from json_to_recordset($1::json) as g (subject_id text, unit_ids text[])
)
insert into case_exclusions (subject_id, unit_ids) select subject_id, unit_ids from given
on conflict (subject_id) do update set unit_ids = excluded.unit_ids
"""
_WITHDRAW_DELIVERIES: Final = f"""
update deliveries d set state = 'withdrawn', ended_at = $2
from notifications g, subscriptions s
where g.id = d.notification_id and s.id = d.subscription_id and d.state = 'waiting'
  and g.subject_id = any($1::text[]) and {HIDDEN_FROM_SUBSCRIPTION}
"""


async def replace(tx: Transaction, excluded: Mapping[str, Sequence[str]]) -> None:
    """Store the excluded bodies by subject, and withdraw what still waits to be sent to them."""
    rows = [{"subject_id": subject, "unit_ids": ids} for subject, ids in excluded.items()]
    await tx.run(_REPLACE, msgspec.json.encode(rows).decode())
    await tx.run(_WITHDRAW_DELIVERIES, list(excluded), tx.now)
