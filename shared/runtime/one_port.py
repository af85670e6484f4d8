"""Several services behind one port, routed by path, as the gateway does it in a cluster."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from shared.runtime.request_telemetry import Receive, Scope, Send
from shared.runtime.service import Service


class SinglePortApp:
    """ASGI application that routes to services by path."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        prefixes = [
            (prefix.rstrip("/"), service) for service in services for prefix in service.prefixes
        ]
        self._longest_first = sorted(prefixes, key=lambda pair: -len(pair[0]))

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        if scope["type"] == "lifespan":
            return await self._lifespan(receive, send)
        path = scope.get("path", "/")
        await self._service_of(path).app(scope, receive, send)

    def _service_of(self, path: str) -> Service:
        return next(
            service
            for prefix, service in self._longest_first
            if path == prefix or path.startswith(f"{prefix}/")
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                await self._start_services(stack)
            except BaseException as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start_services(self, stack: AsyncExitStack) -> None:
        for service in self._services:
            lifespan = service.app.router.lifespan_context(service.app)
            await stack.enter_async_context(lifespan)
