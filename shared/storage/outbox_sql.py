"""The statement that ends a transaction: audit entries, versions of aggregates, outbox rows."""

from shared.storage.schema import OUTBOX_SHARDS

_PROGRESS = """
advanced_versions as (
  insert into aggregate_versions (topic, key, version)
  select * from unnest($14::text[], $15::text[], $16::bigint[])
  on conflict (topic, key) do update set version = excluded.version
), advanced_checkpoints as (
  insert into log_checkpoints (kind, topic, partition, log_offset, event_id)
  select 'consumed', * from unnest($17::text[], $18::int[], $19::bigint[], $20::uuid[])
  on conflict (kind, topic, partition) do update
  set log_offset = excluded.log_offset, event_id = excluded.event_id, at = clock_timestamp()
),
"""

# The order matters: `locked` touches every aggregate before the outbox draws a single id (the
# window functions sort, so they wait for it). A transaction that draws first and locks later was
# measured to invert events of one aggregate.
_STATEMENT = """
with {progress} audit_entry as (
  insert into audit (at, actor, action, subject, details)
  select $9, * from unnest($10::text[], $11::text[], $12::text[], $13::jsonb[])
), e as (
  select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[],
                       $6::timestamptz[], $7::boolean[], $8::text[])
    with ordinality as t (event_id, topic, key, type, body, occurred_at, single, trace, n)
), locked as (
  insert into aggregates as a (topic, key, version)
  select topic, key, count(*) from e where not single group by topic, key order by topic, key
  on conflict (topic, key) do update set version = a.version + excluded.version
  returning topic, key, version
), numbered as (
  select e.*, l.version - count(*) over (partition by e.topic, e.key)
              + row_number() over (partition by e.topic, e.key order by n) as version
  from e left join locked l using (topic, key)
)
insert into outbox (event_id, topic, key, version, type, body, occurred_at, shard, trace)
select event_id, topic, key, coalesce(version, 1), type, body, occurred_at,
  abs(hashtext(key)::bigint) % {shards}, trace
from numbered order by n
"""

INSERT_EVENTS = _STATEMENT.format(progress="", shards=OUTBOX_SHARDS)
INSERT_EVENTS_AND_PROGRESS = _STATEMENT.format(progress=_PROGRESS, shards=OUTBOX_SHARDS)
"""A consumer's transaction also stores how far it came, in the same round trip."""
