"""Every route × every role × own, other and excluded matters: the answer is what policy and
visibility say, and what nobody may do changes nothing.

Routes come from the routers, expectations from their policies and from the things of the world.
"""

from collections import defaultdict

import pytest

from tests.crawls.crawler import ANONYMOUS, changed, comparable, plausible_body, snapshot, source

pytestmark = pytest.mark.stack
SIGN_IN = "/login?"
FOUND = {200, 204, 303, 307, 410}
ABSENT = ("/login/oidc", "/intake/integrity/{event_id}")
"""The world has no identity provider and no ballots that look suspicious."""


def refused(answer, viewer):
    """Return whether the answer is that of the policy."""
    if viewer != ANONYMOUS:
        return answer.status_code == 403
    to_sign_in = answer.status_code == 303 and answer.headers["location"].startswith(SIGN_IN)
    return answer.status_code == 401 or to_sign_in


async def test_who_is_outside_the_policy_of_a_route_is_refused_and_changes_nothing(crawler, owner):
    before = await snapshot(owner)
    wrong = []
    for route in crawler.routes:
        values, body = crawler.any_values(route), plausible_body(route)
        for viewer, account in crawler.viewers.items():
            if route.allows(account):
                continue
            answer = await crawler.send(route, viewer, values, **body)
            if not refused(answer, viewer):
                wrong.append(f"{answer.status_code} {route} as {viewer}")

    assert not wrong, "\n".join(wrong)
    assert changed(before, await snapshot(owner)) == []


async def test_what_may_not_be_found_is_answered_as_what_does_not_exist(crawler, owner):
    before = await snapshot(owner)
    wrong, tried = [], 0
    for route in crawler.routes:
        body = plausible_body(route)
        for viewer, account in crawler.viewers.items():
            if not route.allows(account):
                continue
            for name, thing in crawler.forbidden(route, account):
                tried += 1
                where = source(route.service, name)
                hidden, unknown = thing.value, where.unknown
                values = crawler.any_values(route) | dict(thing.along) | {name: hidden}
                answer = await crawler.send(route, viewer, values, **body)
                if where.new_is_made and not route.reads:
                    wrong += [] if answer.status_code == 404 else [f"{route} as {viewer}"]
                    continue
                none = await crawler.send(route, viewer, values | {name: unknown}, **body)
                seen = [comparable(each, hidden, unknown) for each in (answer, none)]
                if seen[0] != seen[1]:
                    wrong.append(f"{route} {name}={hidden} as {viewer}: {difference(*seen)}")
                if answer.status_code == 422 or answer.status_code >= 500:
                    wrong.append(f"{answer.status_code} {route}: the body is not plausible")

    assert not wrong, f"{len(wrong)} of {tried}\n" + "\n".join(sorted(set(wrong)))
    assert tried > 200, "the world holds something to hide"
    assert changed(before, await snapshot(owner)) == []


def test_every_permitted_role_finds_something_on_every_page(crawler, readings):
    """Otherwise the parameters are wrong, and the tests above prove nothing."""
    statuses = defaultdict(set)
    for each in readings:
        statuses[str(each.route), each.account and each.account.role].add(each.answer.status_code)
    wrong = [
        f"{sorted(found)} {route} as {role}"
        for (route, role), found in statuses.items()
        if (not found & FOUND and not route.startswith(tuple(f"GET {path}" for path in ABSENT)))
        or max(found) >= 500
    ]

    assert not wrong, "\n".join(wrong)
    assert {route for route, _ in statuses} == {
        str(route) for route in crawler.routes if route.reads
    }


def test_hidden_matters_change_no_page_list_or_count(world):
    before, now = world.pages_before, world.pages_after

    assert now.keys() == before.keys()
    wrong = [
        f"{each}: {difference(before[each], now[each])}"
        for each in now
        if now[each] != before[each]
    ]
    assert not wrong, "\n".join(wrong)


def difference(one, other):
    """Return where two answers part."""
    if one[0] != other[0]:
        return f"{one[0]} and {other[0]}"
    pairs = enumerate(zip(one[1], other[1], strict=False))
    common = next((place for place, (a, b) in pairs if a != b), 0)
    return " ≠ ".join(repr(each[1][max(common - 80, 0) : common + 80]) for each in (one, other))
