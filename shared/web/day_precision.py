"""What a unit sees carries days, never minutes: a minute could tell who reported, and when.

Pages render every instant through the filters of `shared.web.rendering`, which ask `sees_minutes`.
Responses of the JSON API pass through `in_days`. A due time stays as exact as the unit needs it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from shared.appraisal.calendar.deadlines import due_for_units
from shared.appraisal.calendar.working_days import civil_day, midnight
from shared.appraisal.labels import Role
from shared.security.policies import Account

ModelT = TypeVar("ModelT", bound=BaseModel)
UNIT_ROLES: Final = frozenset({Role.HANDLER, Role.UNIT_HEAD})
DUE_FIELD: Final = "due_at"


def sees_minutes(account: Account | None) -> bool:
    """Return whether this reader may see the minutes of an instant."""
    return account is None or account.role not in UNIT_ROLES


def in_days(response: ModelT, account: Account) -> ModelT:
    """Return the response as this reader may see it: for units every instant is its day."""
    return response if sees_minutes(account) else _coarsened(response)


def _coarsened(model: ModelT) -> ModelT:
    fields = type(model).model_fields
    changes = {name: _coarse_value(name, getattr(model, name)) for name in fields}
    return model.model_copy(update=changes)


def _coarse_value(name: str, value: Any) -> Any:
    match value:
        case datetime():
            return due_for_units(value) if name == DUE_FIELD else midnight(civil_day(value))
        case BaseModel():
            return _coarsened(value)
        case list() | tuple():
            return [_coarse_value(name, each) for each in value]
        case Mapping():
            return {key: _coarse_value(key, each) for key, each in value.items()}
        case _:
            return value
