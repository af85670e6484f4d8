"""机构名册: which changes the register accepts, and what they make of the bodies concerned.

Every function returns the bodies that change. Ids are assigned by the store, never by a caller, and
never used again; see `shared.appraisal.organisations` for what a body is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from msgspec.structs import replace

from shared.appraisal.errors import Rejected
from shared.appraisal.labels import (
    OrganisationKind,
    OrganisationLevel,
    OrganisationState,
    SuccessionKind,
)
from shared.appraisal.organisations import (
    Organisation,
    OrganisationName,
    OrganisationRegister,
    Successor,
    is_official_code,
    name_key,
    normalise_code,
)

NAME_MAX: Final = 80
ALIASES_MAX: Final = 20
CODE_SENTENCE: Final = (
    "官方代码应是 18 位统一社会信用代码或 12 位统计用区划代码，且校验位正确；"
    "本地自编的编号不能用来识别单位"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationDraft:
    """What a person enters about a body. `parent_id` None: it is at the top."""

    name: str
    kind: OrganisationKind = OrganisationKind.UNIT
    level: OrganisationLevel = OrganisationLevel.PROVINCE
    official_code: str = ""
    parent_id: str | None = None
    aliases: tuple[str, ...] = ()


def new_organisation(
    register: OrganisationRegister,
    id: str,
    draft: OrganisationDraft,
    *,
    valid_from: date | None = None,
) -> Organisation:
    """Return a new body. Raises Rejected (422) for a wrong or used name, code or parent."""
    name = _checked_name(draft.name)
    _check_namesakes(register, name, draft.parent_id, own_id=id)
    if draft.parent_id is not None:
        active(register, draft.parent_id, field="parent_id")
    return Organisation(
        id=id,
        names=(OrganisationName(name=name, valid_from=valid_from),),
        kind=draft.kind,
        level=draft.level,
        parent_id=draft.parent_id,
        official_code=_checked_code(register, draft.official_code, own_id=id),
        aliases=_checked_aliases(draft.aliases, name),
    )


def active(
    register: OrganisationRegister,
    id: str,
    *,
    field: str = "organisation_id",
) -> Organisation:
    """Return a body that exists today. Raises Rejected: 404 for an unknown id, 409 for another."""
    organisation = register.find(id)
    if organisation is None:
        raise Rejected(f"单位名册中没有编号为“{id}”的单位", status=404, field=field)
    if not organisation.is_active:
        raise Rejected(
            f"“{organisation.name}”{organisation.state.label}，不能再办理变更", field=field
        )
    return organisation


def amend(
    register: OrganisationRegister,
    organisation: Organisation,
    *,
    kind: OrganisationKind,
    level: OrganisationLevel,
    official_code: str,
    aliases: Sequence[str],
) -> Organisation:
    """更正登记信息: return the body with another kind, level, code or other aliases."""
    return replace(
        organisation,
        kind=kind,
        level=level,
        official_code=_checked_code(register, official_code, own_id=organisation.id),
        aliases=_checked_aliases(aliases, organisation.name),
    )


def rename(
    register: OrganisationRegister,
    organisation: Organisation,
    *,
    name: str,
    valid_from: date,
    today: date,
) -> Organisation:
    """更名: return the body with another name from that day on. The former one stays on record."""
    name = _checked_name(name)
    current = organisation.names[-1]
    if name == current.name:
        raise Rejected("新名称与现用名称相同", status=422, field="name")
    _check_day(valid_from, today, field="valid_from")
    if current.valid_from is not None and valid_from <= current.valid_from:
        raise Rejected("更名日期应晚于现用名称的启用日期", status=422, field="valid_from")
    _check_namesakes(register, name, organisation.parent_id, own_id=organisation.id)
    renamed = OrganisationName(name=name, valid_from=valid_from)
    return replace(organisation, names=(*organisation.names, renamed))


def move(
    register: OrganisationRegister,
    organisation: Organisation,
    parent_id: str | None,
) -> Organisation:
    """改设上级: return the body under another one. Raises Rejected (422) if that makes a circle."""
    if parent_id is not None:
        active(register, parent_id, field="parent_id")
        if parent_id in {organisation.id, *register.descendants(organisation.id)}:
            raise Rejected("上级单位不能是本单位或其下级单位", status=422, field="parent_id")
    _check_namesakes(register, organisation.name, parent_id, own_id=organisation.id)
    return replace(organisation, parent_id=parent_id)


def merge(
    register: OrganisationRegister,
    merged: Sequence[Organisation],
    into: Organisation,
    *,
    on: date,
    today: date,
) -> list[Organisation]:
    """合并: return the ended bodies, each succeeded by `into`, and those under them, moved."""
    _check_day(on, today, field="on")
    ids = {each.id for each in merged}
    if not ids or into.id in ids:
        raise Rejected("请选择并入的单位，且不能并入自身", status=422, field="into_id")
    if ids & set(register.ancestors(into.id)):
        raise Rejected("不能并入自己的下级单位，请先改设上级", status=422, field="into_id")
    successor = Successor(organisation_id=into.id, kind=SuccessionKind.MERGED, takes_over=True)
    ended = [_ended(each, on, (successor,)) for each in merged]
    children = [register.by_id[child] for id in ids for child in register.children.get(id, ())]
    # Withdrawn and ended bodies move as well, so that whoever stood under a body is found under
    # the one that it has become.
    moved = [replace(child, parent_id=into.id) for child in children if child.id not in ids]
    return [*ended, *moved]


def split(
    register: OrganisationRegister,
    organisation: Organisation,
    successors: Sequence[Organisation],
    *,
    heir_id: str,
    on: date,
    today: date,
) -> Organisation:
    """分设: return the ended body. `heir_id`: the successor that takes over its open matters.

    Raises Rejected for fewer than two successors and while active bodies stand under it: only a
    person knows which successor they belong to.
    """
    _check_day(on, today, field="on")
    ids = {each.id for each in successors} - {organisation.id}
    if len(ids) < 2:
        raise Rejected("分设至少要有两个承接单位", status=422, field="successor_ids")
    if heir_id not in ids:
        raise Rejected("请在承接单位中指定一个承接未办结事项", status=422, field="heir_id")
    if any(register.by_id[child].is_active for child in register.children.get(organisation.id, ())):
        raise Rejected("该单位还有下级单位，请先为它们改设上级")
    links = [_split_into(id, heir_id) for id in sorted(ids)]
    return _ended(organisation, on, tuple(links))


def _split_into(id: str, heir_id: str) -> Successor:
    return Successor(organisation_id=id, kind=SuccessionKind.SPLIT, takes_over=id == heir_id)


def _ended(
    organisation: Organisation,
    on: date,
    successors: tuple[Successor, ...],
) -> Organisation:
    return replace(
        organisation,
        state=OrganisationState.ENDED,
        ended_on=on,
        successors=successors,
    )


def withdraw(
    register: OrganisationRegister,
    organisation: Organisation,
    *,
    uses: Sequence[str],
) -> Organisation:
    """撤回登记: return the body as never existing. `uses`: what already refers to it, in words.

    Raises Rejected (409) when anything does.
    """
    children = register.children.get(organisation.id, ())
    below = [id for id in children if register.by_id[id].state is not OrganisationState.WITHDRAWN]
    reasons = [*uses]
    if below:
        reasons.append("下级单位")
    if register.predecessors.get(organisation.id):
        reasons.append("由其他单位合并或分设而来")
    if reasons:
        raise Rejected(f"该单位已有数据（{'、'.join(reasons)}），不能撤回登记")
    # Its code is free again: it belongs to the body that was meant.
    return replace(organisation, state=OrganisationState.WITHDRAWN, official_code=None)


# ── checks ────────────────────────────────────────────────────────────────────────────────────────


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 2 <= len(name) <= NAME_MAX:
        raise Rejected(f"单位名称应为 2 至 {NAME_MAX} 个字", status=422, field="name")
    return name


def _check_namesakes(
    register: OrganisationRegister,
    name: str,
    parent_id: str | None,
    *,
    own_id: str,
) -> None:
    """Two bodies of one name under the same parent could never be told apart."""
    wanted = name_key(name)
    for other in register.active():
        is_sibling = other.parent_id == parent_id and other.id != own_id
        if is_sibling and name_key(other.name) == wanted:
            raise Rejected(
                f"同一上级下已有“{other.name}”（{other.id}）；如是另一个单位，请填写不同的上级单位或全称",
                status=422,
                field="name",
            )


def _checked_code(
    register: OrganisationRegister,
    text: str,
    *,
    own_id: str,
) -> str | None:
    code = normalise_code(text)
    if not code:
        return None
    if not is_official_code(code):
        raise Rejected(CODE_SENTENCE, status=422, field="official_code")
    holder = holder_of(register.by_id.values(), code)
    if holder is not None and holder.id != own_id:
        raise Rejected(f"这个官方代码属于“{holder.name}”（{holder.id}）", field="official_code")
    return code


def holder_of(organisations: Iterable[Organisation], code: str) -> Organisation | None:
    """Return the body with this official code."""
    return next((each for each in organisations if each.official_code == code), None)


def _checked_aliases(aliases: Iterable[str], name: str) -> tuple[str, ...]:
    stripped = (alias.strip() for alias in aliases)
    distinct = tuple(dict.fromkeys(alias for alias in stripped if alias and alias != name))
    if len(distinct) > ALIASES_MAX or any(len(alias) > NAME_MAX for alias in distinct):
        raise Rejected(
            f"其他名称最多 {ALIASES_MAX} 个，每个最多 {NAME_MAX} 个字", status=422, field="aliases"
        )
    return distinct


def _check_day(day: date, today: date, *, field: str) -> None:
    if day > today:
        raise Rejected("日期不能晚于今天；变更生效后再登记", status=422, field=field)
