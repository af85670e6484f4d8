"""Editing templates."""

from services.notify.domain.templates import PRESET_VERSION, text_problem
from services.notify.store import templates
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.security.pii import find_pii
from shared.security.policies import Account
from shared.storage.transaction import Transaction


def template_problem(text: str) -> str:
    """Return why a template cannot be saved, as a sentence; "" if it can.

    A template names only known fields and contains no personal data.
    """
    found = find_pii(text)
    if found:
        telemetry.personal_data_blocked.labels("notify", "/notify/templates").inc()
    pii_problem = f"模板中含有{found[0].kind.label}，不能保存" if found else ""
    return text_problem(text) or pii_problem


async def edit_template(
    tx: Transaction,
    *,
    kind: str,
    text: str,
    based_on: int,
    by: Account,
) -> int:
    """Insert the next version of a template and return its number.

    Raises Rejected if the text cannot be used or `based_on` is not the newest version.
    """
    if problem := template_problem(text):
        raise Rejected(problem, status=422, field="text")
    if based_on != await _newest_version(tx, kind):
        raise _changed_by_another()
    version = based_on + 1
    inserted = await templates.insert(tx, kind, version=version, text=text, account_id=by.id)
    if not inserted:
        raise _changed_by_another()
    tx.audit("template.written", kind, str(by.id), version=version)
    return version


def _changed_by_another() -> Rejected:
    return Rejected("模板已被他人修改，请刷新后在新版本上修改")


async def _newest_version(tx: Transaction, kind: str) -> int:
    edited = (await templates.newest_by_kind(tx)).get(kind)
    return edited.version if edited else PRESET_VERSION
