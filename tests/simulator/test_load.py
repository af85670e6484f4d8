"""The load: deterministic, limited to this machine, and accounted for in its ledger."""

import asyncio
from collections import Counter

import pytest

from services.simulate.ledger import Ledger, acknowledged, read_ledger
from services.simulate.load import ForeignHost, Load, is_loopback, refuse_foreign


def load(tmp_path, **changed):
    return Load(
        **{
            "base_url": "http://127.0.0.1:1",
            "password": "x",
            "ledger": tmp_path / "ledger.jsonl",
            "operations": 500,
        }
        | changed
    )


def test_plan_is_determined_by_the_seed(tmp_path):
    plan = load(tmp_path).plan()

    assert [(one.number, one.kind, one.key) for one in plan] == [
        (one.number, one.kind, one.key) for one in load(tmp_path).plan()
    ]
    assert {one.key for one in plan}.isdisjoint(one.key for one in load(tmp_path, seed=2).plan())
    kinds = Counter(one.kind for one in plan)
    assert kinds["ballot"] > kinds["complaint"] > kinds["visit"] > 0


def test_operation_content_is_independent_of_other_operations(tmp_path):
    first, second = load(tmp_path).plan()[7], load(tmp_path).plan()[7]
    assert [first.rng.random() for _ in range(5)] == [second.rng.random() for _ in range(5)]


@pytest.mark.parametrize(
    "url", ["http://example.com", "http://10.0.0.8:8080", "http://[2001:db8::1]/", "nonsense"]
)
def test_foreign_host_needs_confirmation(url):
    with pytest.raises(ForeignHost, match="i-own-this-host"):
        refuse_foreign(url)
    refuse_foreign(url, mine=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_hosts_are_recognized(host):
    assert is_loopback(host)


def test_fast_ballots_use_several_addresses(tmp_path):
    assert load(tmp_path, rate=5)._addresses() == [None]
    assert 5 < len(load(tmp_path, rate=100)._addresses()) < 20
    assert load(tmp_path, rate=100, base_url="http://localhost:1")._addresses() == [None]


async def test_ledger_ignores_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    await asyncio.gather(*(ledger.note(state="sent", id=n) for n in range(50)))
    await ledger.note(state="acknowledged", id=3, status=201)
    ledger.close()
    with path.open("ab") as file:
        file.write(b'{"state": "acknowledged", "id": 4')

    lines = read_ledger(path)
    assert sorted(line["id"] for line in lines if line["state"] == "sent") == list(range(50))
    assert set(acknowledged(lines)) == {3}, "a line that was cut off is ignored"
    assert path.stat().st_mode & 0o077 == 0
