"""Accounts in the JSON API."""

from typing import Any
from uuid import UUID

from pydantic import Field
from starlette.responses import JSONResponse, Response

from services.intake.actions import accounts
from services.intake.api.problems import json_rows, problems
from services.intake.store import accounts as account_store
from shared.appraisal.labels import Role
from shared.security.policies import Account, allow
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Idempotency,
    Router,
    Tx,
)
from shared.web.forms import Input

router = Router(prefix="/intake/api", tags=["受理"])


class NewAccount(Input):
    name: str = Field(max_length=40)
    display_name: str = Field("", max_length=40)
    role: Role
    unit_id: str | None = Field(None, max_length=100)
    password: str = Field(max_length=256)


class AccountChange(Input):
    display_name: str = Field(max_length=40)
    role: Role
    unit_id: str | None = Field(None, max_length=100)
    disabled: bool = False


class PasswordReset(Input):
    password: str = Field(max_length=256)


@router.post("/accounts", policy=allow(Role.ADMIN), status_code=201, responses=problems(409))
async def create_account(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, given: NewAccount
) -> Response:
    """A new account."""
    return await idempotency.respond(201, _account(tx, given, str(user.id)))


async def _account(tx: Transaction, given: NewAccount, by: str) -> dict[str, Any]:
    account = await accounts.create_account(tx, **given.model_dump(), by=by)
    return {
        "id": str(account.id),
        "name": account.name,
        "role": account.role,
        "unit_id": account.unit_id,
    }


@router.get("/accounts", policy=allow(Role.ADMIN), responses=problems())
async def list_accounts(tx: Tx) -> Response:
    """All accounts."""
    return JSONResponse(json_rows(await account_store.listed(tx)))


@router.put("/accounts/{account_id}", policy=allow(Role.ADMIN), responses=problems(404, 409))
async def change_account(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, account_id: UUID, given: AccountChange
) -> Response:
    """Change a role, a unit or a name, or disable an account; its sessions end at once."""
    return await idempotency.respond(200, _changed(tx, account_id, given, user))


async def _changed(
    tx: Transaction, account_id: UUID, given: AccountChange, user: Account
) -> dict[str, Any]:
    account = await accounts.change_account(tx, account_id, **given.model_dump(), by=user)
    return {"id": str(account.id), "role": account.role, "unit_id": account.unit_id}


@router.post(
    "/accounts/{account_id}/password",
    policy=allow(Role.ADMIN),
    status_code=201,
    responses=problems(404),
)
async def reset_password(
    tx: Tx, user: CurrentUser, idempotency: Idempotency, account_id: UUID, given: PasswordReset
) -> Response:
    """A new password for somebody who forgot theirs."""
    return await idempotency.respond(
        201, accounts.reset_password(tx, account_id, password=given.password, by=user)
    )
