"""Running scores are a fold of the events: counted once, in any order, by any number of replicas."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import msgspec
import pytest

from services.scoring import actions
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds
from shared.storage.migrations import drift
from tests.scoring.story import (
    CAMPAIGN,
    UNITS,
    Case,
    Scoring,
    a_life,
    ballot,
    heard,
    j_scheme,
    late_plan,
    name_of,
    visit,
)

pytestmark = pytest.mark.stack


def everyone(option: int) -> list[tuple[int, int, int]]:
    """An answer to every question of the cities' questionnaire about every unit."""
    return [(unit_no, item, option) for unit_no in range(1, len(UNITS) + 1) for item in range(1, 6)]


async def test_a_ballot_is_kept_once_and_counted_for_every_unit_on_it(scoring):
    await scoring.hear(*(ballot(no, everyone(1)) for no in range(4)), ballot(9, everyone(3)))
    await scoring.settle()

    score = await scoring.score("U07")
    assert score.component("cities").mark == Decimal("80.00")
    assert (score.sample, score.total, score.unranked) == (5, Decimal("80.00"), "明察暗访尚无结果")


async def test_the_same_ballots_again_change_nothing(scoring):
    pairs = [heard(ballot(no, everyone(1))) for no in range(5)]
    await scoring.take(pairs)
    await scoring.settle()
    before = await scoring.bytes()

    await scoring.take(pairs)
    await scoring.take([pairs[0], heard(ballot(7, everyone(3))), pairs[0]])
    await scoring.settle()

    async with scoring.transaction() as tx:
        assert await tx.fetchval("select count(*) from ballots") == 6
        assert await tx.fetchval("select sum(answer_count) from tallies") == 6 * len(everyone(1))
    assert before != await scoring.bytes()


async def test_a_ballot_that_the_campaign_does_not_ask_for_is_refused(scoring):
    for answers in ([(99, 1, 1)], [(1, 6, 1)], [(1, 1, 4)]):
        with pytest.raises(Rejected):
            await scoring.hear(ballot(1, answers))
    with pytest.raises(Rejected):
        await scoring.hear(ballot(1, [(1, 1, 1)], group="nobody"))
    async with scoring.transaction() as tx:
        assert await tx.fetchval("select count(*) from ballots") == 0


async def test_a_lapsed_deadline_lowers_the_score_in_the_same_transaction(scoring):
    await scoring.hear(*(ballot(no, everyone(1)) for no in range(5)))
    await scoring.settle()
    case = Case("ZF2020-000001", "U07")

    await scoring.hear(case.opened(), case.accepted(), case.lapsed("handle"))

    score = await scoring.score("U07")
    assert score.adjusted == Decimal("-1.00")
    assert score.component("platform").mark == Decimal("42.86")


async def test_a_unit_that_was_just_scored_waits_for_the_tick_and_misses_nothing(scoring):
    case = Case("ZF2020-000001", "U07")
    first, *others = (
        heard(event, version=n)
        for n, event in enumerate((case.opened(), case.accepted(), case.lapsed("handle")), start=1)
    )
    await scoring.take([first])
    scoring.context.scored_at[CAMPAIGN, 7] = monotonic_seconds()
    async with scoring.transaction() as tx:
        await actions.enter_events(tx, others)
    waiting = await scoring.score("U07")

    await scoring.settle()

    assert (waiting.adjusted, (await scoring.score("U07")).adjusted) == (
        Decimal(0),
        Decimal("-1.00"),
    )


async def test_a_score_that_moved_is_told_with_what_moved_it_committed(scoring):
    case = Case("ZF2020-000001", "U07")

    await scoring.hear(case.opened(), case.accepted(), case.lapsed("handle"))

    [said] = await scoring.said()
    assert (said["unit_id"], said["components"]["platform"], said["total"]) == (
        "U07",
        "42.86",
        None,
    )


async def test_a_score_is_told_at_most_once_a_second_and_the_last_value_wins(scoring):
    await scoring.hear(*(ballot(no, everyone(1)) for no in range(5)))
    await scoring.settle()
    await scoring.hear(*(Case(f"ZF2020-{no}", "U07").lapsed("handle") for no in range(2)))
    await scoring.hear(*(Case(f"ZF2020-{no}", "U07").lapsed("handle") for no in range(2, 4)))

    await asyncio.sleep(1.1)
    for _ in range(2):
        async with scoring.transaction() as tx:
            await actions.tell_scores(tx)

    said = [one for one in await scoring.said() if one["unit_id"] == "U07"]
    assert 2 <= len(said) <= 3, "two changes within a second are told as one"
    assert said[-1]["components"]["platform"] == "0.00"
    assert (await scoring.score("U07")).adjusted == Decimal("-4.00")


async def test_a_score_told_by_a_clock_that_had_jumped_is_told_again_when_it_changes(scoring):
    await scoring.hear(*(ballot(no, everyone(1)) for no in range(5)))
    await scoring.settle()
    async with scoring.transaction() as tx:
        await tx.run(
            "update scores set told_at = clock_timestamp() + interval '40 days', untold = true where unit_no = 7"
        )
    before = len(await scoring.said())

    async with scoring.transaction() as tx:
        await actions.tell_scores(tx)

    assert [
        one["unit_id"] for one in (await scoring.said())[before:] if one["unit_id"] == "U07"
    ] == ["U07"]


async def test_a_rating_counts_for_whoever_closed_the_case_whichever_comes_first(scoring):
    case = Case("ZF2020-1", "U07")
    await scoring.hear(case.rated(1))
    assert await scoring.score("U07") is not None
    await scoring.hear(case.opened(), case.accepted(), case.closed())
    early = await scoring.score("U07")

    other = Case("ZF2020-2", "U08")
    await scoring.hear(other.opened(), other.accepted(), other.closed())
    await scoring.hear(other.rated(1))

    assert early.component("platform") == (await scoring.score("U08")).component("platform")
    assert early.component("platform").mark == Decimal("100.00")


async def test_a_corrected_visit_moves_to_the_right_unit(scoring):
    await scoring.take([heard(visit("V-1", "U07", ("V01", "serious")))])
    assert (await scoring.score("U07")).component("visits").mark == Decimal("76.00")

    await scoring.take([heard(visit("V-1", "U08", ("V01", "ordinary")), version=2)])

    assert (await scoring.score("U07")).component("visits").state == "unranked"
    assert (await scoring.score("U08")).component("visits").mark == Decimal("88.00")


async def test_a_decision_and_its_revocation_both_stay_in_the_ledger(scoring):
    async with scoring.transaction() as tx:
        decided = {
            "campaign_id": CAMPAIGN,
            "grounds": "群众反映强烈，长期未解决",
            "document": "党工委〔2020〕3号",
            "by": "office",
        }
        decision = await actions.decide(tx, unit_id="U07", rule_id="J10", **decided)
    assert [
        finding.rule_id
        for row in await scoring.board("government")
        for finding in row.findings
        if not finding.open
    ] == ["J10"]

    for _ in range(2):
        async with scoring.transaction() as tx:
            await actions.revoke(
                tx, campaign_id=CAMPAIGN, decision_id=decision, grounds="复核后撤销", by="office"
            )

    assert not any(row.findings for row in await scoring.board("government"))
    async with scoring.transaction() as tx:
        assert await tx.fetchval("select count(*) from ledger where subject_id = $1", decision) == 2
        with pytest.raises(Rejected):
            await actions.decide(tx, unit_id="U07", rule_id="J6.returned", **decided)


async def test_two_replicas_at_once_lose_nothing_and_do_not_wait_for_each_other(scoring):
    batches = [
        [
            heard(ballot(100 * replica + no, everyone(1 + replica)), partition=replica)
            for no in range(20)
        ]
        for replica in range(2)
    ]
    cases = [Case(f"ZF2020-{no}", "U07") for no in range(10)]

    await asyncio.gather(
        *(scoring.take(batch[at : at + 5]) for batch in batches for at in range(0, 20, 5)),
        *(scoring.take([heard(case.lapsed("accept"))]) for case in cases),
    )
    await scoring.settle()

    score = await scoring.score("U07")
    assert score.component("cities").mark == Decimal("90.00")
    assert (score.sample, score.adjusted) == (40, Decimal("-5.00"))
    assert (await scoring.recount())["differences"] == []


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_repetition_and_batching_of_the_same_events_gives_the_same_bytes(
    scoring, database, seed
):
    life = [heard(event, partition=at % 3) for at, event in enumerate(a_life(seed))]
    await scoring.take(life)
    await scoring.settle()
    expected, rng = await scoring.bytes(), Random(seed)

    for _ in range(2):
        async with scoring.transaction() as tx:
            await tx.run("truncate ballots, ledger, tallies, changes, movements")
            await tx.run("update scores set body = null, total = null, ranked = false, sample = 0")
        shuffled = life + rng.sample(life, k=len(life) // 3)
        rng.shuffle(shuffled)
        again = Scoring(database("scoring"))
        while shuffled:
            size = rng.randint(1, 25)
            batch, shuffled = shuffled[:size], shuffled[size:]
            await again.take(batch)
            if rng.random() < 0.3:
                await again.settle()
        await again.score_all()
        assert await again.bytes() == expected


@pytest.mark.parametrize("seed", range(4))
async def test_a_recount_by_the_other_program_agrees_and_finds_what_was_changed(scoring, seed):
    await scoring.take([heard(event) for event in a_life(seed, events=80)])
    await scoring.settle()

    found = await scoring.recount()
    assert (found["differences"], found["waiting"]) == ([], 0)
    assert found["digest"] == (await scoring.recount())["digest"]

    async with scoring.transaction() as tx:
        await tx.run(
            "update tallies set answer_count = answer_count + 3 where (response_group_id, unit_no, item_no, option_no) in "
            "(select response_group_id, unit_no, item_no, option_no from tallies where item_no = 1 and option_no = 3 limit 1)"
        )
    await scoring.score_all()
    assert len((await scoring.recount())["differences"]) == 1
    async with scoring.transaction() as tx:
        assert len(await actions.verify_scores(tx)) == 1


async def test_scores_nobody_recounts_are_recounted_in_the_small_hours(scoring, clock):
    await scoring.take([heard(event) for event in a_life(1, events=80)])
    await scoring.settle()
    night, noon = (
        datetime(2020, 9, 15, 19, tzinfo=UTC),
        datetime(2020, 9, 16, 4, tzinfo=UTC),
    )  # three in the morning, and midday
    async with scoring.transaction() as tx:
        await tx.run("update campaigns set published_at = $1", night - timedelta(days=1))
        await tx.run(
            "update tallies set answer_count = answer_count + 3 where (response_group_id, unit_no, item_no, option_no) in "
            "(select response_group_id, unit_no, item_no, option_no from tallies where item_no = 1 and option_no = 3 limit 1)"
        )
    await scoring.score_all()

    async def night_work() -> tuple[bool, int]:
        async with scoring.transaction() as tx:
            counted = await actions.recount_nightly(tx)
        return counted, int(telemetry.score_mismatch.labels(CAMPAIGN)._value.get())

    await clock.set(noon - timedelta(days=1))
    assert (await night_work())[0] is False, "not by day, when it was left out for a day only"
    await clock.set(night)
    assert await night_work() == (True, 1)
    assert await night_work() == (False, 1), "once a night, and the finding stays shown"
    await clock.set(noon + timedelta(days=2))
    assert (await night_work())[0] is True, "after two days at any hour"


async def test_new_rules_score_everything_again_and_the_old_score_stays_explained(scoring):
    await scoring.hear(*(ballot(no, everyone(2)) for no in range(5)))
    await scoring.settle()
    rules = j_scheme()
    options = tuple(
        msgspec.structs.replace(one, points=Decimal(60)) if one.no == 2 else one
        for one in rules.options
    )

    async with scoring.transaction() as tx:
        with pytest.raises(Rejected):
            await actions.replace_rules(
                tx,
                campaign_id=CAMPAIGN,
                scheme=msgspec.structs.replace(rules, options=options),
                by="office",
            )
    async with scoring.transaction() as tx:
        changed = msgspec.structs.replace(rules, options=options, version="R2")
        await actions.replace_rules(tx, campaign_id=CAMPAIGN, scheme=changed, by="office")
    await scoring.settle()

    assert (await scoring.score("U07")).component("cities").mark == Decimal("60.00")
    old = await scoring.explained("U07", version="R1")
    assert (old.current, old.explanation.score.component("cities").mark) == (
        False,
        Decimal("80.00"),
    )
    assert len(await scoring.said("campaign.published.v1")) == 2


async def test_a_late_obligation_is_a_line_with_its_rule_and_event(scoring):
    await scoring.hear(*(ballot(no, everyone(1)) for no in range(5)), late_plan("U07"))

    found = await scoring.explained("U07")

    [line] = found.explanation.lines
    assert (line.rule_id, line.amount, line.text) == ("J2.late", Decimal(-1), "报送实施方案")
    assert line.event_id == name_of("event", "obligation.lapsed.v1", str(name_of("plan", "U07")), 1)
    assert found.explanation.score.total == Decimal("99.00")


async def test_tables_and_migrations_agree(scoring, settings):
    assert await drift(settings.database_url, "scoring") == []
