"""Each way out of the house, against a real listener on this machine; and the addresses that nobody
may call.
"""

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

from services.notify.settings import NotifySettings
from services.notify.transports import (
    Message,
    Reach,
    Smtp,
    TransportError,
    Transports,
    hint_of,
    is_public,
    judge,
)
from tests.notify.conftest import WEDNESDAY
from tests.notify.listeners import HttpListener, MailListener, certificate_for, listening

KEY = UUID("01939c1e-0000-7000-8000-0123456789ab")
SUBSCRIPTION = UUID(int=9)
SECRET = b"s" * 32
MESSAGE = Message(
    KEY,
    "deadline_lapsed",
    "超期告警",
    "ZF2026-004507",
    "工单ZF2026-004507办理期限已过。",
    "https://zf.example.cn/casework/cases/ZF2026-004507",
    WEDNESDAY,
    WEDNESDAY,
)
TRUSTING = Reach(private=True, schemes=frozenset({"json"}), seconds=5)


def transports(**reach):
    return Transports(replace(TRUSTING, **reach), lambda _: SECRET)


async def send(address, **reach):
    await transports(**reach).send(address, MESSAGE, subscription_id=SUBSCRIPTION)


async def refused(address, **reach):
    with pytest.raises(TransportError) as refusal:
        await send(address, **reach)
    return refusal.value.sentence, refusal.value.permanent


# ── webhooks ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_webhook_carries_key_time_and_a_signature_that_the_receiver_can_check():
    async with listening(hook := HttpListener()):
        await send(hook.url)

    [request] = hook.heard
    signed = f"{KEY}.{request.headers['webhook-timestamp']}.".encode() + request.body
    assert request.headers["webhook-id"] == request.headers["idempotency-key"] == str(KEY)
    assert (
        request.headers["webhook-signature"]
        == "v1," + b64encode(hmac.digest(SECRET, signed, "sha256")).decode()
    )
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


async def test_a_redirect_is_not_followed_and_nothing_reaches_where_it_points():
    async with listening(inside := HttpListener()), listening(hook := HttpListener([302])):
        hook.location = inside.url
        assert await refused(hook.url) == ("对方要求跳转，为安全起见不予跟随", True)

    assert inside.heard == []


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
def test_an_answer_says_whether_repeating_helps(status, permanent):
    with pytest.raises(TransportError) as refusal:
        judge(status)

    assert (refusal.value.sentence, refusal.value.permanent) == (f"对方返回 {status}", permanent)


async def test_a_host_that_never_answers_is_left_after_the_time_out():
    async with listening(hook := HttpListener(delay=10)):
        assert await refused(hook.url, seconds=0.3) == ("对方超时未响应", False)


async def test_a_closed_port_may_open_later():
    async with listening(hook := HttpListener()):
        pass

    assert await refused(hook.url) == ("无法连接对方服务器", False)


async def test_a_name_is_resolved_once_and_the_connection_goes_to_the_address_that_was_judged(
    monkeypatch,
):
    """A name that answers with a public address first and with the house's own next finds one look
    only.
    """
    looks = []

    async def rebinding(self, host, port, **_):
        looks.append(host)
        address = "93.184.216.34" if len(looks) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async with listening(inside := HttpListener()):
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", rebinding)
        sentence, _ = await refused(
            f"https://rebinding.example:{inside.port}/", private=False, seconds=1
        )

    assert looks[0] == "rebinding.example"
    assert "rebinding.example" not in looks[1:]
    assert sentence in ("对方超时未响应", "无法连接对方服务器")
    assert inside.heard == []


@pytest.mark.parametrize(("named", "arrives"), [("hooks.example", True), ("other.example", False)])
async def test_the_certificate_must_name_the_host_although_the_address_is_pinned(
    monkeypatch, tmp_path, named, arrives
):
    file = certificate_for(named, tmp_path)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(file)

    async def here(self, host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(
        "services.notify.transports._tls", lambda: ssl.create_default_context(cafile=file)
    )
    async with listening(hook := HttpListener(), own):
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", here)
        if arrives:
            await send(f"https://hooks.example:{hook.port}/")
        else:
            assert await refused(f"https://hooks.example:{hook.port}/") == (
                "无法连接对方服务器",
                False,
            )

    assert [request.headers["host"] for request in hook.heard] == [
        f"hooks.example:{hook.port}"
    ] * arrives


# ── whom nobody may call ──────────────────────────────────────────────────────────────────────────

INSIDE = [
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


@pytest.mark.parametrize("host", INSIDE)
async def test_no_form_of_an_inner_address_is_called(host):
    async with listening(inside := HttpListener()):
        sentence, _ = await refused(f"https://{host}:{inside.port}/", private=False, seconds=2)

    assert sentence in ("地址属于内部网络，未被允许", "域名无法解析", "网址的格式不正确")
    assert inside.heard == []


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"]
)
def test_public_addresses_are_public(address):
    assert is_public(ipaddress.ip_address(address))


def test_an_inner_network_may_be_called_when_the_installation_says_so():
    reach = NotifySettings(private_networks="10.8.0.0/16").reach(trusting=False)

    assert reach.allows(ipaddress.ip_address("10.8.1.1"))
    assert reach.allows(ipaddress.ip_address("::ffff:10.8.1.1"))
    assert not reach.allows(ipaddress.ip_address("10.9.1.1"))


async def test_one_inner_address_among_public_ones_refuses_the_name(monkeypatch):
    async def mixed(self, host, port, **_):
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("93.184.216.34", "10.0.0.1")
        ]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", mixed)

    assert await refused("https://mixed.example/", private=False) == (
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
async def test_addresses_outside_the_list_are_refused_in_words(address, sentence):
    reach = NotifySettings(hosts="hooks.example.cn, *.gov.example.cn").reach(trusting=False)

    with pytest.raises(TransportError, match=sentence) as refusal:
        await Transports(reach, lambda _: SECRET).check(address)

    assert refusal.value.permanent


# ── mail ──────────────────────────────────────────────────────────────────────────────────────────


def mail_server(port):
    return Smtp("127.0.0.1", port, "fengping@zf.example.cn", security="none")


async def test_a_letter_has_one_message_id_however_often_it_is_sent():
    async with listening(server := MailListener()):
        for _ in range(2):
            await send("mailto:liu@tax.example.cn", smtp=mail_server(server.port))

    first, second = server.letters
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
async def test_a_refused_recipient_is_for_good_only_when_the_server_says_so(reply, permanent):
    async with listening(server := MailListener([reply])):
        sentence = await refused("mailto:gone@tax.example.cn", smtp=mail_server(server.port))

    assert sentence == (f"收件地址被拒绝（{reply[:3]}）", permanent)
    assert server.letters == []


@pytest.mark.parametrize("recipient", ["a", "a@b\nBcc: c@d", "a@b,c@d", "a b@c", "局长@x.cn"])
async def test_an_address_cannot_smuggle_recipients(recipient):
    assert await refused(f"mailto:{recipient}", smtp=mail_server(1)) == (
        "邮箱地址的格式不正确",
        True,
    )


# ── Apprise ───────────────────────────────────────────────────────────────────────────────────────


async def test_apprise_delivers_once_with_the_key():
    async with listening(hook := HttpListener()):
        await send(f"json://127.0.0.1:{hook.port}/hook")

    [request] = hook.heard
    told = json.loads(request.body)
    assert request.headers["idempotency-key"] == str(KEY)
    assert told["title"] == "【作风评议】超期告警"
    assert told["message"].startswith("工单ZF2026-004507办理期限已过。")


async def test_apprise_follows_no_redirect_even_when_the_address_asks_for_it():
    async with listening(inside := HttpListener()), listening(hook := HttpListener([307])):
        hook.location = inside.url
        assert await refused(f"json://127.0.0.1:{hook.port}/?redirect=yes&retry=5") == (
            "对方没有接收",
            False,
        )

    assert len(hook.heard) == 1
    assert inside.heard == []


async def test_apprise_calls_no_inner_address_unless_allowed():
    async with listening(inside := HttpListener()):
        assert await refused(f"json://127.0.0.1:{inside.port}/", private=False) == (
            "地址属于内部网络，未被允许",
            True,
        )

    assert inside.heard == []


async def test_vendors_with_a_fixed_host_are_allowed_by_default():
    for address in (
        "wecombot://0123456789abcdef",
        "dingtalk://0123456789abcdef",
        "feishu://0123456789abcdef",
    ):
        await Transports(Reach(), lambda _: SECRET).check(address)


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("mailto:liumin@tax.example.cn", "l***@tax.example.cn"),
        ("https://hooks.example.cn/secret/path?token=1", "hooks.example.cn"),
        ("wecombot://0123456789abcdef", "企业微信群机器人"),
    ],
)
def test_a_hint_does_not_let_anybody_use_the_address(address, hint):
    assert hint_of(address) == hint
