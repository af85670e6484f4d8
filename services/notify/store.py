"""Questions to the schema `notify`. What an account may see is decided here, in the condition of
the query.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import select
from sqlmodel import col

from services.notify.domain import Answer, Draft
from services.notify.tables import Subscription, Template
from shared.appraisal.labels import Role
from shared.security.policies import Account
from shared.storage.transaction import Transaction, new_id

Row: TypeAlias = asyncpg.Record

# ── what is known of the others ───────────────────────────────────────────────────────────────────


async def keep_units(tx: Transaction, names: Mapping[str, str]) -> None:
    await tx.run(
        "insert into units (id, name) select * from unnest($1::text[], $2::text[]) on conflict (id) do update set name = excluded.name",
        list(names),
        list(names.values()),
    )


async def keep_obligations(tx: Transaction, campaign_id: str, labels: Mapping[str, str]) -> None:
    await tx.run(
        "insert into obligations (campaign_id, id, label) select $1, * from unnest($2::text[], $3::text[]) "
        "on conflict (campaign_id, id) do update set label = excluded.label",
        campaign_id,
        list(labels),
        list(labels.values()),
    )


async def unit_names(tx: Transaction, ids: Collection[str] | None = None) -> dict[str, str]:
    """Names of these units, or of all in the order of their names."""
    sql = "select id, name from units where $1::text[] is null or id = any($1) order by name"
    rows = await tx.fetch(sql, None if ids is None else list(ids))
    return {row["id"]: row["name"] for row in rows}


_LEARN: Final = """
with kept as (insert into cases (id, urgency) select * from unnest($1::uuid[], $2::text[]) on conflict (id) do nothing)
select
  (select json_object_agg(id, name)::text from units where id = any($3::text[])) as units,
  (select array_agg(id) from cases where id = any($4::uuid[]) and urgency = 'critical') as critical,
  (select json_agg(json_build_array(campaign_id, id, label))::text from obligations where campaign_id = any($5::text[])) as labels,
  (select json_object_agg(kind, text)::text
   from (select distinct on (kind) kind, text from templates order by kind, version desc) newest) as texts
"""


async def learn_and_recall(
    tx: Transaction,
    urgencies: Mapping[UUID, str],
    *,
    units: Collection[str],
    cases: Collection[UUID],
    campaigns: Collection[str],
) -> tuple[dict[str, str], frozenset[UUID], dict[tuple[str, str], str], dict[str, str]]:
    """Keep how urgent new cases are; gives unit names, critical cases, obligations' labels by (campaign,
    obligation), current texts by kind.
    """
    told = await tx.fetchrow(
        _LEARN, list(urgencies), list(urgencies.values()), list(units), list(cases), list(campaigns)
    )
    assert told is not None, "a list of subqueries always has a row"
    labels = {
        (campaign, obligation): label
        for campaign, obligation, label in msgspec.json.decode(told["labels"] or "[]")
    }
    # The statement does not see what it inserts itself.
    critical = frozenset(told["critical"] or ()) | {
        case for case in cases if urgencies.get(case) == "critical"
    }
    return (
        msgspec.json.decode(told["units"] or "{}"),
        critical,
        labels,
        msgspec.json.decode(told["texts"] or "{}"),
    )


async def score_marks(
    tx: Transaction, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Decimal]:
    """Marks of these (campaign, unit), locked."""
    rows = await tx.fetch(
        "select m.* from score_marks m join unnest($1::text[], $2::text[]) k (c, u) on (m.campaign_id, m.unit_id) = (k.c, k.u) "
        "order by m.campaign_id, m.unit_id for update of m",
        [campaign for campaign, _ in keys],
        [unit for _, unit in keys],
    )
    return {(row["campaign_id"], row["unit_id"]): row["total"] for row in rows}


async def keep_score_marks(tx: Transaction, marks: Mapping[tuple[str, str], Decimal]) -> None:
    await tx.run(
        "insert into score_marks (campaign_id, unit_id, total) select * from unnest($1::text[], $2::text[], $3::numeric[]) "
        "on conflict (campaign_id, unit_id) do update set total = excluded.total",
        [campaign for campaign, _ in marks],
        [unit for _, unit in marks],
        list(marks.values()),
    )


# ── notifications ───────────────────────────────────────────────────────────────────────────────────────

_columns = attrgetter(*(each.name for each in fields(Draft)))

_WRITE_NOTICES: Final = """
with given as (
  select * from unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[],
    $10::text[], $11::text[], $12::boolean[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[])
  with ordinality as g (id, event_id, role, unit_id, kind, subject, subject_id, version, stage, text, link, urgent, due_at, occurred_at,
                        escalate_at, leaves_at, place)
), written as (
  insert into notifications (id, event_id, role, unit_id, kind, subject, subject_id, version, stage, text, link, urgent, due_at, occurred_at,
                       escalate_at, created_at)
  select id, event_id, role, unit_id, kind, subject, subject_id, version, stage, text, link, urgent, due_at, occurred_at, escalate_at, $17
  from given order by place
  on conflict (event_id, role) do nothing returning id
), queued as (
  insert into deliveries (id, notification_id, subscription_id, state, attempts, created_at, due_at, free_at)
  select uuidv7(), g.id, s.id, 'waiting', 0, $17, g.leaves_at, clock_timestamp()
  from written join given g using (id)
  join subscriptions s on s.role = g.role and s.stopped_at is null and (s.kinds = '{}' or g.kind = any(s.kinds))
                      and (s.unit_id is null or s.unit_id = g.unit_id)
  order by g.place
)
select id from written
"""


async def write_notifications(
    tx: Transaction, drafts: Sequence[tuple[Draft, datetime]]
) -> dict[UUID, Draft]:
    """Write the notifications that are new, in this order; gives them by id.

    They are queued for every address their audience has outside the house, each not before its
    instant.
    """
    numbered = {new_id(): given for given in drafts}
    columns = zip(
        *((id_, *_columns(draft), leaves_at) for id_, (draft, leaves_at) in numbered.items()),
        strict=True,
    )
    rows = await tx.fetch(_WRITE_NOTICES, *columns, tx.now)
    return {row["id"]: numbered[row["id"]][0] for row in rows}


_SETTLE: Final = """
with settled as (
  update notifications n set settled_at = $4
  from unnest($1::text[], $2::text[], $3::bigint[]) a (subject_id, stage, version)
  where n.subject_id = a.subject_id and n.stage = a.stage and n.version < a.version and n.settled_at is null
  returning n.id
)
update deliveries d set state = 'withdrawn', ended_at = $4
from settled where d.notification_id = settled.id and d.state = 'waiting' and d.attempts = 0
"""


async def settle(tx: Transaction, answers: Sequence[Answer]) -> None:
    """Mark what was asked for as answered; what has not been tried yet does not leave the house any
    more.
    """
    subjects, stages, versions = zip(
        *((each.subject_id, each.stage, each.version) for each in answers), strict=True
    )
    await tx.run(_SETTLE, subjects, stages, versions, tx.now)


_CLAIM_UNANSWERED: Final = """
update notifications set escalate_at = null where id in (
  select id from notifications where escalate_at <= public.app_now() order by escalate_at limit $1 for update skip locked
) returning event_id, role, unit_id, kind, subject, subject_id, version, stage, text, link, urgent, due_at, occurred_at, settled_at
"""


async def claim_unanswered(tx: Transaction, limit: int) -> tuple[int, list[Draft]]:
    """(lapses whose time of grace is over, those of them that nobody answered). None of them comes
    again.
    """
    rows = await tx.fetch(_CLAIM_UNANSWERED, limit)
    return len(rows), [
        Draft(**{name: row[name] for name in row.keys() if name != "settled_at"})  # noqa: SIM118
        for row in rows
        if not row["settled_at"]
    ]


# ── the inbox ─────────────────────────────────────────────────────────────────────────────────────

_MINE: Final = "n.role = $1 and ($2::text is null or n.unit_id = $2)"


def _audience(user: Account) -> tuple[str, str | None]:
    """(role, unit) of the notifications this account reads. A unit's role without a unit reads nothing:
    no unit is called "".
    """
    return (
        user.role,
        (user.unit_id or "") if user.role in (Role.HANDLER, Role.UNIT_HEAD) else None,
    )


UNREAD_SHOWN_MAX: Final = 100


async def count_unread(tx: Transaction, user: Account) -> int:
    """About how many subjects there are open notifications that this account has not seen, at most
    UNREAD_SHOWN_MAX.
    """
    count: int = await tx.fetchval(
        f"select count(*) from (select distinct subject_id from notifications n where {_MINE} and n.settled_at is null "
        "and not exists (select from readings r where r.notification_id = n.id and r.account_id = $3) limit $4) unread",
        *_audience(user),
        user.id,
        UNREAD_SHOWN_MAX,
    )
    return count


_READ_BY_ME: Final = "left join readings r on r.notification_id = n.id and r.account_id = $3"
_WANTED: Final = "($4 or (n.settled_at is null and r.seen_at is null))"
_INBOX: Final = f"""
with subjects as (
  select n.subject_id, max(n.id::text) as newest from notifications n {_READ_BY_ME} where {_MINE} and {_WANTED}
  group by n.subject_id having $5::text is null or max(n.id::text) < $5 order by newest desc limit $6
)
select n.*, r.seen_at, r.done_at from subjects join notifications n using (subject_id) {_READ_BY_ME}
where {_MINE} and {_WANTED} order by subjects.newest desc, n.id desc
"""


async def inbox(
    tx: Transaction, user: Account, *, all_: bool, before: str | None, limit: int
) -> list[Row]:
    """Notifications of this account's audience with `seen_at`, `done_at`; those of one subject together,
    the newest subject first.

    `all_`: also what was seen or settled. `before`: the newest id of the last subject of the page
    before.
    """
    return await tx.fetch(_INBOX, *_audience(user), user.id, all_, before, limit)


_NOTICES: Final = f"""
select n.id, n.kind, n.subject, n.text, n.link, n.due_at, n.occurred_at, n.created_at, n.settled_at, r.seen_at, r.done_at
from notifications n left join readings r on r.notification_id = n.id and r.account_id = $3
where {_MINE} and ($4::text is null or n.subject = $4) and ($5::uuid is null or n.id > $5) order by n.id limit $6
"""


async def notifications(
    tx: Transaction, user: Account, *, number: str | None, after: UUID | None, limit: int
) -> list[Row]:
    """Notifications of this account's audience, oldest first, about `number`, after the one with that id."""
    return await tx.fetch(_NOTICES, *_audience(user), user.id, number, after, limit)


async def notification_link(tx: Transaction, user: Account, notification_id: UUID) -> str | None:
    """Where a notification leads; None when it is not this account's to read."""
    link: str | None = await tx.fetchval(
        f"select link from notifications n where {_MINE} and n.id = $3",
        *_audience(user),
        notification_id,
    )
    return link


_MARK: Final = f"""
insert into readings (notification_id, account_id, seen_at, done_at)
select n.id, $3::uuid, $4::timestamptz, case when $5::boolean then $4 end from notifications n
where {_MINE} and ($6::uuid[] is null or n.id = any($6)) and ($7::text[] is null or n.subject_id = any($7))
on conflict (notification_id, account_id) do update set done_at = excluded.done_at where readings.done_at is null and excluded.done_at is not null
"""


async def mark_read(
    tx: Transaction,
    user: Account,
    *,
    done: bool,
    ids: Collection[UUID] | None,
    subjects: Collection[str] | None,
) -> int:
    """Note that this account saw (or dealt with) these notifications, those about these subjects, or all;
    what is not theirs is left out.
    """
    listed = None if ids is None else list(ids), None if subjects is None else list(subjects)
    return await tx.run(_MARK, *_audience(user), user.id, tx.now, done, *listed)


# ── deliveries ────────────────────────────────────────────────────────────────────────────────────

# A wait that would last longer than any wait does was set by a clock that had jumped: it is over.
_CLAIM: Final = """
with due as (
  select d.id from deliveries d join subscriptions s on s.id = d.subscription_id
  where d.state = 'waiting' and d.due_at <= public.app_now()
    and d.free_at not between clock_timestamp() and clock_timestamp() + interval '1 day'
    and s.stopped_at is null
    and (s.resting_until is null or s.resting_until not between clock_timestamp() and clock_timestamp() + interval '1 day')
  order by d.due_at, d.id limit $1 for update of d skip locked
)
update deliveries d set attempts = d.attempts + 1, free_at = clock_timestamp() + make_interval(secs => $2)
from due, notifications n, subscriptions s
where d.id = due.id and n.id = d.notification_id and s.id = d.subscription_id
returning d.id, d.notification_id, d.subscription_id, d.attempts, n.kind, n.subject, n.text, n.link, n.due_at, n.occurred_at,
          s.channel, s.ciphertext, s.wrapped_key, s.key_version
"""


async def claim_deliveries(tx: Transaction, *, limit: int, lease_seconds: float) -> list[Row]:
    """Take deliveries that may leave now, with all that sending needs. Nobody else takes them until
    the lease is over.
    """
    rows = await tx.fetch(_CLAIM, limit, lease_seconds)
    return sorted(rows, key=lambda row: row["id"])


# The subscription is locked before its deliveries, as by whoever stops it: in another order the two
# would wait for each other.
_OWNER: Final = """owner as (
  select s.id from subscriptions s where s.id = (select subscription_id from deliveries where id = $1) for update
)"""


async def record_delivered(tx: Transaction, delivery_id: UUID) -> bool:
    """False: it had been recorded before."""
    return bool(
        await tx.run(
            f"with {_OWNER}, ended as (update deliveries d set state = 'delivered', ended_at = $2, reason = null from owner "
            "where d.id = $1 and d.state = 'waiting' returning owner.id) update subscriptions s set failing_since = null, "
            "resting_until = null from ended where s.id = ended.id",
            delivery_id,
            tx.now,
        )
    )


async def record_failed(tx: Transaction, delivery_id: UUID, reason: str) -> bool:
    """Given up. False: it had ended before."""
    sql = "update deliveries set state = 'failed', ended_at = $2, reason = $3 where id = $1 and state = 'waiting'"
    return bool(await tx.run(sql, delivery_id, tx.now, reason))


async def record_postponed(
    tx: Transaction, delivery_id: UUID, reason: str, *, pause_seconds: float, rest_seconds: float
) -> None:
    """Try again after the pause; leave its address alone for a while."""
    await tx.run(
        f"with {_OWNER}, later as (update deliveries d set reason = $2, free_at = clock_timestamp() + make_interval(secs => $3) "
        "from owner where d.id = $1 and d.state = 'waiting' returning owner.id) update subscriptions s "
        "set failing_since = coalesce(s.failing_since, $5), resting_until = clock_timestamp() + make_interval(secs => $4) "
        "from later where s.id = later.id",
        delivery_id,
        reason,
        pause_seconds,
        rest_seconds,
        tx.now,
    )


async def send_again(tx: Transaction, delivery_id: UUID) -> bool:
    """Put a failed delivery back, with its key. False: there is no such failed delivery."""
    sql = (
        "update deliveries d set state = 'waiting', attempts = 0, ended_at = null, due_at = $2, free_at = clock_timestamp() "
        "from subscriptions s where d.id = $1 and d.state = 'failed' and s.id = d.subscription_id and s.stopped_at is null"
    )
    return bool(await tx.run(sql, delivery_id, tx.now))


_LOG: Final = """
select d.id, d.state, d.attempts, d.reason, d.created_at, d.due_at, d.ended_at, n.kind, n.subject, n.occurred_at, n.role, n.unit_id,
       s.channel, s.hint, u.name as unit, s.stopped_at
from deliveries d join notifications n on n.id = d.notification_id join subscriptions s on s.id = d.subscription_id
     left join units u on u.id = s.unit_id
where ($1::text is null or n.role = $1) and ($2::text is null or d.state = $2) and ($3::text is null or s.channel = $3)
  and ($4::text is null or n.subject = $4) and ($5::uuid is null or d.id < $5)
order by d.id desc limit $6
"""


async def delivery_log(
    tx: Transaction,
    *,
    role: str | None,
    state: str | None,
    channel: str | None,
    number: str | None,
    before: UUID | None,
    limit: int,
) -> list[Row]:
    """Deliveries, newest first; `role`: only those to that audience."""
    return await tx.fetch(_LOG, role, state, channel, number, before, limit)


async def waiting_until(tx: Transaction, instant: datetime) -> int:
    """Deliveries that are to leave by then."""
    count: int = await tx.fetchval(
        "select count(*) from deliveries where state = 'waiting' and due_at <= $1", instant
    )
    return count


async def forget_notifications(tx: Transaction, *, days: int, limit: int) -> int:
    """Forget notifications older than so many days, with their readings and deliveries."""
    sql = "delete from notifications where id in (select id from notifications where created_at < $1::timestamptz - make_interval(days => $2) limit $3)"
    return await tx.run(sql, tx.now, days, limit)


# ── subscriptions and templates ───────────────────────────────────────────────────────────────────


async def subscription(tx: Transaction, subscription_id: UUID) -> Subscription | None:
    """One subscription, locked."""
    return await tx.scalar(
        select(Subscription).where(col(Subscription.id) == subscription_id).with_for_update()
    )


async def subscriptions(tx: Transaction) -> list[Subscription]:
    """Those in use, by audience."""
    query = select(Subscription).where(col(Subscription.stopped_at).is_(None))
    return await tx.scalars(
        query.order_by(
            col(Subscription.role), col(Subscription.unit_id), col(Subscription.created_at)
        )
    )


async def withdraw_all(tx: Transaction, subscription_id: UUID) -> None:
    """What still waits for this address does not leave any more."""
    sql = "update deliveries set state = 'withdrawn', ended_at = $2 where subscription_id = $1 and state = 'waiting'"
    await tx.run(sql, subscription_id, tx.now)


async def newest_templates(tx: Transaction) -> dict[str, Template]:
    """The newest written version of each kind that has one."""
    query = (
        select(Template)
        .distinct(col(Template.kind))
        .order_by(col(Template.kind), col(Template.version).desc())
    )
    return {template.kind: template for template in await tx.scalars(query)}


async def template_versions(tx: Transaction, kind: str) -> list[Template]:
    """All written versions of one kind, newest first."""
    return await tx.scalars(
        select(Template).where(col(Template.kind) == kind).order_by(col(Template.version).desc())
    )


async def add_template(
    tx: Transaction, kind: str, version: int, text: str, account_id: UUID
) -> bool:
    """False: that version is there already."""
    sql = "insert into templates (kind, version, text, written_by, created_at) values ($1, $2, $3, $4, $5) on conflict do nothing"
    return bool(await tx.run(sql, kind, version, text, account_id, tx.now))
