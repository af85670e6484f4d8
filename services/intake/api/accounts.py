"""Accounts in the JSON API."""

from collections.abc import Awaitable
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from pydantic import Field
from starlette.responses import Response

from services.intake.actions import account_requests, accounts, second_factors
from services.intake.actions.account_requests import AccountChange
from services.intake.api.problems import problems
from services.intake.api.responses import json_response
from services.intake.domain.privileged_accounts import is_privileged
from services.intake.store import accounts as store
from shared.appraisal.labels import Role
from shared.security.approvals.domain import REASON_MAX
from shared.security.passwords import NewPassword
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import CurrentUser, Idempotency, Router, Tx
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["受理"])
ADMIN = allow(Role.ADMIN)


class AccountRequest(Input):
    """A new account. `reason` is for the second person, if the role is privileged."""

    name: str = Field(max_length=40)
    display_name: str = Field("", max_length=40)
    role: Role
    unit_id: str | None = Field(None, max_length=100)
    password: str = Field(max_length=256)
    reason: str = Field("", max_length=REASON_MAX)


class AccountChangeRequest(Input):
    """What an account will be. `reason` is for the second person, if one must agree."""

    display_name: str = Field(max_length=40)
    role: Role
    unit_id: str | None = Field(None, max_length=100)
    disabled: bool = False
    reason: str = Field("", max_length=REASON_MAX)

    @property
    def change(self) -> AccountChange:
        return AccountChange(**self.model_dump(exclude={"reason"}))


class SecondFactorResetRequest(Input):
    reason: str = Field("", max_length=REASON_MAX)


class PasswordResetRequest(Input):
    password: str = Field(max_length=256)
    reason: str = Field("", max_length=REASON_MAX)


# Passwords are hashed by dependencies that stand before `tx`: no connection is held meanwhile.


async def _account_password(given: AccountRequest) -> NewPassword:
    return await NewPassword.of(given.password)


async def _reset_password(given: PasswordResetRequest) -> NewPassword:
    return await NewPassword.of(given.password)


@router.post("/accounts", policy=ADMIN, status_code=201, responses=problems(409))
async def create_account(
    password: Annotated[NewPassword, Depends(_account_password)],
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    given: AccountRequest,
) -> Response:
    """Create an account; one with a privileged role (202) when a second person agrees."""
    if is_privileged(given.role):
        values = given.model_dump(exclude={"password"})
        action = account_requests.request_creation(tx, **values, password=password, by=user)
        return await idempotency.respond(202, _requested(action))
    return await idempotency.respond(201, _create(tx, given, password, user))


async def _requested(action: Awaitable[UUID]) -> dict[str, str]:
    """Return the id of a request that waits for a second person."""
    return {"approval_id": str(await action)}


async def _create(
    tx: Transaction,
    given: AccountRequest,
    password: NewPassword,
    by: Account,
) -> dict[str, str | None]:
    values = given.model_dump(exclude={"password", "reason"})
    account = await accounts.create_account(tx, **values, password=password, by=str(by.id))
    return _account_response(account) | {"name": account.name}


@router.get("/accounts", policy=ADMIN, responses=problems())
async def list_accounts(tx: Tx) -> Response:
    """List all accounts."""
    return json_response(await store.list_all(tx))


@router.put("/accounts/{account_id}", policy=ADMIN, responses=problems(404, 409))
async def change_account(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    account_id: UUID,
    given: AccountChangeRequest,
) -> Response:
    """Change role, unit or name of an account, or disable it; its sessions end at once.

    What gives or restores privileged rights (202) waits until a second person agrees.
    """
    change = given.change
    if await account_requests.needs_second_person(tx, account_id, change):
        action = account_requests.request_change(
            tx, account_id, change, reason=given.reason, by=user
        )
        return await idempotency.respond(202, _requested(action))
    return await idempotency.respond(200, _change(tx, account_id, given, user))


async def _change(
    tx: Transaction,
    account_id: UUID,
    given: AccountChangeRequest,
    by: Account,
) -> dict[str, str | None]:
    account = await accounts.change_account(
        tx, account_id, **given.model_dump(exclude={"reason"}), by=by
    )
    return _account_response(account)


def _account_response(account: Account) -> dict[str, str | None]:
    return {"id": str(account.id), "role": account.role, "unit_id": account.unit_id}


@router.post(
    "/accounts/{account_id}/password",
    policy=ADMIN,
    status_code=201,
    responses=problems(404),
)
async def reset_password(
    password: Annotated[NewPassword, Depends(_reset_password)],
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    account_id: UUID,
    given: PasswordResetRequest,
) -> Response:
    """Set a new password for an account whose owner forgot theirs.

    For a privileged account (202) a second person agrees first.
    """
    if await account_requests.needs_second_person(tx, account_id):
        action = account_requests.request_password(
            tx, account_id, password=password, reason=given.reason, by=user
        )
        return await idempotency.respond(202, _requested(action))
    reset = accounts.reset_password(tx, account_id, password=password, by=user)
    return await idempotency.respond(201, reset)


@router.post(
    "/accounts/{account_id}/second-factor-reset",
    policy=ADMIN,
    status_code=201,
    responses=problems(404, 409),
)
async def reset_second_factor(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    account_id: UUID,
    given: SecondFactorResetRequest,
) -> Response:
    """Remove the authenticator of an account whose owner lost it; the next sign-in enrols again.

    For a privileged account (202) a second person agrees first.
    """
    if await account_requests.needs_second_person(tx, account_id):
        action = account_requests.request_second_factor_reset(
            tx, account_id, reason=given.reason, by=user
        )
        return await idempotency.respond(202, _requested(action))
    reset = second_factors.reset(tx, account_id, by=str(user.id))
    return await idempotency.respond(201, reset)
