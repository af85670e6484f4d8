"""Tables that every service's schema has besides its own."""

from sqlalchemy import MetaData
from sqlalchemy.orm import registry

SERVICES = ("intake", "casework", "scoring", "notify")
OUTBOX_SHARDS = 8
"""Fixed: outbox rows store the shard of their aggregate."""

AUDIT_DDL = """
create table audit (
  id bigint generated always as identity primary key,
  at timestamptz not null, actor text not null, action text not null, subject text not null,
  details jsonb not null,
  leaf_hash bytea, position bigint unique, proof bytea, sealed_at timestamptz,
  transaction_id xid8 not null default pg_current_xact_id(),
  check (num_nulls(leaf_hash, position, proof, sealed_at) in (0, 4))
);
create index audit_unsealed on audit (id) where position is null;
create index audit_of_transaction on audit (transaction_id) where position is null;
create index audit_of_subject on audit (subject, at);
create index audit_of_actor on audit (actor, at);
create index audit_by_time on audit (at, id);
create table checkpoints (
  size bigint primary key check (size > 0), root bytea not null, peaks bytea not null,
  signature bytea not null,
  at timestamptz not null default clock_timestamp()
);
create function audit_is_append_only() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or old.position is not null
      or (old.id, old.at, old.actor, old.action, old.subject, old.details)
      is distinct from (new.id, new.at, new.actor, new.action, new.subject, new.details) then
    raise exception 'audit rows are never changed or removed'
      using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger audit_is_append_only before update or delete on audit
  for each row execute function audit_is_append_only();
"""
"""Tables of every schema's own log. `position` counts sealed leaves from 0; `peaks` are the tree's,
32 bytes each. `transaction_id` lets triggers find the entries of a transaction (see
`shared.storage.audited`).
"""

SEALS_DDL = """
create table cosignatures (
  size bigint primary key, line text not null, at timestamptz not null default clock_timestamp()
);
create table seal_rounds (
  sequence bigint primary key check (sequence > 0), sealed_to timestamptz not null,
  outbox_id bigint not null, more boolean not null,
  sealed_at timestamptz not null default clock_timestamp()
);
create table input_seals (
  sequence bigint, stream text, items integer not null, root bytea not null, leaves bytea not null,
  chain bytea not null, primary key (stream, sequence)
);
create table sealed_inputs (
  item uuid, part smallint, stream text not null, sequence bigint not null,
  leaf_hash bytea not null, primary key (item, part)
);
create index sealed_inputs_of_seal on sealed_inputs (stream, sequence, leaf_hash);
"""
"""What `shared.security.input_seals` writes and nothing changes. `leaves` has 32 bytes for each
input; `outbox_id` is the last one that a round could see, and `more` that it left inputs unsealed.
`cosignatures` are the witness's signatures of checkpoints.
"""

APPROVALS_DDL = """
create table approvals (
  id uuid primary key, kind text not null, subject text not null, payload jsonb,
  basis text not null, facts jsonb not null, reason text not null,
  requested_by text not null, requester_name text not null,
  requested_at timestamptz not null, expires_at timestamptz not null,
  state text not null default 'pending'
    check (state in ('pending', 'approved', 'refused', 'withdrawn', 'expired')),
  decided_by text, decider_name text, decided_at timestamptz, decision_reason text,
  check ((state = 'pending') = (payload is not null)),
  check ((state = 'pending') = (num_nulls(decided_by, decided_at) = 2)),
  check (state not in ('approved', 'refused') or decided_by <> requested_by)
);
create unique index approvals_pending on approvals (kind, subject, requested_by)
  where state = 'pending';
create index approvals_overdue on approvals (expires_at) where state = 'pending';
create index approvals_of_requester on approvals (requested_by, kind, requested_at);
create index approvals_decided on approvals (kind, decided_at) where state <> 'pending';
create function approvals_are_decided_once() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' or old.state <> 'pending'
      or (old.id, old.kind, old.subject, old.basis, old.facts, old.reason, old.requested_by,
          old.requester_name, old.requested_at, old.expires_at)
      is distinct from (new.id, new.kind, new.subject, new.basis, new.facts, new.reason,
          new.requested_by, new.requester_name, new.requested_at, new.expires_at)
      or (new.payload is not null and old.payload is distinct from new.payload) then
    raise exception 'approvals are decided once and never changed'
      using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create trigger approvals_are_decided_once before update or delete on approvals
  for each row execute function approvals_are_decided_once();
"""
"""Requests for acts that two people must agree on (`shared.security.approvals`)."""

CORE_DDL = (
    f"""
create table outbox (
  id bigint generated always as identity primary key,
  event_id uuid not null, topic text not null, key text not null,
  version bigint not null check (version > 0), type text not null, body bytea not null, trace text,
  shard smallint not null check (shard between 0 and {OUTBOX_SHARDS - 1}),
  occurred_at timestamptz not null, created_at timestamptz not null default clock_timestamp(),
  published_at timestamptz, partition integer, log_offset bigint,
  unique (topic, key, version)
);
create index outbox_pending on outbox (id) where published_at is null;
create table aggregates (
  topic text, key text, version bigint not null, primary key (topic, key)
);

create table inbox (event_id uuid primary key, at timestamptz not null default clock_timestamp());
create table aggregate_versions (
  topic text, key text, version bigint not null, primary key (topic, key)
);
create table buffered_events (
  topic text, key text, version bigint, event_id uuid not null, type text not null,
  headers jsonb not null, body bytea not null,
  partition integer not null, log_offset bigint not null,
  buffered_at timestamptz not null default clock_timestamp(), resend_requested_at timestamptz,
  primary key (topic, key, version)
);
create table dead_letters (
  id bigint generated always as identity primary key,
  fingerprint bytea not null, topic text not null,
  partition integer not null, log_offset bigint not null,
  key bytea, body bytea, headers jsonb not null,
  event_id uuid, type text, aggregate text, version bigint,
  reason text not null, detail text not null, attempts integer not null,
  state text not null default 'pending' check (state in ('pending', 'replayed', 'discarded')),
  dead_lettered_at timestamptz not null default clock_timestamp(),
  resolved_at timestamptz, resolved_by text,
  unique (topic, fingerprint)
);
create index dead_letters_pending on dead_letters (topic, aggregate) where state = 'pending';
create table log_checkpoints (
  kind text check (kind in ('published', 'consumed')), topic text, partition integer,
  log_offset bigint not null, event_id uuid, at timestamptz not null default clock_timestamp(),
  primary key (kind, topic, partition)
);
create table clock_holds (
  id bigint generated always as identity primary key, drift_seconds double precision not null,
  held_at timestamptz not null default clock_timestamp(), released_at timestamptz, released_by text
);
create table key_checks (
  kind text, version integer, digest bytea not null,
  at timestamptz not null default clock_timestamp(), primary key (kind, version)
);
create table known_organisations (
  id text primary key, version bigint not null check (version > 0), body bytea not null
);
create table idempotency (
  key text primary key, fingerprint text not null, status integer not null, response jsonb,
  created_at timestamptz not null default clock_timestamp()
);
"""
    + AUDIT_DDL
    + SEALS_DDL
    + APPROVALS_DDL
)
"""Executed by the first migration of each service."""

CORE_TABLES = frozenset(
    (
        "outbox",
        "aggregates",
        "inbox",
        "aggregate_versions",
        "buffered_events",
        "dead_letters",
        "log_checkpoints",
        "known_organisations",
        "idempotency",
        "key_checks",
        "clock_holds",
        "audit",
        "checkpoints",
        "cosignatures",
        "seal_rounds",
        "input_seals",
        "sealed_inputs",
        "approvals",
    )
)


def partitions_ddl(schema: str, tables: tuple[str, ...]) -> str:
    """Return the function that gives a campaign its partition of each of `tables`.

    It runs as the owner of the schema, because a service's role cannot create tables. Attaching
    takes a weaker lock than creating the partition in place.
    """
    parents = ", ".join(f"'{table}'" for table in tables)
    return f"""
create function {schema}.create_campaign_partitions(campaign_id text) returns void
language plpgsql security definer set search_path = {schema}, pg_temp as $$
declare
  parent text;
  suffix text := left(encode(sha256(convert_to(campaign_id, 'UTF8')), 'hex'), 16);
  name text;
begin
  foreach parent in array array[{parents}] loop
    name := format('%s_part_%s', parent, suffix);
    if to_regclass(quote_ident(name)) is null then
      execute format('create table %I (like %I including defaults including constraints)',
                     name, parent);
      execute format('alter table %I attach partition %I for values in (%L)',
                     parent, name, campaign_id);
    end if;
  end loop;
end $$;
"""


NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def registry_for(schema: str) -> registry:
    """Return the registry of a service's tables, for `class Base(SQLModel, registry=…)`."""
    return registry(metadata=MetaData(schema=schema, naming_convention=NAMING_CONVENTION))
