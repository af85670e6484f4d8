"""How a notification leaves the house: mail, signed webhooks, and whatever Apprise speaks. No database
here, and no transaction is open.

Context: addresses are typed by an administrator, and a server that calls any address it is given
can be made to call the house's own machines (SSRF). A process may die between the call and the note
that it was made.
Decision: a webhook's host is resolved once, every address is judged, and the connection goes to
exactly that address, without proxies and without following redirects. Apprise connects by itself,
so only schemes whose host its maker fixed are allowed, unless the installation names others. Every
attempt of a delivery carries the same key: `webhook-id`, `Idempotency-Key`, `Message-ID`.
Consequences: at least once outside the house; whoever keeps the key sees it once. Webhooks follow
the Standard Webhooks specification.
"""

import asyncio
import hmac
import ipaddress
import json
import smtplib
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Final, Literal
from uuid import UUID

import httpx2

from services.notify.domain import Channel, channel_of
from shared.foundation.clock import real_now

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
TITLE_PREFIX: Final = "【作风评议】"


class TransportError(Exception):
    """It did not arrive. `permanent`: nor will it; the sentence holds nothing of the address and
    nothing of the answer's text.
    """

    def __init__(self, sentence: str, *, permanent: bool = False) -> None:
        super().__init__(sentence)
        self.sentence, self.permanent = sentence, permanent


@dataclass(frozen=True, slots=True)
class Message:
    """A notification for the world outside. `key` is the same in every attempt; `link` is absolute;
    instants are aware.
    """

    key: UUID
    kind: str
    title: str
    number: str
    text: str
    link: str
    due_at: datetime | None
    occurred_at: datetime

    def body(self) -> bytes:
        """As webhooks carry it."""
        told: dict[str, str | None] = {
            "title": self.title,
            "number": self.number,
            "text": self.text,
            "link": self.link,
        }
        told["due_at"] = _iso(self.due_at) if self.due_at else None
        shown = {"type": self.kind, "timestamp": _iso(self.occurred_at), "data": told}
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()

    def paragraphs(self) -> str:
        """As people read it. The last line lets them recognise a notification that comes twice."""
        return f"{self.text}\n\n请登录查看：{self.link}\n\n通知号：{str(self.key)[-12:]}"


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Smtp:
    """The house's mail server. `sender`: the address in From."""

    host: str
    port: int
    sender: str
    security: Literal["none", "starttls", "tls"] = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Reach:
    """What this installation may call. `hosts`: patterns of names, none: any public host.
    `networks`: private ones that are allowed.
    """

    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    private: bool = False
    schemes: frozenset[str] = frozenset()
    """Apprise schemes."""
    smtp: Smtp | None = None
    seconds: float = 10.0

    async def resolve(self, host: str, port: int) -> Address:
        """The one address to connect to. Raises TransportError when the host may not be called, or
        any of its addresses may not.
        """
        if self.hosts and not any(fnmatchcase(host.lower(), pattern) for pattern in self.hosts):
            raise TransportError("主机不在允许名单内", permanent=True)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            raise TransportError("域名无法解析") from error
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        # One private address among public ones is how a name is made to lead inside on the second
        # look.
        if not all(self.allows(address) for address in addresses):
            raise TransportError("地址属于内部网络，未被允许", permanent=True)
        return addresses[0]

    def allows(self, address: Address) -> bool:
        """May this address be called?"""
        plain = getattr(address, "ipv4_mapped", None) or address
        if any(plain in network for network in self.networks if network.version == plain.version):
            return True
        return self.private or is_public(plain)


_TRANSLATED: Final = tuple(
    map(
        ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
    )
)
"""IPv6 addresses with an IPv4 address inside: whoever translates them leads back to it."""


def is_public(address: Address) -> bool:
    """Does the address belong to the Internet, and to nobody's own network, machine or cloud
    metadata?
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


@dataclass(frozen=True, slots=True)
class Transports:
    """Sends messages. `secret` gives the signing key of a subscription's webhook."""

    reach: Reach
    secret: Callable[[UUID], bytes]

    async def send(self, address: str, message: Message, *, subscription_id: UUID) -> None:
        """Send one message, within `reach.seconds`. Raises TransportError; returning means that the
        other side took it.
        """
        try:
            async with asyncio.timeout(self.reach.seconds):
                match channel_of(address):
                    case Channel.MAIL:
                        await self._mail(address.partition(":")[2], message)
                    case Channel.WEBHOOK:
                        await self._post(address, message, subscription_id)
                    case Channel.APPRISE:
                        await self._apprise(address, message)
        except TimeoutError as error:
            raise TransportError("对方超时未响应") from error

    async def check(self, address: str) -> None:
        """Is this an address we may use at all? Raises TransportError with the reason. A host that
        does not resolve today is let pass.
        """
        match channel_of(address):
            case Channel.MAIL:
                self._check_mail(address.partition(":")[2])
            case Channel.WEBHOOK:
                await self._check_host(*self._webhook_host(address))
            case Channel.APPRISE:
                plugin = _plugin(address, self.reach)
                if plugin.host and _names_its_host(address):
                    await self._check_host(plugin.host, plugin.port or 0)

    async def _check_host(self, host: str, port: int) -> None:
        try:
            await self.reach.resolve(host, port)
        except TransportError as error:
            if error.permanent:
                raise

    # ── mail ──────────────────────────────────────────────────────────────────────────────────────

    def _check_mail(self, recipient: str) -> Smtp:
        if self.reach.smtp is None:
            raise TransportError("尚未配置邮件服务器", permanent=True)
        local, _, host = recipient.partition("@")
        if (
            not (local and host)
            or any(letter.isspace() or letter in ',;<>"' for letter in recipient)
            or not recipient.isascii()
        ):
            raise TransportError("邮箱地址的格式不正确", permanent=True)
        return self.reach.smtp

    async def _mail(self, recipient: str, message: Message) -> None:
        smtp = self._check_mail(recipient)
        await asyncio.to_thread(
            _hand_over, smtp, _letter(smtp, recipient, message), self.reach.seconds / 2
        )

    # ── webhooks ──────────────────────────────────────────────────────────────────────────────────

    def _webhook_host(self, address: str) -> tuple[str, int]:
        try:
            url = httpx2.URL(address)
        except httpx2.InvalidURL as error:
            raise TransportError("网址的格式不正确", permanent=True) from error
        if not url.host or url.userinfo:
            raise TransportError("网址的格式不正确", permanent=True)
        if url.scheme != "https" and not self.reach.private:
            raise TransportError("网址必须以 https:// 开头", permanent=True)
        return url.host, url.port or (443 if url.scheme == "https" else 80)

    async def _post(self, address: str, message: Message, subscription_id: UUID) -> None:
        host, port = self._webhook_host(address)
        pinned = await self.reach.resolve(host, port)
        url, body = httpx2.URL(address), message.body()
        headers = {
            **signature(
                self.secret(subscription_id), message.key, round(real_now().timestamp()), body
            ),
            "host": url.netloc.decode("ascii"),
            "content-type": "application/json",
            "user-agent": "fengping",
            "idempotency-key": str(message.key),
        }
        try:
            # Without proxies of the environment: they would resolve the name again, elsewhere.
            async with httpx2.AsyncClient(
                verify=_tls(), trust_env=False, timeout=self.reach.seconds
            ) as client:
                request = client.build_request(
                    "POST",
                    url.copy_with(host=str(pinned)),
                    content=body,
                    headers=headers,
                    extensions={"sni_hostname": host},
                )
                response = await client.send(request, stream=True, follow_redirects=False)
                await response.aclose()
        except httpx2.TimeoutException as error:
            raise TransportError("对方超时未响应") from error
        except (httpx2.TransportError, OSError) as error:
            raise TransportError("无法连接对方服务器") from error
        judge(response.status_code)

    # ── Apprise ───────────────────────────────────────────────────────────────────────────────────

    async def _apprise(self, address: str, message: Message) -> None:
        plugin = _plugin(address, self.reach)
        if plugin.host and _names_its_host(address):
            await self.reach.resolve(plugin.host, plugin.port or 0)
        if isinstance(getattr(plugin, "headers", None), dict):
            plugin.headers["Idempotency-Key"] = str(message.key)
        taken = await asyncio.to_thread(
            plugin.notify, body=message.paragraphs(), title=TITLE_PREFIX + message.title
        )
        if not taken:
            raise TransportError("对方没有接收")


def signature(secret: bytes, key: UUID, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks: id, time (Unix seconds), and the HMAC-SHA256 of
    `id.time.body`.
    """
    signed = hmac.digest(secret, f"{key}.{timestamp}.".encode() + body, "sha256")
    return {
        "webhook-id": str(key),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(signed).decode()}",
    }


def judge(status: int) -> None:
    """Was it taken? Raises TransportError: for good on what repeating cannot change, else for now."""
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise TransportError("对方要求跳转，为安全起见不予跟随", permanent=True)
    raise TransportError(
        f"对方返回 {status}", permanent=400 <= status < 500 and status not in (408, 425, 429)
    )


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _letter(smtp: Smtp, recipient: str, message: Message) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"] = smtp.sender, recipient
    letter["Subject"] = f"{TITLE_PREFIX}{message.title} {message.number}"
    letter["Date"] = format_datetime(message.occurred_at)
    letter["Message-ID"] = f"<{message.key}@{smtp.sender.rpartition('@')[2]}>"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.paragraphs())
    return letter


def _hand_over(smtp: Smtp, letter: EmailMessage, seconds: float) -> None:
    """Give a letter to the mail server, in a thread of its own."""
    try:
        with _connected(smtp, seconds) as server:
            if smtp.username:
                server.login(smtp.username, smtp.password)
            server.send_message(letter)
    except smtplib.SMTPRecipientsRefused as error:
        code = next(iter(error.recipients.values()))[0]
        raise TransportError(f"收件地址被拒绝（{code}）", permanent=code >= 500) from error
    except smtplib.SMTPResponseException as error:
        # A refused login is for the administrator to mend: the letter itself is as good as before.
        lasting = error.smtp_code >= 500 and not isinstance(error, smtplib.SMTPAuthenticationError)
        raise TransportError(f"邮件服务器返回 {error.smtp_code}", permanent=lasting) from error
    except (smtplib.SMTPException, OSError) as error:
        raise TransportError("无法连接邮件服务器") from error


def _connected(smtp: Smtp, seconds: float) -> smtplib.SMTP:
    if smtp.security == "tls":
        return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=seconds, context=_tls())
    server = smtplib.SMTP(smtp.host, smtp.port, timeout=seconds)
    if smtp.security == "starttls":
        server.starttls(context=_tls())
    return server


VENDOR_SCHEMES: Final = frozenset(
    {"wecombot", "dingtalk", "feishu", "lark", "wechat", "wxpusher", "schan", "pushplus"}
)
"""Apprise schemes whose host is fixed by their maker: 企业微信 钉钉 飞书 and the like."""
SCHEME_LABELS: Final[Mapping[str, str]] = {
    "wecombot": "企业微信群机器人",
    "wechat": "企业微信",
    "dingtalk": "钉钉",
    "feishu": "飞书",
    "lark": "飞书",
}


def _names_its_host(address: str) -> bool:
    return scheme_of(address) not in VENDOR_SCHEMES


def scheme_of(address: str) -> str:
    """`wecombot` of `wecombot://…`."""
    return address.partition(":")[0].lower()


def _plugin(address: str, reach: Reach) -> Any:
    """Apprise's sender for an address: bounded, not following redirects. Raises TransportError."""
    import apprise  # Loading its hundred plugins takes a while: only who uses it waits.

    if scheme_of(address) not in reach.schemes | VENDOR_SCHEMES:
        raise TransportError("不支持这种地址，或未被允许", permanent=True)
    asset = apprise.AppriseAsset(
        app_id="fengping", app_desc="fengping", secure_logging=True, http_redirects=False
    )
    plugin = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    if plugin is None:
        raise TransportError("地址的格式不正确", permanent=True)
    # An address may ask for redirects, repetitions and patience by its parameters: here nobody
    # does.
    plugin.redirects, plugin.retry, plugin.verify_certificate = False, 0, True
    plugin.socket_connect_timeout = plugin.socket_read_timeout = reach.seconds / 2
    return plugin


def hint_of(address: str) -> str:
    """What pages may show of an address: enough to recognise it, not enough to use it."""
    match channel_of(address):
        case Channel.MAIL:
            local, _, host = address.partition(":")[2].partition("@")
            return f"{local[:1]}***@{host}"
        case Channel.WEBHOOK:
            return httpx2.URL(address).host
        case Channel.APPRISE:
            return SCHEME_LABELS.get(scheme_of(address), scheme_of(address))
