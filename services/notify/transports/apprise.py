"""Messaging services that the Apprise library supports: 企业微信, 钉钉, 飞书 and others."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.notify.domain.channels import scheme_of
from services.notify.transports.message import OutboundMessage, TransportError
from services.notify.transports.policy import OutboundPolicy

VENDOR_SCHEMES: Final = frozenset(
    {"wecombot", "dingtalk", "feishu", "lark", "wechat", "wxpusher", "schan", "pushplus"}
)
"""Schemes whose host the vendor fixes, so their addresses cannot lead to an internal machine."""
_SCHEME_LABELS: Final[Mapping[str, str]] = {
    "wecombot": "企业微信群机器人",
    "wechat": "企业微信",
    "dingtalk": "钉钉",
    "feishu": "飞书",
    "lark": "飞书",
}


@dataclass(frozen=True, slots=True)
class AppriseTransport:
    """Sends to Apprise URLs."""

    policy: OutboundPolicy

    async def check(self, address: str) -> None:
        plugin = self._plugin(address)
        if _names_its_host(address, plugin):
            await self.policy.check_host(plugin.host, plugin.port or 0)

    async def send(self, address: str, message: OutboundMessage) -> None:
        plugin = self._plugin(address)
        if _names_its_host(address, plugin):
            await self.policy.resolve(plugin.host, plugin.port or 0)
        if isinstance(getattr(plugin, "headers", None), dict):
            plugin.headers["Idempotency-Key"] = str(message.key)
        title = message.full_title
        accepted = await asyncio.to_thread(plugin.notify, body=message.as_text(), title=title)
        if not accepted:
            raise TransportError("对方没有接收")

    def _plugin(self, address: str) -> Any:
        """Return Apprise's sender for an address, with redirects and retries disabled."""
        if scheme_of(address) not in self.policy.apprise_schemes | VENDOR_SCHEMES:
            raise TransportError("不支持这种地址，或未被允许", permanent=True)
        plugin = _instantiate(address)
        if plugin is None:
            raise TransportError("地址的格式不正确", permanent=True)
        # Parameters of the address can enable these; they are overridden.
        plugin.redirects = False
        plugin.retry = 0
        plugin.verify_certificate = True
        plugin.socket_connect_timeout = self.policy.timeout_seconds / 2
        plugin.socket_read_timeout = self.policy.timeout_seconds / 2
        return plugin


def _instantiate(address: str) -> Any:
    import apprise  # Slow: it loads more than a hundred plugins.

    asset = apprise.AppriseAsset(
        app_id="fengping",
        app_desc="fengping",
        secure_logging=True,
        http_redirects=False,
    )
    return apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)


def redact(address: str) -> str:
    """Return the name of the service."""
    scheme = scheme_of(address)
    return _SCHEME_LABELS.get(scheme, scheme)


def _names_its_host(address: str, plugin: Any) -> bool:
    return bool(plugin.host) and scheme_of(address) not in VENDOR_SCHEMES
