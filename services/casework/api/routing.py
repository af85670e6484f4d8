"""What the routes of the API share."""

from typing import Annotated, Final

from fastapi import Path
from pydantic import BaseModel, ConfigDict

from services.casework.domain.states import ALLOWED_ROLES, READER_ROLES, CaseAction
from shared.security.policies import Policy, allow
from shared.web import Router

Number = Annotated[str, Path(pattern=r"^ZF\d{4}-\d{6,}$", description="办件编号，如 ZF2026-004512")]
READERS: Final = allow(*READER_ROLES)


class CaseworkResponse(BaseModel):
    """Base of responses that are read from a view by the names of their fields."""

    model_config = ConfigDict(from_attributes=True)


def may(action: CaseAction) -> Policy:
    """Return the policy of an action."""
    return allow(*ALLOWED_ROLES[action])


def api_router() -> Router:
    """Return a router under the API's prefix."""
    return Router(prefix="/casework/api", tags=["办理"])
