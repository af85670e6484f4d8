"""What the parameters of routes name, and whose it is.

A route with a parameter that no source fills makes the crawl fail: add the source, and say to whom
its values belong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from services.intake.actions.approval_kinds import APPROVAL_KINDS as INTAKE_KINDS
from services.scoring.actions.approval_kinds import APPROVAL_KINDS as SCORING_KINDS
from shared.appraisal.labels import Role
from shared.security.policies import Account
from tests.intake.test_visits import picture, sha

UNIT_ROLES = frozenset({Role.HANDLER, Role.UNIT_HEAD})
PHOTO = picture(7, size=(32, 32))
KINDS = (INTAKE_KINDS, SCORING_KINDS)
UNKNOWN_ID = "01900000-0000-7000-8000-000000000001"


@dataclass(frozen=True)
class Thing:
    """A value of a parameter, and of those that belong to it (`along`).

    `unit_id`: the body whose people may find it, if only they may (besides the central roles);
    `excluded_unit_ids`: bodies that may not. `owner_id`: the only account that may find it among
    those of `owner_role`. `role`: the only role that may. An approval of this `kind` is found by its
    requester and by those who may approve.
    """

    value: str
    unit_id: str | None = None
    excluded_unit_ids: Sequence[str] = ()
    of_unit: bool = False
    owner_id: UUID | None = None
    owner_role: Role | None = None
    role: str | None = None
    kind: str | None = None
    requester_id: str | None = None
    along: tuple[tuple[str, str], ...] = ()

    @property
    def whose(self) -> tuple[Any, ...]:
        """What the visibility rules look at: things that share it are alike."""
        excluded = tuple(self.excluded_unit_ids)
        return self.unit_id, excluded, self.owner_id, self.role, self.kind

    def may_be_found_by(self, account: Account | None) -> bool:
        """Return whether the visibility rules let this account find it."""
        if account is None:
            return not (self.of_unit or self.owner_role or self.role or self.kind)
        if self.kind is not None:
            approves = any(self.kind in kinds.approved_by(account.role) for kinds in KINDS)
            return approves or self.requester_id == str(account.id)
        if self.role is not None and self.role != account.role:
            return False
        if self.owner_role is account.role:
            return self.owner_id == account.id
        if not self.of_unit or account.role not in UNIT_ROLES:
            return True
        is_excluded = bool(set(self.excluded_unit_ids) & set(account.unit_ids))
        return self.unit_id in account.unit_ids and not is_excluded


WHOSE = {"unit_id", "excluded_unit_ids", "owner_id", "role", "kind", "requester_id"}


@dataclass(frozen=True)
class Source:
    """The values of one parameter, and one that nothing has.

    The SQL returns the value, what the visibility rules look at, and the other parameters that
    belong to the value under their own names.
    """

    sql: str
    unknown: str = UNKNOWN_ID
    of_unit: bool = False
    owner_role: Role | None = None
    new_is_made: bool = False
    """Whether a request with an unknown value makes the thing: its id is chosen by the client."""

    async def things(self, connection: asyncpg.Connection) -> list[Thing]:
        rows = await connection.fetch(self.sql)
        assert rows, f"the world has no value of this parameter: {self.sql}"
        return [self._thing(dict(row)) for row in rows]

    def _thing(self, row: dict[str, Any]) -> Thing:
        whose = {name: row.pop(name) for name in WHOSE & row.keys()}
        value, along = row.pop("value"), tuple(row.items())
        return Thing(value, **whose, of_unit=self.of_unit, owner_role=self.owner_role, along=along)


def constant(*values: str, unknown: str) -> Source:
    """Return a source of values that stand in the code or in the rules of a campaign."""
    rows = " union all ".join(f"select '{value}' as value" for value in values)
    return Source(rows, unknown)


def ids(table: str, columns: str = "", **options: Any) -> Source:
    """Return a source of the ids of a table."""
    return Source(f"select id::text as value {columns} from {table} order by id", **options)


CAMPAIGNS = Source("select id as value from scoring.campaigns order by id", "j-none")
UNITS = Source("select distinct unit_id as value from casework.units order by 1", "D999999")
SOURCES: Mapping[str, Mapping[str, Source]] = {
    "intake": {
        "number": Source(
            "select number as value, registered_by as owner_id from intake.complaints "
            # One of each kind before a second one of any.
            "order by row_number() over (partition by kind order by number), kind",
            "ZT2026-999999",
            owner_role=Role.OPERATOR,
        ),
        "visit_id": ids(
            "intake.visits",
            ", inspector_id as owner_id",
            owner_role=Role.INSPECTOR,
            new_is_made=True,
        ),
        "file_id": Source(
            "select f.id::text as value, coalesce(v.inspector_id, f.stored_by) as owner_id, c.number "
            "from intake.files f left join intake.visits v on v.id = f.subject_id "
            "left join intake.complaints c on c.id = f.subject_id "
            "where f.subject <> 'form_draft' order by 1",
            owner_role=Role.INSPECTOR,
        ),
        "draft_id": ids(
            "intake.hotline_drafts", ", account_id as owner_id", owner_role=Role.OPERATOR
        ),
        "approval_id": Source(
            "select id::text as value, kind, requested_by as requester_id from intake.approvals"
        ),
        "batch_id": ids("intake.token_batches"),
        "round_id": ids("intake.inspection_rounds"),
        # Nothing is suspicious in the world: every id is unknown to everybody.
        "event_id": constant(UNKNOWN_ID, unknown=UNKNOWN_ID),
        "import_id": ids("intake.imports"),
        "account_id": ids("intake.accounts"),
        "unit_id": UNITS,
        "campaign_id": CAMPAIGNS,
        "instrument": constant("deputies", unknown="none"),
        "sha256": constant(sha(PHOTO), unknown="b" * 64),
        "step": constant("1", "4", unknown="99"),
        "place": constant("1", unknown="99"),
        "code": constant("{code}", unknown="NOCODE"),
    },
    "casework": {
        "number": Source(
            "select number as value, unit_id, excluded_unit_ids from casework.cases",
            "ZF2026-999999",
            of_unit=True,
        ),
        "id": ids("casework.obligations", ", unit_id", of_unit=True),
    },
    "scoring": {
        "campaign_id": CAMPAIGNS,
        "unit_id": UNITS,
        "organisation_id": ids("scoring.organisations"),
        "approval_id": Source(
            "select id::text as value, kind, requested_by as requester_id from scoring.approvals"
        ),
        "decision_id": Source(
            "select subject_id::text as value from scoring.ledger where measure = 'decision'"
        ),
    },
    "notify": {
        "notification_id": ids("notify.notifications", ", role, unit_id", of_unit=True),
        "delivery_id": ids("notify.deliveries"),
        "subscription_id": ids("notify.subscriptions"),
        "kind": constant("case_assigned", unknown="no_kind"),
    },
}
"""Parameter of a path or a body → its values, by service."""
