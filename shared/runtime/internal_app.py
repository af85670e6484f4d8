"""Readiness and metrics, on a port of their own that no gateway routes to.

They tell which parts of the installation fail, and how often each route is used. The public port
answers `/livez` only, without details, for a load balancer.
"""

from collections.abc import Awaitable, Callable, Sequence

from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.foundation import telemetry
from shared.runtime.request_telemetry import Receive, Scope, Send
from shared.runtime.service import Service


class InternalApp:
    """ASGI application for probes and Prometheus: `/livez`, `/readyz`, `/metrics`."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._endpoints: dict[str, Callable[[], Awaitable[Response]]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        endpoint = self._endpoints.get(scope["path"], _not_found)
        response = await endpoint()
        await response(scope, receive, send)

    async def _livez(self) -> Response:
        return JSONResponse({"alive": "yes"})

    async def _readyz(self) -> Response:
        """Return 200 if there is no problem, else 503 with service → part → reason."""
        problems = {service.name: await service.readiness() for service in self._services}
        ready = not any(problems.values())
        status = 200 if ready else 503
        return JSONResponse({"ready": ready, "problems": problems}, status_code=status)

    async def _metrics(self) -> Response:
        return Response(generate_latest(telemetry.REGISTRY), media_type=CONTENT_TYPE_LATEST)


async def _not_found() -> Response:
    return Response(status_code=404)
