"""账号管理: the administrator creates accounts, moves them between organisations, disables them."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions import accounts, second_factors
from services.intake.store.second_factors import is_enrolled
from services.intake.views.accounts import account_line, list_accounts
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.passwords import NewPassword
from shared.security.policies import allow
from shared.storage.transaction import Transaction
from shared.web import (
    CurrentUser,
    Form,
    Idempotency,
    Router,
    Transactions,
    Tx,
    read_form,
    redirect,
    render_page,
)
from shared.web.forms import Input

router = Router(include_in_schema=False)
ADMIN: Final = allow(Role.ADMIN)
LIST_URL: Final = "/intake/accounts"


class AccountForm(Input):
    """A new account."""

    name: str = Field(title="用户名", max_length=40)
    display_name: str = Field("", title="姓名", max_length=40)
    role: Role = Field(title="角色")
    unit_id: str = Field("", title="所属单位", max_length=40)
    password: str = Field(title="初始密码", max_length=256)


class AccountChangeForm(Input):
    """What an account may do."""

    display_name: str = Field(title="姓名", max_length=40)
    role: Role = Field(title="角色")
    unit_id: str = Field("", title="所属单位", max_length=40)
    disabled: bool = Field(False, title="停用")


class PasswordResetForm(Input):
    """A new password for somebody who forgot theirs."""

    password: str = Field(title="新密码", max_length=256)


@router.get(LIST_URL, policy=ADMIN)
async def accounts_page(
    request: Request,
    tx: Tx,
    q: Annotated[str, Query(max_length=80)] = "",
    ended: bool = False,
) -> Response:
    """The accounts that match a search, or those whose organisation has ended."""
    form = Form[Any]()
    return await _list_page(request, tx, form, term=q, only_ended=ended)


async def _list_page(
    request: Request,
    tx: Transaction,
    form: Form[Any],
    status: int = 200,
    *,
    term: str = "",
    only_ended: bool = False,
) -> Response:
    return render_page(
        request,
        "accounts.html",
        status,
        found=await list_accounts(tx, term=term, only_ended=only_ended),
        term=term,
        only_ended=only_ended,
        roles=Role.choices(),
        form=form,
        failed=status >= 400,
    )


@router.post(LIST_URL, policy=ADMIN)
async def create_account(
    request: Request,
    transactions: Transactions,
    user: CurrentUser,
) -> Response:
    form: Form[AccountForm] = await read_form(request, AccountForm)
    given = form.cleaned
    if given is not None:
        # No connection is held while the password is hashed.
        password = await NewPassword.of(given.password)
        try:
            async with transactions() as tx:
                await accounts.create_account(
                    tx,
                    name=given.name,
                    display_name=given.display_name,
                    role=given.role,
                    password=password,
                    unit_id=given.unit_id or None,
                    by=str(user.id),
                )
            return redirect(request, LIST_URL)
        except Rejected as error:
            form.add_error(error.sentence, error.field or "")
    async with transactions() as tx:
        return await _list_page(request, tx, form, 422)


@router.get(LIST_URL + "/{account_id}", policy=ADMIN)
async def account_page(
    request: Request,
    tx: Tx,
    account_id: UUID,
) -> Response:
    """One account."""
    return await _account_page(request, tx, account_id, None)


async def _account_page(
    request: Request,
    tx: Transaction,
    account_id: UUID,
    form: Form[Any] | None,
) -> Response:
    line, accounts_found = await account_line(tx, account_id)
    entry = line.entry
    initial = {
        "display_name": entry.display_name,
        "role": entry.role,
        "unit_id": entry.unit_id or "",
        "disabled": "true" if entry.disabled else "",
    }
    return render_page(
        request,
        "account.html",
        422 if form else 200,
        line=line,
        roles=Role.choices(),
        units=accounts_found.units,
        form=form or Form[Any].with_initial(initial),
        enrolled=await is_enrolled(tx, account_id),
        failed=form is not None,
    )


@router.post(LIST_URL + "/{account_id}", policy=ADMIN)
async def change_account(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    account_id: UUID,
) -> Response:
    """Change role, organisation or name, or disable it; its sessions end at once."""
    form = await read_form(request, AccountChangeForm)
    if form.cleaned is None:
        return await _account_page(request, tx, account_id, form)
    action = accounts.change_account(
        tx,
        account_id,
        role=form.cleaned.role,
        unit_id=form.cleaned.unit_id or None,
        display_name=form.cleaned.display_name,
        disabled=form.cleaned.disabled,
        by=user,
    )
    return await idempotency.redirect(action, to=f"{LIST_URL}/{account_id}")


@router.post(LIST_URL + "/{account_id}/password", policy=ADMIN)
async def reset_password(
    request: Request,
    transactions: Transactions,
    user: CurrentUser,
    account_id: UUID,
) -> Response:
    """Set a new password; the sessions of the account end."""
    form: Form[PasswordResetForm] = await read_form(request, PasswordResetForm)
    if form.cleaned is not None:
        password = await NewPassword.of(form.cleaned.password)
        try:
            async with transactions() as tx:
                await accounts.reset_password(tx, account_id, password=password, by=user)
            return redirect(request, f"{LIST_URL}/{account_id}")
        except Rejected as error:
            form.add_error(error.sentence, error.field or "")
    async with transactions() as tx:
        return await _account_page(request, tx, account_id, form)


@router.post(LIST_URL + "/{account_id}/second-factor-reset", policy=ADMIN)
async def reset_second_factor(
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    account_id: UUID,
) -> Response:
    """重置动态口令: the sessions of the account end, and its next sign-in enrols again."""
    action = second_factors.reset(tx, account_id, by=str(user.id))
    return await idempotency.redirect(action, to=f"{LIST_URL}/{account_id}")
