"""Pages and API: each audience sees only its own notifications, writes are idempotent, errors are
problem+json.
"""

from types import SimpleNamespace
from uuid import uuid4

import httpx2
import pytest

from services.notify.app import build
from services.notify.domain.audience import Audience
from services.notify.domain.rules import NotificationKind
from shared.security.policies import Account
from shared.security.sessions import csrf_token
from tests.notify.conftest import LIU, QIAN, SUN, WANG, WU, ZHENG, ZHOU, CaseEvents
from tests.notify.listeners import HttpListener, listening

pytestmark = pytest.mark.stack
UNASSIGNED = Account(uuid4(), "lost", "无单位", LIU.role, None)


@pytest.fixture
async def web(notify, settings, own):
    """The application without Kafka and jobs; `web.client(account)` is signed in."""
    service = build(settings, own=own, run_jobs=False)
    clients = []

    async def client_of(account: Account) -> httpx2.AsyncClient:
        token = await service.sessions.create(account)
        transport = httpx2.ASGITransport(service.app)
        client = httpx2.AsyncClient(
            transport=transport,
            base_url="http://test",
            headers={"authorization": f"Bearer {token}"},
        )
        clients.append(client)
        client.csrf = csrf_token(token)
        return client

    yield SimpleNamespace(client=client_of, service=service)
    for client in clients:
        await client.aclose()
    await service.redis.aclose()
    await service.database.close()


def key():
    return {"idempotency-key": str(uuid4())}


async def test_handler_of_another_unit_sees_nothing_by_any_route(notify, web):
    await notify.consume(
        CaseEvents("ZF2026-004507").assigned(), CaseEvents("ZF2026-004507").lapsed()
    )
    [notification, *_] = await notify.inbox(LIU)
    liu, qian = await web.client(LIU), await web.client(QIAN)

    assert (await liu.get("/notify/inbox/unread")).text == "2"
    assert (await qian.get("/notify/inbox/unread")).text == ""
    assert (await qian.get("/notify/api/notifications")).json() == {
        "notifications": [],
        "next": None,
    }
    assert (await qian.get("/notify/api/notifications", params={"number": "ZF2026-004507"})).json()[
        "notifications"
    ] == []
    assert (await qian.get("/notify/api/notifications/unread")).json() == {"unread": 0}
    assert "ZF2026-004507" not in (await qian.get("/notify/inbox?view=all")).text
    assert (await qian.get(f"/notify/notifications/{notification.id}")).status_code == 404
    refused = await qian.post(
        f"/notify/api/notifications/{notification.id}/reading",
        json={"state": "done"},
        headers=key(),
    )
    assert (refused.status_code, refused.headers["content-type"]) == (
        404,
        "application/problem+json",
    )
    await qian.post(
        "/notify/inbox/reading", data={"every": "true", "idempotency_key": str(uuid4())}
    )
    assert (await liu.get("/notify/inbox/unread")).text == "2"


async def test_a_handler_without_a_unit_reads_nothing(notify, web):
    await notify.consume(CaseEvents(unit=None).lapsed(), CaseEvents().lapsed())

    assert (await (await web.client(UNASSIGNED)).get("/notify/api/notifications")).json()[
        "notifications"
    ] == []


async def test_api_client_continues_after_the_last_page(notify, web):
    await notify.consume(*(CaseEvents(f"ZF2026-{n:06}").lapsed() for n in range(5)))
    zhou = await web.client(ZHOU)

    first = (await zhou.get("/notify/api/notifications", params={"limit": 3})).json()
    rest = (
        await zhou.get("/notify/api/notifications", params={"limit": 3, "after": first["next"]})
    ).json()

    assert [
        notification["number"] for notification in first["notifications"] + rest["notifications"]
    ] == [f"ZF2026-{n:06}" for n in range(5)]
    assert rest["next"] is None
    one = first["notifications"][0]
    assert (one["title"], one["kind"], one["link"]) == (
        "超期告警",
        "deadline_lapsed",
        "/casework/cases/ZF2026-000000",
    )
    assert (await zhou.get("/notify/api/notifications", params={"number": "ZF2026-000003"})).json()[
        "notifications"
    ][0]["number"] == "ZF2026-000003"


async def test_read_receipts_belong_to_one_account(notify, web):
    await notify.consume(CaseEvents().lapsed())
    [notification] = await notify.inbox(ZHOU)
    zhou, other = (
        await web.client(ZHOU),
        await web.client(Account(uuid4(), "feng", "冯涛", ZHOU.role)),
    )

    opened = await zhou.get(f"/notify/notifications/{notification.id}")
    assert (opened.status_code, opened.headers["location"]) == (
        303,
        "/casework/cases/ZF2026-004507",
    )
    assert (await zhou.get("/notify/inbox/unread")).text == ""
    assert (await other.get("/notify/inbox/unread")).text == "1"

    once = key()
    for _ in range(2):
        done = await zhou.post(
            f"/notify/api/notifications/{notification.id}/reading",
            json={"state": "done"},
            headers=once,
        )
        assert done.json() == {"id": str(notification.id), "state": "done"}
    assert done.headers["idempotency-replayed"] == "true"
    assert "已处理" in (await zhou.get("/notify/inbox?view=all")).text


async def test_inbox_groups_by_case_newest_first(notify, web):
    first, second = CaseEvents("ZF2026-000001"), CaseEvents("ZF2026-000002")
    await notify.consume(first.assigned())
    await notify.consume(second.assigned())
    await notify.consume(first.lapsed("accept"))

    text = (await (await web.client(LIU)).get("/notify/inbox")).text
    above = (await (await web.client(ZHOU)).get("/notify/inbox")).text

    assert "去签收" not in above  # the supervisor looks, the handler acts
    assert text.index("ZF2026-000001") < text.index("ZF2026-000002")
    assert text.count('id="m-') == 2
    assert "此前 1 条" in text
    assert "去签收" in text


async def test_all_notifications_can_be_marked_as_done_at_once(notify, web):
    await notify.consume(*(CaseEvents(f"ZF2026-{n:06}").lapsed() for n in range(120)))
    zhou = await web.client(ZHOU)
    assert (await zhou.get("/notify/inbox/unread")).text == "99+"
    assert "更早的消息" in (await zhou.get("/notify/inbox")).text

    answer = await zhou.post(
        "/notify/inbox/reading", data={"every": "true", "idempotency_key": str(uuid4())}
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/notify/inbox")
    assert "没有新消息" in (await zhou.get("/notify/inbox")).text
    assert (await (await web.client(WU)).get("/notify/inbox/unread")).text == "99+"


async def test_inbox_pages_are_complete_and_disjoint(notify, web):
    import re

    await notify.consume(*(CaseEvents(f"ZF2026-{n:06}").lapsed() for n in range(120)))
    zhou, url, seen = await web.client(ZHOU), "/notify/inbox", []
    while url:
        text = (await zhou.get(url)).text
        seen += re.findall(r"data-open[^>]*>(ZF2026-\d{6})", text)
        more = re.search(r'href="(\?[^"]*before=[^"]*)">更早', text)
        url = "/notify/inbox" + more[1].replace("&amp;", "&") if more else None

    assert len(seen) == len(set(seen)) == 120


async def test_supervisors_see_their_own_deliveries_and_administrators_all(notify, web):
    admin = await web.client(ZHENG)
    async with listening(hook := HttpListener()):
        for role, unit in ((Audience.SUPERVISOR, None), (Audience.HANDLER, "tax")):
            put = await admin.put(
                f"/notify/api/subscriptions/{uuid4()}",
                json={"role": role, "unit_id": unit, "address": hook.url},
                headers=key(),
            )
            assert put.status_code == 200, put.text
            assert hook.url not in put.text
        await notify.consume(CaseEvents().lapsed())
        await notify.send()

    everything = (await admin.get("/notify/api/deliveries")).json()["deliveries"]
    own = (await (await web.client(ZHOU)).get("/notify/api/deliveries")).json()["deliveries"]
    assert {(each["role"], each["state"], each["redacted_address"]) for each in everything} == {
        ("handler", "delivered", "127.0.0.1"),
        ("supervisor", "delivered", "127.0.0.1"),
    }
    assert [each["role"] for each in own] == ["supervisor"]
    assert (await (await web.client(LIU)).get("/notify/api/deliveries")).status_code == 403
    assert "已送达" in (await admin.get("/notify/log")).text


async def test_subscription_is_created_changed_and_stopped(notify, web):
    admin, id_ = await web.client(ZHENG), uuid4()
    url = f"/notify/api/subscriptions/{id_}"
    body = {"role": "handler", "unit_id": "tax", "address": "https://93.184.216.34/hook"}

    assert (await admin.put(url, json=body, headers=key())).json()["kinds"] == []
    changed = {**body, "address": None, "kinds": ["deadline_lapsed"]}
    assert (await admin.put(url, json=changed, headers=key())).json()[
        "redacted_address"
    ] == "93.184.216.34"
    [shown] = (await admin.get("/notify/api/subscriptions")).json()
    assert shown["secret"].startswith("whsec_")
    assert shown["kinds"] == ["deadline_lapsed"]

    assert (await admin.delete(url, headers=key())).status_code == 200
    assert (await admin.get("/notify/api/subscriptions")).json() == []
    assert (await admin.put(url, json=body, headers=key())).status_code == 409
    assert not [
        row
        for row in await notify.fetch("select response::text as r from idempotency")
        if "whsec_" in (row["r"] or "")
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"role": "handler", "address": "https://93.184.216.34/"}, "unit_id"),
        ({"role": "supervisor", "address": "gopher://93.184.216.34/"}, "address"),
        ({"role": "inspector", "address": "https://93.184.216.34/"}, "role"),
        ({"role": "supervisor", "address": "https://93.184.216.34/", "colour": "red"}, "colour"),
        (
            {"role": "supervisor", "address": "https://93.184.216.34/", "kinds": ["gossip"]},
            "kinds.0",
        ),
    ],
)
async def test_invalid_subscription_is_a_problem_at_its_field(notify, web, body, field):
    answer = await (await web.client(ZHENG)).put(
        f"/notify/api/subscriptions/{uuid4()}", json=body, headers=key()
    )

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == field


async def test_new_template_version_is_used_from_then_on(notify, web):
    admin = await web.client(ZHENG)

    assert (
        await admin.put(
            "/notify/api/templates/case_closed",
            json={"text": "{编号}办结了。", "based_on": 1},
            headers=key(),
        )
    ).json() == 2
    late = await admin.put(
        "/notify/api/templates/case_closed",
        json={"text": "{编号}完。", "based_on": 1},
        headers=key(),
    )
    await notify.consume(CaseEvents().closed())

    assert late.status_code == 409
    assert [item.text for item in await notify.inbox(LIU)] == ["ZF2026-004507办结了。"]
    page = (await admin.get("/notify/templates/case_closed")).text
    assert "第 2 版" in page
    assert "第 1 版（系统预置）" in page


@pytest.mark.parametrize(
    "text", ["{姓名}的工单{编号}", "工单{编号}，请致电 13812345678", "来件人 zhang@example.cn", ""]
)
async def test_invalid_template_is_rejected_and_stays_in_the_form(notify, web, text):
    admin = await web.client(ZHENG)

    answer = await admin.put(
        "/notify/api/templates/case_closed", json={"text": text, "based_on": 1}, headers=key()
    )
    page = await admin.post(
        "/notify/templates/case_closed",
        data={"text": text, "based_on": "1", "idempotency_key": str(uuid4())},
    )

    assert (answer.status_code, page.status_code) == (422, 422)
    assert text in page.text
    assert await notify.fetch("select * from templates") == []


async def test_every_template_has_a_page_with_a_preview(notify, web):
    admin = await web.client(ZHENG)

    for kind in NotificationKind:
        assert "<b>预览</b>" in (await admin.get(f"/notify/templates/{kind}")).text
    assert (await admin.get("/notify/templates/gossip")).status_code == 422


async def test_pages_open_for_the_intended_roles_only(notify, web):
    everybody = (LIU, SUN, ZHOU, WU, WANG, ZHENG)
    meant = {"inbox": everybody, "log": (ZHOU, ZHENG), "templates": (ZHENG,), "rules": (ZHENG,)}

    for account in everybody:
        client = await web.client(account)
        for path, people in meant.items():
            assert (await client.get(f"/notify/{path}")).status_code == (
                200 if account in people else 403
            ), (path, account.role)


async def test_invalid_address_is_reported_at_its_field_and_input_is_kept(notify, web):
    typed = {
        "role": "handler",
        "unit_id": "tax",
        "address": "http://user@[::1]/",
        "kinds": "deadline_lapsed",
    }

    answer = await (await web.client(ZHENG)).post(
        "/notify/rules", data={**typed, "idempotency_key": str(uuid4())}
    )

    assert answer.status_code == 422
    assert "网址的格式不正确" in answer.text
    assert 'value="http://user@[::1]/"' in answer.text


async def test_failed_delivery_is_resent_from_the_log(notify, web):
    admin = await web.client(ZHENG)
    async with listening(hook := HttpListener([410, 200])):
        await notify.subscribe(hook.url)
        await notify.consume(CaseEvents().lapsed())
        await notify.send()
        [row] = await notify.fetch("select id from deliveries")
        assert "对方返回 410" in (await admin.get("/notify/log?state=failed")).text
        answer = await admin.post(
            f"/notify/log/{row['id']}/resending", data={"idempotency_key": str(uuid4())}
        )
        await notify.send()

    assert answer.status_code == 303
    assert len(hook.requests) == 2
    assert "没有符合条件的记录" in (await admin.get("/notify/log?state=failed")).text


async def test_api_is_described_in_openapi(notify, web):
    document = (await (await web.client(ZHENG)).get("/notify/api/openapi.json")).json()

    assert {"/notify/api/notifications", "/notify/api/subscriptions/{subscription_id}"} <= set(
        document["paths"]
    )
    assert document["openapi"].startswith("3.1")
