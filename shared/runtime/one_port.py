"""Several services behind one port, routed by path."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from fastapi.responses import JSONResponse, Response

from shared.runtime.request_telemetry import Scope
from shared.runtime.service import OPEN_PATHS, Service, metrics_response, readiness_response


class SinglePortApp:
    """Several services behind one port, routed by path, with common health and metrics. The shape
    of the gateway, in one process.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._by_prefix = sorted(
            ((prefix.rstrip("/"), service) for service in services for prefix in service.prefixes),
            key=lambda pair: -len(pair[0]),
        )

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self._lifespan(receive, send)
        path = scope.get("path", "/")
        if scope["type"] == "http" and path in OPEN_PATHS:
            response = await self._own_endpoint(path)
            return await response(scope, receive, send)
        await self._service_of(path).app(scope, receive, send)

    def _service_of(self, path: str) -> Service:
        return next(
            service
            for prefix, service in self._by_prefix
            if path == prefix or path.startswith(f"{prefix}/")
        )

    async def _own_endpoint(self, path: str) -> Response:
        if path == "/metrics":
            return metrics_response()
        if path == "/livez":
            return JSONResponse({"alive": "yes"})
        return readiness_response(
            {service.name: await service.readiness() for service in self._services}
        )

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                for service in self._services:
                    await stack.enter_async_context(
                        service.app.router.lifespan_context(service.app)
                    )
            except BaseException as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
