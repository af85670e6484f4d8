"""One-time codes (动态口令): enrol, check, renew the recovery codes, reset."""

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from uuid import UUID

from services.intake.domain.second_factors import FactorKind
from services.intake.settings import context_of
from services.intake.store import accounts, second_factors
from services.intake.store.second_factors import StoredFactor
from shared.appraisal.errors import Rejected
from shared.security.policies import Account
from shared.security.recovery_codes import code_digest, new_codes
from shared.security.totp import matching_step, new_secret, provisioning_uri, secret_text
from shared.storage.transaction import Transaction

WRONG_CODE = "动态口令不正确，请核对手机时间后输入最新的 6 位数字"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a person enters into an authenticator app: a QR code or the secret as text."""

    uri: str = field(repr=False)
    secret: str = field(repr=False)


async def begin_enrolment(tx: Transaction, account: Account) -> Enrolment:
    """Return the secret to enrol; repeating this returns the same one until it is confirmed.

    Raises Rejected (409) if the account is enrolled.
    """
    factor = await _unconfirmed(tx, account.id)
    secret = _unseal(tx, account.id, factor)
    issuer = context_of(tx).settings.organisation
    uri = provisioning_uri(secret, account=account.name, issuer=issuer)
    return Enrolment(uri, secret_text(secret))


async def _unconfirmed(tx: Transaction, account_id: UUID) -> StoredFactor:
    found = await second_factors.find(tx, account_id)
    if found is None:
        fields = {"secret": b64encode(new_secret()).decode()}
        sealed = context_of(tx).ring.seal(_record_id(account_id), fields)
        await second_factors.add(tx, account_id, sealed)
        found = await second_factors.find(tx, account_id)
    assert found is not None, "the secret was just inserted"
    if found.confirmed_at is not None:
        raise Rejected("该账号已绑定动态口令")
    return found


def _unseal(
    tx: Transaction,
    account_id: UUID,
    factor: StoredFactor,
) -> bytes:
    fields = context_of(tx).ring.unseal(_record_id(account_id), factor.sealed)
    return b64decode(fields["secret"])


def _record_id(account_id: UUID) -> str:
    return f"second-factor/{account_id}"


async def confirm_enrolment(
    tx: Transaction,
    account: Account,
    code: str,
) -> list[str] | None:
    """Enrol the account if `code` is right, and return its recovery codes; else return None.

    Nobody can read the recovery codes again.
    """
    factor = await second_factors.find(tx, account.id)
    if factor is None or factor.confirmed_at is not None:
        return None
    if not await _spend_code(tx, account.id, factor, code):
        return None
    if not await second_factors.confirm(tx, account.id):
        return None
    tx.audit("account.second_factor_enrolled", account.id, str(account.id))
    return await _replace_recovery_codes(tx, account.id)


async def check_code(
    tx: Transaction,
    account_id: UUID,
    code: str,
) -> FactorKind | None:
    """Use up a one-time code or a recovery code; return which it was, or None if it is wrong."""
    factor = await second_factors.find(tx, account_id)
    if factor is None or factor.confirmed_at is None:
        return None
    if await _spend_code(tx, account_id, factor, code):
        return FactorKind.ONE_TIME_CODE
    digest = code_digest(_recovery_key(tx), code)
    if await second_factors.spend_recovery_code(tx, account_id, digest):
        return FactorKind.RECOVERY_CODE
    tx.audit("account.second_factor_failed", account_id, str(account_id))
    return None


async def _spend_code(
    tx: Transaction,
    account_id: UUID,
    factor: StoredFactor,
    code: str,
) -> bool:
    secret = _unseal(tx, account_id, factor)
    given = code.replace(" ", "")
    step = matching_step(secret, given, tx.now, after=factor.last_step)
    return step is not None and await second_factors.spend_step(tx, account_id, step)


async def renew_recovery_codes(
    tx: Transaction,
    account: Account,
    code: str,
) -> list[str] | None:
    """Return new recovery codes in place of all old ones, or None if `code` is wrong."""
    if await check_code(tx, account.id, code) is None:
        return None
    tx.audit("account.recovery_codes_renewed", account.id, str(account.id))
    return await _replace_recovery_codes(tx, account.id)


async def _replace_recovery_codes(tx: Transaction, account_id: UUID) -> list[str]:
    codes = new_codes()
    key = _recovery_key(tx)
    digests = [code_digest(key, code) for code in codes]
    await second_factors.replace_recovery_codes(tx, account_id, digests)
    return codes


def _recovery_key(tx: Transaction) -> bytes:
    return context_of(tx).ring.derive_key("recovery-codes")


async def remove_own(
    tx: Transaction,
    account: Account,
    code: str,
) -> bool:
    """更换手机: remove the secret and end all sessions if `code` is right.

    The next sign-in enrols again. Raises CacheUnavailable.
    """
    if await check_code(tx, account.id, code) is None:
        return False
    await second_factors.delete(tx, account.id)
    tx.audit("account.second_factor_removed", account.id, str(account.id))
    await context_of(tx).end_sessions(account.id)
    return True


async def reset(
    tx: Transaction,
    account_id: UUID,
    *,
    by: str,
) -> None:
    """Remove the secret of an account whose owner lost telephone and recovery codes.

    `by` is the id of the acting administrator, or `system`. Raises Rejected (404, 409),
    CacheUnavailable.
    """
    if await accounts.find(tx, account_id) is None:
        raise Rejected("没有这个账号", status=404)
    if str(account_id) == by:
        raise Rejected("不能重置自己的动态口令，请由另一位管理员操作")
    if not await second_factors.delete(tx, account_id):
        raise Rejected("该账号没有绑定动态口令")
    tx.audit("account.second_factor_reset", account_id, by)
    await context_of(tx).end_sessions(account_id)
