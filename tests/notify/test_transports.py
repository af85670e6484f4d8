"""Every transport against a real server, and the addresses that may not be called."""

import asyncio
import hmac
import ipaddress
import json
import socket
import ssl
from base64 import b64encode
from dataclasses import replace
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from services.notify.settings import NotifySettings
from services.notify.transports import (
    OutboundMessage,
    OutboundPolicy,
    SmtpServer,
    TransportError,
    Transports,
    redact_address,
)
from services.notify.transports.policy import is_public
from services.notify.transports.webhook import raise_for_status
from tests.notify.conftest import WEDNESDAY
from tests.notify.listeners import HttpListener, MailListener, certificate_for, listening

KEY = UUID("01939c1e-0000-7000-8000-0123456789ab")
SECRET = b"s" * 32
MESSAGE = OutboundMessage(
    key=KEY,
    subscription_id=UUID(int=9),
    kind="deadline_lapsed",
    title="超期告警",
    number="ZF2026-004507",
    text="工单ZF2026-004507办理期限已过。",
    link="https://zf.example.cn/casework/cases/ZF2026-004507",
    due_at=WEDNESDAY,
    occurred_at=WEDNESDAY,
)
LOCAL = OutboundPolicy(allow_private=True, apprise_schemes=frozenset({"json"}), timeout_seconds=5)


def transports(**changes):
    return Transports(replace(LOCAL, **changes), lambda _: SECRET)


async def send(address, **changes):
    await transports(**changes).send(address, MESSAGE)


async def rejection(address, **changes):
    with pytest.raises(TransportError) as rejected:
        await send(address, **changes)
    return rejected.value.sentence, rejected.value.permanent


# ── webhooks ──────────────────────────────────────────────────────────────────────────────────────


async def test_webhook_carries_key_timestamp_and_a_verifiable_signature():
    async with listening(hook := HttpListener()):
        await send(hook.url)

    [request] = hook.requests
    signed = f"{KEY}.{request.headers['webhook-timestamp']}.".encode() + request.body
    assert request.headers["webhook-id"] == request.headers["idempotency-key"] == str(KEY)
    assert (
        request.headers["webhook-signature"]
        == "v1," + b64encode(hmac.digest(SECRET, signed, "sha256")).decode()
    )
    Webhook(SECRET).verify(request.body, request.headers)
    assert request.headers["host"] == f"127.0.0.1:{hook.port}"
    assert json.loads(request.body) == {
        "type": "deadline_lapsed",
        "timestamp": "2026-11-25T02:00:00Z",
        "data": {
            "title": "超期告警",
            "number": "ZF2026-004507",
            "text": "工单ZF2026-004507办理期限已过。",
            "link": "https://zf.example.cn/casework/cases/ZF2026-004507",
            "due_at": "2026-11-25T02:00:00Z",
        },
    }


async def test_redirect_is_not_followed():
    async with listening(inside := HttpListener()), listening(hook := HttpListener([302])):
        hook.location = inside.url
        assert await rejection(hook.url) == ("对方要求跳转，为安全起见不予跟随", True)

    assert inside.requests == []


@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        (400, True),
        (401, True),
        (404, True),
        (410, True),
        (408, False),
        (429, False),
        (500, False),
        (503, False),
    ],
)
def test_status_decides_whether_the_error_is_permanent(status, permanent):
    with pytest.raises(TransportError) as rejected:
        raise_for_status(status)

    assert (rejected.value.sentence, rejected.value.permanent) == (f"对方返回 {status}", permanent)


async def test_silent_host_times_out():
    async with listening(hook := HttpListener(delay=10)):
        assert await rejection(hook.url, timeout_seconds=0.3) == ("对方超时未响应", False)


async def test_closed_port_is_a_transient_error():
    async with listening(hook := HttpListener()):
        pass

    assert await rejection(hook.url) == ("无法连接对方服务器", False)


async def test_host_is_resolved_once_and_the_checked_address_is_called(
    monkeypatch,
):
    """DNS rebinding: the second look-up would return a local address."""
    lookups = []

    async def rebinding(self, host, port, **_):
        lookups.append(host)
        address = "93.184.216.34" if len(lookups) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async with listening(inside := HttpListener()):
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", rebinding)
        sentence, _ = await rejection(
            f"https://rebinding.example:{inside.port}/", allow_private=False, timeout_seconds=1
        )

    assert lookups[0] == "rebinding.example"
    assert "rebinding.example" not in lookups[1:]
    assert sentence in ("对方超时未响应", "无法连接对方服务器")
    assert inside.requests == []


@pytest.mark.parametrize(
    ("certificate_host", "delivered"), [("hooks.example", True), ("other.example", False)]
)
async def test_certificate_must_name_the_host_although_the_address_is_pinned(
    monkeypatch, tmp_path, certificate_host, delivered
):
    file = certificate_for(certificate_host, tmp_path)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(file)

    async def resolve_to_localhost(self, host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(
        "services.notify.transports.webhook.default_tls_context",
        lambda: ssl.create_default_context(cafile=file),
    )
    async with listening(hook := HttpListener(), server_tls):
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve_to_localhost)
        if delivered:
            await send(f"https://hooks.example:{hook.port}/")
        else:
            assert await rejection(f"https://hooks.example:{hook.port}/") == (
                "无法连接对方服务器",
                False,
            )

    assert [request.headers["host"] for request in hook.requests] == [
        f"hooks.example:{hook.port}"
    ] * delivered


# ── addresses that may not be called ──────────────────────────────────────────────────────────────

PRIVATE_HOSTS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "localhost",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001::1]",
    "[::127.0.0.1]",
    "[ff02::1]",
]


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
async def test_no_notation_of_a_private_address_is_called(host):
    async with listening(inside := HttpListener()):
        sentence, _ = await rejection(
            f"https://{host}:{inside.port}/", allow_private=False, timeout_seconds=2
        )

    assert sentence in ("地址属于内部网络，未被允许", "域名无法解析", "网址的格式不正确")
    assert inside.requests == []


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"]
)
def test_public_addresses_are_public(address):
    assert is_public(ipaddress.ip_address(address))


def test_allowed_private_network_may_be_called():
    policy = NotifySettings(private_networks="10.8.0.0/16").outbound_policy(allow_private=False)

    assert policy.allows(ipaddress.ip_address("10.8.1.1"))
    assert policy.allows(ipaddress.ip_address("::ffff:10.8.1.1"))
    assert not policy.allows(ipaddress.ip_address("10.9.1.1"))


async def test_host_with_one_private_address_is_rejected(monkeypatch):
    async def mixed(self, host, port, **_):
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("93.184.216.34", "10.0.0.1")
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", mixed)

    assert await rejection("https://mixed.example/", allow_private=False) == (
        "地址属于内部网络，未被允许",
        True,
    )


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("https://other.example.cn/", "主机不在允许名单内"),
        ("http://hooks.example.cn/", "网址必须以 https:// 开头"),
        ("https://user:pass@hooks.example.cn/", "网址的格式不正确"),
        ("https:///x", "网址的格式不正确"),
        ("file:///etc/passwd", "不支持这种地址，或未被允许"),
        ("json://127.0.0.1/", "不支持这种地址，或未被允许"),
        ("mailto:a@b.cn", "尚未配置邮件服务器"),
    ],
)
async def test_address_that_the_policy_forbids_is_rejected_with_a_reason(address, sentence):
    policy = NotifySettings(hosts="hooks.example.cn, *.gov.example.cn").outbound_policy(
        allow_private=False
    )

    with pytest.raises(TransportError, match=sentence) as rejected:
        await Transports(policy, lambda _: SECRET).check(address)

    assert rejected.value.permanent


# ── mail ──────────────────────────────────────────────────────────────────────────────────────────


def mail_server(port):
    return SmtpServer("127.0.0.1", port, "fengping@zf.example.cn", security="none")


async def test_email_has_the_same_message_id_in_every_attempt():
    async with listening(server := MailListener()):
        for _ in range(2):
            await send("mailto:liu@tax.example.cn", smtp=mail_server(server.port))

    first, second = server.messages
    assert first["message-id"] == second["message-id"] == f"<{KEY}@zf.example.cn>"
    assert first["subject"] == "【作风评议】超期告警 ZF2026-004507"
    assert first["auto-submitted"] == "auto-generated"
    assert first.get_content().split() == [
        "工单ZF2026-004507办理期限已过。",
        "请登录查看：https://zf.example.cn/casework/cases/ZF2026-004507",
        "通知号：0123456789ab",
    ]


@pytest.mark.parametrize(
    ("reply", "permanent"), [("550 no such user", True), ("450 try later", False)]
)
async def test_refused_recipient_is_permanent_only_for_5xx(reply, permanent):
    async with listening(server := MailListener([reply])):
        sentence = await rejection("mailto:gone@tax.example.cn", smtp=mail_server(server.port))

    assert sentence == (f"收件地址被拒绝（{reply[:3]}）", permanent)
    assert server.messages == []


async def test_mail_server_without_starttls_receives_nothing():
    async with listening(server := MailListener()):
        smtp = replace(mail_server(server.port), security="starttls")
        assert await rejection("mailto:liu@tax.example.cn", smtp=smtp) == (
            "无法连接邮件服务器",
            False,
        )

    assert server.messages == []


async def test_silent_mail_server_is_a_transient_error():
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        error = await rejection(
            "mailto:liu@tax.example.cn", smtp=mail_server(port), timeout_seconds=0.6
        )
    finally:
        server.close()

    assert error == ("无法连接邮件服务器", False)


@pytest.mark.parametrize("recipient", ["a", "a@b\nBcc: c@d", "a@b,c@d", "a b@c", "局长@x.cn"])
async def test_address_cannot_inject_recipients(recipient):
    assert await rejection(f"mailto:{recipient}", smtp=mail_server(1)) == (
        "邮箱地址的格式不正确",
        True,
    )


# ── Apprise ───────────────────────────────────────────────────────────────────────────────────────


async def test_apprise_delivers_once_with_the_key():
    async with listening(hook := HttpListener()):
        await send(f"json://127.0.0.1:{hook.port}/hook")

    [request] = hook.requests
    content = json.loads(request.body)
    assert request.headers["idempotency-key"] == str(KEY)
    assert content["title"] == "【作风评议】超期告警"
    assert content["message"].startswith("工单ZF2026-004507办理期限已过。")


async def test_apprise_follows_no_redirect_even_if_the_address_asks_for_it():
    async with listening(inside := HttpListener()), listening(hook := HttpListener([307])):
        hook.location = inside.url
        assert await rejection(f"json://127.0.0.1:{hook.port}/?redirect=yes&retry=5") == (
            "对方没有接收",
            False,
        )

    assert len(hook.requests) == 1
    assert inside.requests == []


async def test_apprise_calls_no_private_address_unless_allowed():
    async with listening(inside := HttpListener()):
        assert await rejection(f"json://127.0.0.1:{inside.port}/", allow_private=False) == (
            "地址属于内部网络，未被允许",
            True,
        )

    assert inside.requests == []


async def test_vendors_with_a_fixed_host_are_allowed_by_default():
    for address in (
        "wecombot://0123456789abcdef",
        "dingtalk://0123456789abcdef",
        "feishu://0123456789abcdef",
    ):
        await Transports(OutboundPolicy(), lambda _: SECRET).check(address)


@pytest.mark.parametrize(
    ("address", "redacted"),
    [
        ("mailto:liumin@tax.example.cn", "l***@tax.example.cn"),
        ("https://hooks.example.cn/secret/path?token=1", "hooks.example.cn"),
        ("wecombot://0123456789abcdef", "企业微信群机器人"),
    ],
)
def test_redacted_address_cannot_be_used(address, redacted):
    assert redact_address(address) == redacted
