"""Record the units of a demo in the register of organisations, before anything else."""

from collections.abc import Sequence

from services.cli.importing import IMPORTER
from services.scoring.actions.organisations import record_organisations
from services.scoring.domain.register import UnitRow
from services.scoring.store.organisations import read_register
from services.simulate.units import UNITS, DemoUnit
from shared.appraisal.errors import Rejected
from shared.appraisal.events import OrganisationPublished
from shared.appraisal.organisations import Organisation
from shared.storage.connections import Database
from shared.storage.organisations import save_organisation
from shared.storage.transaction import Transaction

FIRST_VERSION = 1


async def seed_register(url: str, units: Sequence[DemoUnit] = UNITS) -> None:
    """Record the units in scoring, and let intake know them at once: accounts need them.

    A second call changes nothing. Raises Rejected when the register already holds other bodies
    under the ids of these units.
    """
    organisations = await _recorded(url, units)
    database = Database(url, "intake", pool_size=1)
    try:
        async with database.transaction() as tx:
            for organisation in organisations:
                event = OrganisationPublished(occurred_at=tx.now, organisation=organisation)
                await save_organisation(tx, event, FIRST_VERSION)
    finally:
        await database.close()


async def _recorded(url: str, units: Sequence[DemoUnit]) -> list[Organisation]:
    database = Database(url, "scoring", pool_size=1)
    try:
        async with database.transaction() as tx:
            return await _record(tx, units)
    finally:
        await database.close()


async def _record(tx: Transaction, units: Sequence[DemoUnit]) -> list[Organisation]:
    register = await read_register(tx)
    if not register.by_id:
        rows = [_row(unit) for unit in units]
        await record_organisations(tx, rows=rows, by=IMPORTER)
        register = await read_register(tx)
    found = [register.find(unit.unit_id) for unit in units]
    recorded = [organisation for organisation in found if organisation is not None]
    if len(recorded) != len(units):
        raise Rejected("演示须在新的安装上运行：机构名册中已有其他单位")
    return recorded


def _row(unit: DemoUnit) -> UnitRow:
    return UnitRow(name=unit.name, aliases=unit.aliases, create=True)
