"""Running scores are a fold of events: counted once, in any order, by any number of replicas."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import msgspec
import pytest

from services.scoring.actions.campaigns import replace_rules
from services.scoring.actions.decisions import decide, revoke
from services.scoring.actions.ledger import record_events
from services.scoring.actions.publishing import publish_scores
from services.scoring.actions.recounts import recount_overdue
from shared.appraisal.errors import Rejected
from shared.foundation import telemetry
from shared.foundation.clock import monotonic_seconds
from shared.storage.migrations import drift
from tests.conftest import on_server
from tests.scoring.factories import (
    CAMPAIGN,
    OFFICE,
    UNITS,
    Case,
    Scoring,
    ballot,
    consumed,
    j_scheme,
    late_plan,
    random_events,
    uuid_of,
    visit,
)

pytestmark = pytest.mark.stack
MANIPULATE_TALLY = """
update tallies set answer_count = answer_count + 3
where (response_group_id, unit_no, item_no, option_no) in (
  select response_group_id, unit_no, item_no, option_no from tallies
  where item_no = 1 and option_no = 3 limit 1)
"""


def everyone(option: int) -> list[tuple[int, int, int]]:
    """An answer to every question of the cities' questionnaire about every unit."""
    return [(unit_no, item, option) for unit_no in range(1, len(UNITS) + 1) for item in range(1, 6)]


async def test_ballot_is_counted_for_every_unit_on_it(scoring):
    await scoring.consume(*(ballot(no, everyone(1)) for no in range(4)), ballot(9, everyone(3)))
    await scoring.rescore_pending()

    score = await scoring.score("U07")
    assert score.component("cities").mark == Decimal("80.00")
    assert (score.sample, score.total, score.unranked) == (5, Decimal("80.00"), "明察暗访尚无结果")


async def test_repeated_ballots_change_nothing(scoring):
    pairs = [consumed(ballot(no, everyone(1))) for no in range(5)]
    await scoring.consume_batch(pairs)
    await scoring.rescore_pending()
    before = await scoring.bytes()

    await scoring.consume_batch(pairs)
    await scoring.consume_batch([pairs[0], consumed(ballot(7, everyone(3))), pairs[0]])
    await scoring.rescore_pending()

    async with scoring.transaction() as tx:
        assert await tx.fetchval("select count(*) from ballots") == 6
        assert await tx.fetchval("select sum(answer_count) from tallies") == 6 * len(everyone(1))
    assert before != await scoring.bytes()


async def test_ballot_with_foreign_answers_is_rejected(scoring):
    for answers in ([(99, 1, 1)], [(1, 6, 1)], [(1, 1, 4)]):
        with pytest.raises(Rejected):
            await scoring.consume(ballot(1, answers))
    with pytest.raises(Rejected):
        await scoring.consume(ballot(1, [(1, 1, 1)], group="nobody"))
    async with scoring.transaction() as tx:
        assert await tx.fetchval("select count(*) from ballots") == 0


async def test_lapsed_deadline_lowers_the_score_in_the_same_transaction(scoring):
    await scoring.consume(*(ballot(no, everyone(1)) for no in range(5)))
    await scoring.rescore_pending()
    case = Case("ZF2020-000001", "U07")

    await scoring.consume(case.opened(), case.accepted(), case.lapsed("handle"))

    score = await scoring.score("U07")
    assert score.adjusted == Decimal("-1.00")
    assert score.component("platform").mark == Decimal("42.86")


async def test_recently_scored_unit_is_rescored_by_the_job(scoring):
    case = Case("ZF2020-000001", "U07")
    first, *others = (
        consumed(event, version=n)
        for n, event in enumerate((case.opened(), case.accepted(), case.lapsed("handle")), start=1)
    )
    await scoring.consume_batch([first])
    scoring.context.scored_at[CAMPAIGN, 7] = monotonic_seconds()
    async with scoring.transaction() as tx:
        await record_events(tx, others)
    waiting = await scoring.score("U07")

    await scoring.rescore_pending()

    assert (waiting.adjusted, (await scoring.score("U07")).adjusted) == (
        Decimal(0),
        Decimal("-1.00"),
    )


async def test_changed_score_is_published_in_the_same_transaction(scoring):
    case = Case("ZF2020-000001", "U07")

    await scoring.consume(case.opened(), case.accepted(), case.lapsed("handle"))

    [published] = await scoring.published()
    assert (published["unit_id"], published["components"]["platform"], published["total"]) == (
        "U07",
        "42.86",
        None,
    )


async def test_score_is_published_at_most_once_a_second_with_the_latest_value(scoring):
    await scoring.consume(*(ballot(no, everyone(1)) for no in range(5)))
    await scoring.rescore_pending()
    await scoring.consume(*(Case(f"ZF2020-{no}", "U07").lapsed("handle") for no in range(2)))
    await scoring.consume(*(Case(f"ZF2020-{no}", "U07").lapsed("handle") for no in range(2, 4)))

    await asyncio.sleep(1.1)
    for _ in range(2):
        async with scoring.transaction() as tx:
            await publish_scores(tx)

    published = [one for one in await scoring.published() if one["unit_id"] == "U07"]
    assert 2 <= len(published) <= 3, "two changes within a second are published as one"
    assert published[-1]["components"]["platform"] == "0.00"
    assert (await scoring.score("U07")).adjusted == Decimal("-4.00")


async def test_score_published_in_the_future_is_published_again_when_it_changes(scoring):
    await scoring.consume(*(ballot(no, everyone(1)) for no in range(5)))
    await scoring.rescore_pending()
    async with scoring.transaction() as tx:
        await tx.run(
            "update scores set published_at = clock_timestamp() + interval '40 days', "
            "unpublished = true where unit_no = 7"
        )
    before = len(await scoring.published())

    async with scoring.transaction() as tx:
        await publish_scores(tx)

    assert [
        one["unit_id"] for one in (await scoring.published())[before:] if one["unit_id"] == "U07"
    ] == ["U07"]


async def test_rating_counts_for_the_unit_that_closed_the_case_in_either_order(scoring):
    case = Case("ZF2020-1", "U07")
    await scoring.consume(case.rated(1))
    assert await scoring.score("U07") is not None
    await scoring.consume(case.opened(), case.accepted(), case.closed())
    early = await scoring.score("U07")

    other = Case("ZF2020-2", "U08")
    await scoring.consume(other.opened(), other.accepted(), other.closed())
    await scoring.consume(other.rated(1))

    assert early.component("platform") == (await scoring.score("U08")).component("platform")
    assert early.component("platform").mark == Decimal("100.00")


async def test_corrected_visit_counts_for_the_right_unit(scoring):
    await scoring.consume_batch([consumed(visit("V-1", "U07", ("V01", "serious")))])
    assert (await scoring.score("U07")).component("visits").mark == Decimal("76.00")

    await scoring.consume_batch([consumed(visit("V-1", "U08", ("V01", "ordinary")), version=2)])

    assert (await scoring.score("U07")).component("visits").state == "unranked"
    assert (await scoring.score("U08")).component("visits").mark == Decimal("88.00")


async def test_decision_and_revocation_both_stay_in_the_ledger(scoring):
    async with scoring.transaction() as tx:
        decided = {
            "campaign_id": CAMPAIGN,
            "grounds": "群众反映强烈，长期未解决",
            "document": "党工委〔2020〕3号",
            "by": OFFICE,
        }
        decision = await decide(tx, unit_id="U07", rule_id="J10", **decided)
    assert [
        finding.rule_id
        for row in await scoring.board("government")
        for finding in row.consequences
        if not finding.open
    ] == ["J10"]

    for _ in range(2):
        async with scoring.transaction() as tx:
            await revoke(
                tx, campaign_id=CAMPAIGN, decision_id=decision, grounds="复核后撤销", by=OFFICE
            )

    assert not any(row.consequences for row in await scoring.board("government"))
    async with scoring.transaction() as tx:
        assert await tx.fetchval("select count(*) from ledger where subject_id = $1", decision) == 2
        with pytest.raises(Rejected):
            await decide(tx, unit_id="U07", rule_id="J6.returned", **decided)


async def test_concurrent_replicas_lose_nothing(scoring):
    batches = [
        [
            consumed(ballot(100 * replica + no, everyone(1 + replica)), partition=replica)
            for no in range(20)
        ]
        for replica in range(2)
    ]
    cases = [Case(f"ZF2020-{no}", "U07") for no in range(10)]

    await asyncio.gather(
        *(scoring.consume_batch(batch[at : at + 5]) for batch in batches for at in range(0, 20, 5)),
        *(scoring.consume_batch([consumed(case.lapsed("accept"))]) for case in cases),
    )
    await scoring.rescore_pending()

    score = await scoring.score("U07")
    assert score.component("cities").mark == Decimal("90.00")
    assert (score.sample, score.adjusted) == (40, Decimal("-5.00"))
    assert (await scoring.recount()).differences == []


@pytest.mark.parametrize("seed", range(3))
async def test_order_repetition_and_batching_of_events_do_not_change_scores(
    scoring, database, settings, seed
):
    life = [consumed(event, partition=at % 3) for at, event in enumerate(random_events(seed))]
    await scoring.consume_batch(life)
    await scoring.rescore_pending()
    expected, rng = await scoring.bytes(), Random(seed)

    for _ in range(2):
        tables = ("ballots", "ledger", "tallies", "pending_rescores", "score_changes")
        named = ", ".join(f"scoring.{table}" for table in tables)
        await on_server(settings.database_url, f"truncate {named}")
        async with scoring.transaction() as tx:
            await tx.run("update scores set body = null, total = null, ranked = false, sample = 0")
        shuffled = life + rng.sample(life, k=len(life) // 3)
        rng.shuffle(shuffled)
        again = Scoring(database("scoring"))
        while shuffled:
            size = rng.randint(1, 25)
            batch, shuffled = shuffled[:size], shuffled[size:]
            await again.consume_batch(batch)
            if rng.random() < 0.3:
                await again.rescore_pending()
        await again.rescore_all()
        assert await again.bytes() == expected


@pytest.mark.parametrize("seed", range(4))
async def test_recount_agrees_and_finds_manipulated_tallies(scoring, seed):
    await scoring.consume_batch([consumed(event) for event in random_events(seed, events=80)])
    await scoring.rescore_pending()

    found = await scoring.recount()
    assert (found.differences, found.waiting) == ([], 0)
    assert found.digest == (await scoring.recount()).digest

    async with scoring.transaction() as tx:
        await tx.run(MANIPULATE_TALLY)
    await scoring.rescore_all()
    assert len((await scoring.recount()).differences) == 1


async def test_overdue_recount_runs_at_night(scoring, clock):
    await scoring.consume_batch([consumed(event) for event in random_events(1, events=80)])
    await scoring.rescore_pending()
    night, noon = (
        datetime(2020, 9, 15, 19, tzinfo=UTC),
        datetime(2020, 9, 16, 4, tzinfo=UTC),
    )  # three in the morning, and midday
    async with scoring.transaction() as tx:
        await tx.run("update campaigns set published_at = $1", night - timedelta(days=1))
        await tx.run(MANIPULATE_TALLY)
    await scoring.rescore_all()

    async def run_at_night() -> tuple[bool, int]:
        async with scoring.transaction() as tx:
            counted = await recount_overdue(tx)
        return counted, int(telemetry.score_mismatch.labels(CAMPAIGN)._value.get())

    await clock.set(noon - timedelta(days=1))
    assert (await run_at_night())[0] is False, (
        "not by day while the last recount is less than two days ago"
    )
    await clock.set(night)
    assert await run_at_night() == (True, 1)
    assert await run_at_night() == (False, 1), "once a night, and the metric keeps its value"
    await clock.set(noon + timedelta(days=2))
    assert (await run_at_night())[0] is True, "after two days at any hour"


async def test_new_rules_rescore_every_unit_and_old_scores_stay_explained(scoring):
    await scoring.consume(*(ballot(no, everyone(2)) for no in range(5)))
    await scoring.rescore_pending()
    rules = j_scheme()
    options = tuple(
        msgspec.structs.replace(one, points=Decimal(60)) if one.no == 2 else one
        for one in rules.options
    )

    async with scoring.transaction() as tx:
        with pytest.raises(Rejected):
            await replace_rules(
                tx,
                campaign_id=CAMPAIGN,
                scheme=msgspec.structs.replace(rules, options=options),
                by=OFFICE,
            )
    async with scoring.transaction() as tx:
        changed = msgspec.structs.replace(rules, options=options, version="R2")
        await replace_rules(tx, campaign_id=CAMPAIGN, scheme=changed, by=OFFICE)
    await scoring.rescore_pending()

    assert (await scoring.score("U07")).component("cities").mark == Decimal("60.00")
    old = await scoring.explained("U07", version="R1")
    assert (old.current, old.explanation.score.component("cities").mark) == (
        False,
        Decimal("80.00"),
    )
    assert len(await scoring.published("campaign.published.v1")) == 2


async def test_late_obligation_is_an_adjustment_with_its_rule_and_event(scoring):
    await scoring.consume(*(ballot(no, everyone(1)) for no in range(5)), late_plan("U07"))

    found = await scoring.explained("U07")

    [line] = found.explanation.adjustments
    assert (line.rule_id, line.amount, line.text) == ("J2.late", Decimal(-1), "报送实施方案")
    assert line.event_id == uuid_of("event", "obligation.lapsed.v1", str(uuid_of("plan", "U07")), 1)
    assert found.explanation.score.total == Decimal("99.00")


async def test_tables_match_migrations(scoring, settings):
    assert await drift(settings.database_url, "scoring") == []
