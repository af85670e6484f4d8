"""Pages and API: each audience sees its own and not a count more, writes happen once, errors are
problems.
"""

from types import SimpleNamespace
from uuid import uuid4

import httpx2
import pytest

from services.notify import actions
from services.notify.app import build
from services.notify.domain import KINDS, Audience
from shared.security.policies import Account
from shared.security.sessions import csrf_token
from tests.notify.conftest import LIU, QIAN, SUN, WANG, WU, ZHENG, ZHOU, Case
from tests.notify.listeners import HttpListener, listening

pytestmark = pytest.mark.stack
NOBODY_S = Account(uuid4(), "lost", "无单位", LIU.role, None)


@pytest.fixture
async def web(notify, settings, own):
    """The service's application without its bus and ticks; `web.as_(person)` is their browser or
    program.
    """
    service = build(settings, own=own, run_jobs=False)
    clients = []

    async def as_(who: Account) -> httpx2.AsyncClient:
        token = await service.app.state.sessions.create(who)
        transport = httpx2.ASGITransport(service.app)
        client = httpx2.AsyncClient(
            transport=transport,
            base_url="http://test",
            headers={"authorization": f"Bearer {token}"},
        )
        clients.append(client)
        client.csrf = csrf_token(token)
        return client

    yield SimpleNamespace(as_=as_, service=service)
    for client in clients:
        await client.aclose()
    await service.app.state.redis.aclose()
    await service.database.close()


def key():
    return {"idempotency-key": str(uuid4())}


async def test_another_units_handler_sees_nothing_by_any_door(notify, web):
    await notify.tell(Case("ZF2026-004507").assigned(), Case("ZF2026-004507").lapsed())
    [notification, *_] = await notify.inbox(LIU)
    liu, qian = await web.as_(LIU), await web.as_(QIAN)

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
    assert (await qian.get(f"/notify/notifications/{notification['id']}")).status_code == 404
    refused = await qian.post(
        f"/notify/api/notifications/{notification['id']}/reading",
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
    await notify.tell(Case(unit=None).lapsed(), Case().lapsed())

    assert (await (await web.as_(NOBODY_S)).get("/notify/api/notifications")).json()[
        "notifications"
    ] == []


async def test_a_program_reads_on_from_where_it_was(notify, web):
    await notify.tell(*(Case(f"ZF2026-{n:06}").lapsed() for n in range(5)))
    zhou = await web.as_(ZHOU)

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


async def test_reading_is_each_persons_own(notify, web):
    await notify.tell(Case().lapsed())
    [notification] = await notify.inbox(ZHOU)
    zhou, other = await web.as_(ZHOU), await web.as_(Account(uuid4(), "feng", "冯涛", ZHOU.role))

    opened = await zhou.get(f"/notify/notifications/{notification['id']}")
    assert (opened.status_code, opened.headers["location"]) == (
        303,
        "/casework/cases/ZF2026-004507",
    )
    assert (await zhou.get("/notify/inbox/unread")).text == ""
    assert (await other.get("/notify/inbox/unread")).text == "1"

    once = key()
    for _ in range(2):
        done = await zhou.post(
            f"/notify/api/notifications/{notification['id']}/reading",
            json={"state": "done"},
            headers=once,
        )
        assert done.json() == {"id": str(notification["id"]), "state": "done"}
    assert done.headers["idempotency-replayed"] == "true"
    assert "已处理" in (await zhou.get("/notify/inbox?view=all")).text


async def test_the_inbox_groups_by_case_with_the_newest_first(notify, web):
    first, second = Case("ZF2026-000001"), Case("ZF2026-000002")
    await notify.tell(first.assigned())
    await notify.tell(second.assigned())
    await notify.tell(first.lapsed("accept"))

    text = (await (await web.as_(LIU)).get("/notify/inbox")).text
    above = (await (await web.as_(ZHOU)).get("/notify/inbox")).text

    assert "去签收" not in above  # the supervisor looks, the handler acts
    assert text.index("ZF2026-000001") < text.index("ZF2026-000002")
    assert text.count('id="m-') == 2
    assert "此前 1 条" in text
    assert "去签收" in text


async def test_everything_can_be_marked_as_done_at_once(notify, web):
    await notify.tell(*(Case(f"ZF2026-{n:06}").lapsed() for n in range(120)))
    zhou = await web.as_(ZHOU)
    assert (await zhou.get("/notify/inbox/unread")).text == "99+"
    assert "更早的消息" in (await zhou.get("/notify/inbox")).text

    answer = await zhou.post(
        "/notify/inbox/reading", data={"every": "true", "idempotency_key": str(uuid4())}
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/notify/inbox")
    assert "没有新消息" in (await zhou.get("/notify/inbox")).text
    assert (await (await web.as_(WU)).get("/notify/inbox/unread")).text == "99+"


async def test_pages_of_the_inbox_follow_each_other_without_a_gap(notify, web):
    import re

    await notify.tell(*(Case(f"ZF2026-{n:06}").lapsed() for n in range(120)))
    zhou, url, seen = await web.as_(ZHOU), "/notify/inbox", []
    while url:
        text = (await zhou.get(url)).text
        seen += re.findall(r"data-open[^>]*>(ZF2026-\d{6})", text)
        more = re.search(r'href="(\?[^"]*before=[^"]*)">更早', text)
        url = "/notify/inbox" + more[1].replace("&amp;", "&") if more else None

    assert len(seen) == len(set(seen)) == 120


async def test_supervisors_see_their_own_deliveries_and_administrators_all(notify, web):
    admin = await web.as_(ZHENG)
    async with listening(hook := HttpListener()):
        for role, unit in ((Audience.SUPERVISOR, None), (Audience.HANDLER, "tax")):
            put = await admin.put(
                f"/notify/api/subscriptions/{uuid4()}",
                json={"role": role, "unit_id": unit, "address": hook.url},
                headers=key(),
            )
            assert put.status_code == 200, put.text
            assert hook.url not in put.text
        await notify.tell(Case().lapsed())
        await notify.send()

    everything = (await admin.get("/notify/api/deliveries")).json()["deliveries"]
    own = (await (await web.as_(ZHOU)).get("/notify/api/deliveries")).json()["deliveries"]
    assert {(each["role"], each["state"], each["hint"]) for each in everything} == {
        ("handler", "delivered", "127.0.0.1"),
        ("supervisor", "delivered", "127.0.0.1"),
    }
    assert [each["role"] for each in own] == ["supervisor"]
    assert (await (await web.as_(LIU)).get("/notify/api/deliveries")).status_code == 403
    assert "已送达" in (await admin.get("/notify/log")).text


async def test_a_subscription_is_set_changed_and_stopped(notify, web):
    admin, id_ = await web.as_(ZHENG), uuid4()
    url = f"/notify/api/subscriptions/{id_}"
    body = {"role": "handler", "unit_id": "tax", "address": "https://93.184.216.34/hook"}

    assert (await admin.put(url, json=body, headers=key())).json()["kinds"] == []
    changed = {**body, "address": None, "kinds": ["deadline_lapsed"]}
    assert (await admin.put(url, json=changed, headers=key())).json()["hint"] == "93.184.216.34"
    [shown] = (await admin.get("/notify/api/subscriptions")).json()
    assert shown["secret"].startswith("whsec_")
    assert shown["kinds"] == ["deadline_lapsed"]

    assert (await admin.delete(url, headers=key())).status_code == 200
    assert (await admin.get("/notify/api/subscriptions")).json() == []
    assert (await admin.put(url, json=body, headers=key())).status_code == 409
    assert not [
        row
        for row in await notify.ask("select response::text as r from idempotency")
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
async def test_a_wrong_subscription_is_a_problem_at_its_field(notify, web, body, field):
    answer = await (await web.as_(ZHENG)).put(
        f"/notify/api/subscriptions/{uuid4()}", json=body, headers=key()
    )

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == field


async def test_a_template_is_written_in_versions_and_used_from_then_on(notify, web):
    admin = await web.as_(ZHENG)

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
    await notify.tell(Case().closed())

    assert late.status_code == 409
    assert [row["text"] for row in await notify.inbox(LIU)] == ["ZF2026-004507办结了。"]
    page = (await admin.get("/notify/templates/case_closed")).text
    assert "第 2 版" in page
    assert "第 1 版（系统预置）" in page


@pytest.mark.parametrize(
    "text", ["{姓名}的工单{编号}", "工单{编号}，请致电 13812345678", "来件人 zhang@example.cn", ""]
)
async def test_a_template_with_a_foreign_field_or_personal_data_is_refused_and_stays_as_typed(
    notify, web, text
):
    admin = await web.as_(ZHENG)

    answer = await admin.put(
        "/notify/api/templates/case_closed", json={"text": text, "based_on": 1}, headers=key()
    )
    page = await admin.post(
        "/notify/templates/case_closed",
        data={"text": text, "based_on": "1", "idempotency_key": str(uuid4())},
    )

    assert (answer.status_code, page.status_code) == (422, 422)
    assert text in page.text
    assert await notify.ask("select * from templates") == []


async def test_every_template_has_its_page_with_a_preview(notify, web):
    admin = await web.as_(ZHENG)

    for kind in KINDS:
        assert "<b>预览</b>" in (await admin.get(f"/notify/templates/{kind}")).text
    assert (await admin.get("/notify/templates/gossip")).status_code == 422


async def test_pages_open_for_whom_they_are_meant(notify, web):
    everybody = (LIU, SUN, ZHOU, WU, WANG, ZHENG)
    meant = {"inbox": everybody, "log": (ZHOU, ZHENG), "templates": (ZHENG,), "rules": (ZHENG,)}

    for who in everybody:
        client = await web.as_(who)
        for path, people in meant.items():
            assert (await client.get(f"/notify/{path}")).status_code == (
                200 if who in people else 403
            ), (path, who.role)


async def test_an_address_that_cannot_be_used_is_said_at_its_field_with_all_that_was_typed(
    notify, web
):
    typed = {
        "role": "handler",
        "unit_id": "tax",
        "address": "http://user@[::1]/",
        "kinds": "deadline_lapsed",
    }

    answer = await (await web.as_(ZHENG)).post(
        "/notify/rules", data={**typed, "idempotency_key": str(uuid4())}
    )

    assert answer.status_code == 422
    assert "网址的格式不正确" in answer.text
    assert 'value="http://user@[::1]/"' in answer.text


async def test_a_failed_delivery_is_sent_again_from_the_log(notify, web):
    admin = await web.as_(ZHENG)
    async with listening(hook := HttpListener([410, 200])):
        async with notify.database.transaction(notify.context) as tx:
            audience = {"role": Audience.SUPERVISOR, "unit_id": None, "kinds": ()}
            await actions.subscribe(
                tx, subscription_id=uuid4(), address=hook.url, by=ZHENG, **audience
            )
        await notify.tell(Case().lapsed())
        await notify.send()
        [row] = await notify.ask("select id from deliveries")
        assert "对方返回 410" in (await admin.get("/notify/log?state=failed")).text
        answer = await admin.post(
            f"/notify/log/{row['id']}/resending", data={"idempotency_key": str(uuid4())}
        )
        await notify.send()

    assert answer.status_code == 303
    assert len(hook.heard) == 2
    assert "没有符合条件的记录" in (await admin.get("/notify/log?state=failed")).text


async def test_the_api_says_what_it_is_in_openapi(notify, web):
    document = (await (await web.as_(ZHENG)).get("/notify/api/openapi.json")).json()

    assert {"/notify/api/notifications", "/notify/api/subscriptions/{subscription_id}"} <= set(
        document["paths"]
    )
    assert document["openapi"].startswith("3.1")
