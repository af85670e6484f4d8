"""The register of organisations as pages and API show it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.scoring.domain.register import RegisterPlan, UnitRow, plan_rows
from services.scoring.store import campaigns
from services.scoring.store import organisations as store
from services.scoring.store.organisations import Participation
from shared.appraisal.errors import Rejected
from shared.appraisal.organisations import Organisation, OrganisationRegister, name_key
from shared.storage.transaction import Transaction

LIST_MAX = 200


@dataclass(frozen=True, slots=True)
class OrganisationList:
    """The bodies that match a search, at most `LIST_MAX`; `total` counts all of them."""

    rows: Sequence[Organisation]
    total: int
    register: OrganisationRegister

    @property
    def is_empty(self) -> bool:
        return not self.register.by_id


async def list_organisations(
    tx: Transaction,
    *,
    term: str = "",
    state: str = "",
) -> OrganisationList:
    """Return bodies whose id, code or one of whose names contains `term`, in the order of ids."""
    register = await store.read_register(tx)
    wanted = name_key(term)
    states = [each for each in register.by_id.values() if not state or each.state == state]
    found = [each for each in states if _matches(each, wanted)]
    return OrganisationList(found[:LIST_MAX], len(found), register)


def _matches(organisation: Organisation, wanted: str) -> bool:
    names = (organisation.name, *organisation.other_names)
    keys = (organisation.id, organisation.official_code or "", *names)
    return any(wanted in name_key(key) for key in keys)


@dataclass(frozen=True, slots=True)
class OrganisationView:
    """A body with what stands above and below it, before and after it, and where it takes part."""

    organisation: Organisation
    ancestors: Sequence[Organisation]
    children: Sequence[Organisation]
    predecessors: Sequence[Organisation]
    successors: Sequence[Organisation]
    participations: Sequence[Participation]
    others: Sequence[tuple[str, str]]
    """(id, path) of every other body that exists today, for the forms."""

    @property
    def heir(self) -> Organisation | None:
        """The direct successor that takes over the open matters."""
        heirs = (each for each in self.successors if each.id == self.organisation.heir_id)
        return next(heirs, None)


async def organisation_view(tx: Transaction, organisation_id: str) -> OrganisationView:
    """Return one body. Raises Rejected (404)."""
    register = await store.read_register(tx)
    organisation = register.find(organisation_id)
    if organisation is None:
        raise Rejected("单位名册中没有这个单位", status=404)
    successors = [each.organisation_id for each in organisation.successors]
    return OrganisationView(
        organisation=organisation,
        ancestors=_of(register, register.ancestors(organisation_id)),
        children=_of(register, register.children.get(organisation_id, ())),
        predecessors=_of(register, register.predecessors.get(organisation_id, ())),
        successors=_of(register, successors),
        participations=await store.participations(tx, organisation_id),
        others=choices(register, without=organisation_id),
    )


def _of(register: OrganisationRegister, ids: Iterable[str]) -> list[Organisation]:
    return [register.by_id[id] for id in ids]


def choices(register: OrganisationRegister, *, without: str = "") -> list[tuple[str, str]]:
    """Return (id, path) of the bodies that exist today, as a form offers them."""
    found = [(each.id, register.path(each.id)) for each in register.active()]
    return sorted((one for one in found if one[0] != without), key=lambda one: one[1])


async def organisation_choices(tx: Transaction) -> list[tuple[str, str]]:
    """Return (id, path) of the bodies that exist today."""
    return choices(await store.read_register(tx))


async def plan_enrolment(
    tx: Transaction,
    campaign_id: str,
    rows: Sequence[UnitRow],
) -> RegisterPlan:
    """Return what the rows of a file mean in a campaign, without enrolling anybody.

    Raises Rejected (404) for an unknown campaign.
    """
    campaign = await campaigns.get_campaign(tx, campaign_id)
    return plan_rows(await store.read_register(tx), rows, campaign.scheme)


async def plan_records(tx: Transaction, rows: Sequence[UnitRow]) -> RegisterPlan:
    """Return what the rows of a file mean for the register alone, without doing it."""
    return plan_rows(await store.read_register(tx), rows)
