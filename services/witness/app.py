"""The witness over HTTP: `POST /add-checkpoint`, `GET /checkpoint?origin=`, `GET /key`."""

import asyncio
import time
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.witness.cosigning import CheckpointSubmission, NotCosigned, cosign
from services.witness.store import WitnessFolder

REQUEST_BYTES_MAX: Final = 16_384
SIZE_TYPE: Final = "text/x.tlog.size"


class Witness:
    """The routes of one witness. Requests are answered one after the other."""

    def __init__(self, folder: WitnessFolder) -> None:
        self._folder = folder
        self._lock = asyncio.Lock()

    async def add_checkpoint(self, request: Request) -> Response:
        """Cosign a checkpoint that continues what was seen."""
        try:
            submission = CheckpointSubmission.read(await _body(request))
            async with self._lock:
                now = int(time.time())
                line = await asyncio.to_thread(cosign, self._folder, submission, now)
        except NotCosigned as refusal:
            media_type = SIZE_TYPE if refusal.status == 409 else "text/plain"
            return Response(refusal.body, refusal.status, media_type=media_type)
        return PlainTextResponse(line)

    async def checkpoint(self, request: Request) -> Response:
        """Return the newest cosigned checkpoint of a log."""
        note = self._folder.last_note(request.query_params.get("origin", ""))
        return PlainTextResponse(note) if note else PlainTextResponse("unknown log", 404)

    async def key(self, _: Request) -> Response:
        """Return the public key of the witness."""
        return PlainTextResponse(self._folder.key.text + "\n")


async def _body(request: Request) -> str:
    """Return the body of a request. Raises NotCosigned if it is too long or not text."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > REQUEST_BYTES_MAX:
            raise NotCosigned(413, "too long")
    try:
        return received.decode()
    except UnicodeDecodeError as error:
        raise NotCosigned(400, "not text") from error


def build(folder: WitnessFolder) -> Starlette:
    """Return the application of a witness."""
    witness = Witness(folder)
    return Starlette(
        routes=[
            Route("/add-checkpoint", witness.add_checkpoint, methods=["POST"]),
            Route("/checkpoint", witness.checkpoint),
            Route("/key", witness.key),
            Route("/livez", witness.key),
            Route("/readyz", witness.key),
        ]
    )
