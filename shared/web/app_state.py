"""What all requests of a service share, typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from jinja2 import Environment
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.requests import Request

from shared.foundation.settings import Settings
from shared.security.rate_limits import RateLimiter
from shared.security.sessions import Sessions
from shared.storage.connections import Database

if TYPE_CHECKING:
    from shared.web.idempotency import WriteCoalescer


class AppState(State):
    """The attributes of `app.state`.

    `shared.runtime.service` sets what requests use; `shared.web.install` sets what pages show.
    """

    service: str
    settings: Settings
    context: Any
    """The service's own context, found by actions at `tx.context`."""
    database: Database
    redis: Redis
    sessions: Sessions
    limiter: RateLimiter
    write_coalescer: WriteCoalescer

    templates: Environment
    version: str
    organisation: str
    contact_phone: str
    banner: str
    idle_minutes: int


def app_state(owner: Request | Starlette) -> AppState:
    """Return the typed state of an application, or of a request's application."""
    app = owner.app if isinstance(owner, Request) else owner
    return cast(AppState, app.state)
