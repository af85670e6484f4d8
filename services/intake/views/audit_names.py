"""Names of the accounts and complaints in intake's audit log."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.intake.domain.accounts import normalise_name
from services.intake.domain.query_codes import parse_number
from services.intake.store import accounts, complaints
from shared.security.audit_reading import AuditDirectory
from shared.storage.transaction import Transaction


async def names_of(tx: Transaction, ids: Sequence[str]) -> Mapping[str, str]:
    """Return the names of accounts and the numbers of complaints among these ids."""
    known = [parsed for parsed in map(_uuid, ids) if parsed]
    names = await accounts.names_of(tx, known)
    return names | await complaints.numbers_of(tx, known)


async def find(tx: Transaction, text: str) -> str:
    """Return the id of the account or complaint that `text` names, or the text itself."""
    complaint_id = await complaints.find_id(tx, parse_number(text))
    if complaint_id is not None:
        return str(complaint_id)
    known = await accounts.find_by_name(tx, normalise_name(text))
    return str(known.account.id) if known else text


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


DIRECTORY = AuditDirectory(names=names_of, find=find)
