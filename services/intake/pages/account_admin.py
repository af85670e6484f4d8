"""账号管理: the administrator creates accounts, moves them between organisations, disables them."""

from collections.abc import Awaitable
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.intake.actions import account_requests, accounts, second_factors
from services.intake.actions.account_requests import AccountChange
from services.intake.domain.privileged_accounts import is_privileged
from services.intake.store.second_factors import is_enrolled
from services.intake.views.accounts import account_line, list_accounts
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import Role
from shared.security.approvals.domain import REASON_MAX
from shared.security.passwords import NewPassword
from shared.security.policies import Account, allow
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
    reason: str = Field("", title="申请理由", max_length=REASON_MAX)


class AccountChangeForm(Input):
    """What an account may do."""

    display_name: str = Field(title="姓名", max_length=40)
    role: Role = Field(title="角色")
    unit_id: str = Field("", title="所属单位", max_length=40)
    disabled: bool = Field(False, title="停用")
    reason: str = Field("", title="申请理由", max_length=REASON_MAX)

    @property
    def change(self) -> AccountChange:
        return AccountChange(
            role=self.role,
            unit_id=self.unit_id or None,
            display_name=self.display_name,
            disabled=self.disabled,
        )


class PasswordResetForm(Input):
    """A new password for somebody who forgot theirs."""

    password: str = Field(title="新密码", max_length=256)
    reason: str = Field("", title="申请理由", max_length=REASON_MAX)


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
        privileged="、".join(role.label for role in Role if is_privileged(role)),
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
                return redirect(request, await _create(tx, given, password, user))
        except Rejected as error:
            form.add_error(error.sentence, error.field or "")
    async with transactions() as tx:
        return await _list_page(request, tx, form, 422)


async def _create(
    tx: Transaction,
    given: AccountForm,
    password: NewPassword,
    user: Account,
) -> str:
    """Create the account, or request it if its role is privileged; return the page to go to."""
    wanted: dict[str, Any] = {
        "name": given.name,
        "display_name": given.display_name,
        "role": given.role,
        "password": password,
        "unit_id": given.unit_id or None,
    }
    if is_privileged(given.role):
        reason = given.reason
        return _request_url(
            await account_requests.request_creation(tx, **wanted, reason=reason, by=user)
        )
    await accounts.create_account(tx, **wanted, by=str(user.id))
    return LIST_URL


def _request_url(approval_id: UUID) -> str:
    return f"/intake/dual-approvals/{approval_id}"


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
        is_privileged=is_privileged(Role(entry.role)),
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
    """Change role, organisation or name, or disable it; its sessions end at once.

    What gives or restores privileged rights is requested, and a second person agrees.
    """
    form = await read_form(request, AccountChangeForm)
    if form.cleaned is None:
        return await _account_page(request, tx, account_id, form)
    change = form.cleaned.change
    if not await account_requests.needs_second_person(tx, account_id, change):
        fields = msgspec.structs.asdict(change)
        action = accounts.change_account(tx, account_id, **fields, by=user)
        return await idempotency.redirect(action, to=f"{LIST_URL}/{account_id}")
    reason = form.cleaned.reason
    request_change = account_requests.request_change(tx, account_id, change, reason=reason, by=user)
    return await _request_or_show(request, tx, idempotency, request_change, account_id, form)


async def _request_or_show(
    request: Request,
    tx: Transaction,
    idempotency: Idempotency,
    action: Awaitable[UUID],
    account_id: UUID,
    form: Form[Any],
) -> Response:
    """Make a request and go to its page, or show the form again with what is wrong with it."""
    try:
        return await idempotency.redirect(action, to=_request_url)
    except Rejected as error:
        if error.status != 422:
            raise
        form.add_error(error.sentence, error.field or "")
        return await _account_page(request, tx, account_id, form)


@router.post(LIST_URL + "/{account_id}/password", policy=ADMIN)
async def reset_password(
    request: Request,
    transactions: Transactions,
    user: CurrentUser,
    account_id: UUID,
) -> Response:
    """Set a new password; the sessions of the account end. For a privileged account, request it."""
    form: Form[PasswordResetForm] = await read_form(request, PasswordResetForm)
    given = form.cleaned
    if given is not None:
        password = await NewPassword.of(given.password)
        try:
            async with transactions() as tx:
                url = await _reset_password(tx, account_id, password, given.reason, user)
            return redirect(request, url)
        except Rejected as error:
            form.add_error(error.sentence, error.field or "")
    async with transactions() as tx:
        return await _account_page(request, tx, account_id, form)


async def _reset_password(
    tx: Transaction,
    account_id: UUID,
    password: NewPassword,
    reason: str,
    user: Account,
) -> str:
    """Set or request the password; return the page to go to."""
    if await account_requests.needs_second_person(tx, account_id):
        return _request_url(
            await account_requests.request_password(
                tx, account_id, password=password, reason=reason, by=user
            )
        )
    await accounts.reset_password(tx, account_id, password=password, by=user)
    return f"{LIST_URL}/{account_id}"


class FactorResetForm(Input):
    """Why a second factor is reset."""

    reason: str = Field("", title="申请理由", max_length=REASON_MAX)


@router.post(LIST_URL + "/{account_id}/second-factor-reset", policy=ADMIN)
async def reset_second_factor(
    request: Request,
    tx: Tx,
    user: CurrentUser,
    idempotency: Idempotency,
    account_id: UUID,
) -> Response:
    """重置动态口令: the sessions of the account end, and its next sign-in enrols again.

    For a privileged account it is requested, and a second person agrees.
    """
    form = await read_form(request, FactorResetForm)
    if form.cleaned is None:
        return await _account_page(request, tx, account_id, form)
    if not await account_requests.needs_second_person(tx, account_id):
        action = second_factors.reset(tx, account_id, by=str(user.id))
        return await idempotency.redirect(action, to=f"{LIST_URL}/{account_id}")
    reason = form.cleaned.reason
    request_reset = account_requests.request_second_factor_reset(
        tx, account_id, reason=reason, by=user
    )
    return await _request_or_show(request, tx, idempotency, request_reset, account_id, form)
