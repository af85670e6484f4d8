"""What the API's modules share."""

from typing import Annotated, Final

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from shared.appraisal.labels import Role
from shared.security.policies import allow
from shared.web import Router

PAGE_MAX: Final = 200
PageSize = Annotated[int, Query(ge=1, le=PAGE_MAX)]
ADMIN: Final = allow(Role.ADMIN)


class ResponseModel(BaseModel):
    """A response that reads its fields from a row or a read model."""

    model_config = ConfigDict(from_attributes=True)


def api_router() -> Router:
    return Router(prefix="/notify/api", tags=["通知"])
