"""特权账号: create it, give it its role, restore its password or second factor."""

import hashlib
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from services.intake.actions import accounts, second_factors
from services.intake.domain.privileged_accounts import APPROVERS
from services.intake.store import accounts as store
from services.intake.store.accounts import StoredAccount
from services.intake.store.second_factors import enrolled_at
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.approvals import ApprovalKind, Fact, Granted
from shared.storage.transaction import Transaction

PayloadT = TypeVar("PayloadT", bound=msgspec.Struct)


class PrivilegedAct(ApprovalKind[PayloadT]):
    """An act on one account. The subject is its id, or the name of a new account."""

    requesters = frozenset({Role.ADMIN})
    approvers = APPROVERS

    def concerned(self, subject: str, payload: PayloadT) -> tuple[str, ...]:
        return (subject,)


# ── create ────────────────────────────────────────────────────────────────────────────────────────


class CreationPayload(msgspec.Struct, frozen=True):
    """A new account; the password was checked and hashed for the request."""

    display_name: str
    role: Role
    password_hash: str


class Creation(PrivilegedAct[CreationPayload]):
    """Creates an account with a privileged role. The subject is its name."""

    key = "account_creation"
    label = "建立特权账号"
    audited = ("role",)
    payload_type = CreationPayload

    async def basis(self, tx: Transaction, subject: str, payload: CreationPayload) -> str:
        if await store.find_by_name(tx, subject) is not None:
            raise Rejected("这个用户名已有人使用", field="name")
        return "free"

    async def facts(self, tx: Transaction, subject: str, payload: CreationPayload) -> list[Fact]:
        return [
            Fact("用户名", subject),
            Fact("姓名", payload.display_name),
            Fact("角色", payload.role.label),
        ]

    async def apply(self, tx: Transaction, granted: Granted[CreationPayload]) -> None:
        payload = granted.payload
        account = accounts.new_account(
            granted.approval.subject, payload.display_name, payload.role, unit_id=None
        )
        by = str(granted.approver.id)
        await accounts.add_account(tx, account, payload.password_hash, by=by)


# ── change ────────────────────────────────────────────────────────────────────────────────────────


class ChangePayload(msgspec.Struct, frozen=True):
    """What a privileged account will be."""

    display_name: str
    role: Role


class Change(PrivilegedAct[ChangePayload]):
    """Gives an account a privileged role or another name, or enables it again."""

    key = "account_change"
    label = "变更特权账号"
    audited = ("role",)
    payload_type = ChangePayload

    async def basis(self, tx: Transaction, subject: str, payload: ChangePayload) -> str:
        known = await _lock(tx, subject)
        account = known.account
        state = (account.role, account.unit_id, account.display_name, known.disabled)
        return repr(state)

    async def facts(self, tx: Transaction, subject: str, payload: ChangePayload) -> list[Fact]:
        known = await _lock(tx, subject)
        before = "停用" if known.disabled else known.account.role.label
        return [
            Fact("用户名", known.account.name),
            Fact("姓名", f"{known.account.display_name} 改为 {payload.display_name}"),
            Fact("角色", f"{before} 改为 {payload.role.label}"),
        ]

    async def apply(self, tx: Transaction, granted: Granted[ChangePayload]) -> None:
        await accounts.change_account(
            tx,
            UUID(granted.approval.subject),
            role=granted.payload.role,
            unit_id=None,
            display_name=granted.payload.display_name,
            disabled=False,
            by=granted.approver,
        )


# ── password and second factor ────────────────────────────────────────────────────────────────────


class PasswordPayload(msgspec.Struct, frozen=True):
    """The hash of a new password."""

    password_hash: str


class PasswordReset(PrivilegedAct[PasswordPayload]):
    """Sets the password of a privileged account."""

    key = "account_password"
    label = "重置特权账号密码"
    payload_type = PasswordPayload

    async def basis(self, tx: Transaction, subject: str, payload: PasswordPayload) -> str:
        known = await _lock(tx, subject)
        return hashlib.sha256(known.password_hash.encode()).hexdigest()

    async def facts(self, tx: Transaction, subject: str, payload: PasswordPayload) -> list[Fact]:
        return _facts(await _lock(tx, subject))

    async def apply(self, tx: Transaction, granted: Granted[PasswordPayload]) -> None:
        await accounts.set_password(
            tx,
            UUID(granted.approval.subject),
            granted.payload.password_hash,
            by=str(granted.approver.id),
        )


class FactorPayload(msgspec.Struct, frozen=True):
    """Nothing but the account."""


class FactorReset(PrivilegedAct[FactorPayload]):
    """Removes the authenticator of a privileged account."""

    key = "account_second_factor"
    label = "重置特权账号动态口令"
    payload_type = FactorPayload

    async def basis(self, tx: Transaction, subject: str, payload: FactorPayload) -> str:
        known = await _lock(tx, subject)
        since = await enrolled_at(tx, known.account.id)
        if since is None:
            raise Rejected("该账号没有绑定动态口令")
        return since.isoformat()

    async def facts(self, tx: Transaction, subject: str, payload: FactorPayload) -> list[Fact]:
        return _facts(await _lock(tx, subject))

    async def apply(self, tx: Transaction, granted: Granted[FactorPayload]) -> None:
        account_id = UUID(granted.approval.subject)
        await second_factors.reset(tx, account_id, by=str(granted.approver.id))


ACCOUNT_CREATION: Final = Creation()
ACCOUNT_CHANGE: Final = Change()
ACCOUNT_PASSWORD: Final = PasswordReset()
ACCOUNT_FACTOR: Final = FactorReset()
PRIVILEGED_ACTS: Final = (ACCOUNT_CREATION, ACCOUNT_CHANGE, ACCOUNT_PASSWORD, ACCOUNT_FACTOR)


async def _lock(tx: Transaction, account_id: str) -> StoredAccount:
    known = await store.lock(tx, UUID(account_id))
    if known is None:
        raise Rejected("没有这个账号", status=404)
    return known


def _facts(known: StoredAccount) -> list[Fact]:
    account = known.account
    return [
        Fact("用户名", account.name),
        Fact("姓名", account.display_name),
        Fact("角色", account.role.label),
    ]
