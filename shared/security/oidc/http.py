"""Requests to the identity provider: no redirects, limited in size and time, JSON of a type."""

import asyncio
import ssl
from pathlib import Path
from typing import Final, TypeVar

import httpx2
import msgspec

RESPONSE_BYTES_MAX: Final = 256 * 1024
REQUEST_SECONDS: Final = 10.0
RecordT = TypeVar("RecordT")


class ProviderUnavailable(Exception):
    """The provider does not answer, or not as OpenID Connect says; the message is for the log."""


class ProviderRefusal(Exception):
    """The provider refuses the request, as for a code that was used; the message is for the log."""


async def fetch_json(
    request: httpx2.Request,
    record_type: type[RecordT],
    *,
    ca_file: Path | None,
) -> RecordT:
    """Send a request and return its answer as a record.

    Raises ProviderRefusal if the provider answers 400 or 401, ProviderUnavailable.
    """
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            status, body = await _send(request, ca_file)
    except (httpx2.HTTPError, OSError, TimeoutError) as error:
        raise ProviderUnavailable(f"no answer: {type(error).__name__}") from error
    if status in {httpx2.codes.BAD_REQUEST, httpx2.codes.UNAUTHORIZED}:
        raise ProviderRefusal(f"status {status}")
    if status != httpx2.codes.OK:
        raise ProviderUnavailable(f"status {status}")
    try:
        return msgspec.json.decode(body, type=record_type)
    except msgspec.DecodeError as error:
        raise ProviderUnavailable("not the expected JSON") from error


async def _send(request: httpx2.Request, ca_file: Path | None) -> tuple[int, bytes]:
    """Return status and body. A body that is compressed is not expanded, and so is no JSON."""
    request.headers["accept-encoding"] = "identity"
    # A proxy from the environment would see the client's secret.
    client = httpx2.AsyncClient(verify=_tls_context(ca_file), trust_env=False)
    async with client:
        response = await client.send(request, stream=True, follow_redirects=False)
        try:
            return response.status_code, await _read(response)
        finally:
            await response.aclose()


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)


async def _read(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > RESPONSE_BYTES_MAX:
            raise ProviderUnavailable("answer too large")
    return bytes(body)
