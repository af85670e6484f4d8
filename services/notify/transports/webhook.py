"""Webhooks, signed as the Standard Webhooks specification describes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import httpx2
from standardwebhooks import Webhook

from services.notify.transports.message import OutboundMessage, TransportError
from services.notify.transports.policy import IpAddress, OutboundPolicy
from services.notify.transports.tls import default_tls_context
from shared.foundation.clock import real_now

TRANSIENT_CLIENT_ERRORS: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class WebhookTransport:
    """Posts to `https://` addresses. `signing_key` returns the key of a subscription."""

    policy: OutboundPolicy
    signing_key: Callable[[UUID], bytes]

    async def check(self, address: str) -> None:
        url = self._parse(address)
        await self.policy.check_host(url.host, _port(url))

    async def send(self, address: str, message: OutboundMessage) -> None:
        url = self._parse(address)
        resolved = await self.policy.resolve(url.host, _port(url))
        body = message.as_json()
        headers = self._headers(url, message, body)
        status = await self._post(url, resolved, headers=headers, body=body)
        raise_for_status(status)

    def _headers(
        self,
        url: httpx2.URL,
        message: OutboundMessage,
        body: bytes,
    ) -> dict[str, str]:
        key = self.signing_key(message.subscription_id)
        return {
            **signature_headers(key, message.key, real_now(), body),
            "host": url.netloc.decode("ascii"),
            "content-type": "application/json",
            "user-agent": "fengping",
            "idempotency-key": str(message.key),
        }

    async def _post(
        self,
        url: httpx2.URL,
        resolved: IpAddress,
        *,
        headers: dict[str, str],
        body: bytes,
    ) -> int:
        """Post to the resolved address and return the status; the answer's body is not read."""
        try:
            async with self._client() as client:
                request = client.build_request(
                    "POST",
                    url.copy_with(host=str(resolved)),
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": url.host},
                )
                response = await client.send(request, stream=True, follow_redirects=False)
                await response.aclose()
        except httpx2.TimeoutException as error:
            raise TransportError("对方超时未响应") from error
        except (httpx2.TransportError, OSError) as error:
            raise TransportError("无法连接对方服务器") from error
        return response.status_code

    def _client(self) -> httpx2.AsyncClient:
        # A proxy from the environment would resolve the host again.
        return httpx2.AsyncClient(
            verify=default_tls_context(),
            trust_env=False,
            timeout=self.policy.timeout_seconds,
        )

    def _parse(self, address: str) -> httpx2.URL:
        try:
            url = httpx2.URL(address)
        except httpx2.InvalidURL as error:
            raise TransportError("网址的格式不正确", permanent=True) from error
        if not url.host or url.userinfo:
            raise TransportError("网址的格式不正确", permanent=True)
        if url.scheme != "https" and not self.policy.allow_private:
            raise TransportError("网址必须以 https:// 开头", permanent=True)
        return url


def redact(address: str) -> str:
    """Return the host; the path of a webhook may be a secret."""
    return httpx2.URL(address).host


def signature_headers(
    key: bytes,
    message_id: UUID,
    now: datetime,
    body: bytes,
) -> dict[str, str]:
    """Return `webhook-id`, `webhook-timestamp` and `webhook-signature`."""
    return {
        "webhook-id": str(message_id),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(key).sign(str(message_id), now, body.decode()),
    }


def raise_for_status(status: int) -> None:
    """Raise TransportError unless the receiver accepted the message."""
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise TransportError("对方要求跳转，为安全起见不予跟随", permanent=True)
    permanent = 400 <= status < 500 and status not in TRANSIENT_CLIENT_ERRORS
    raise TransportError(f"对方返回 {status}", permanent=permanent)


def _port(url: httpx2.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
