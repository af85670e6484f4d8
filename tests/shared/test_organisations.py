"""What the register knows about how bodies are related."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.appraisal.labels import OrganisationState, SuccessionKind
from shared.appraisal.organisations import (
    OrganisationName,
    OrganisationRegister,
    Successor,
    is_official_code,
    normalise_code,
)
from tests.organisations import body


def ended(id: str, *successors: str, heir: str = "", parent_id: str | None = None):
    """A body that became these, the first of which takes over unless `heir` names another."""
    heir = heir or successors[0]
    links = tuple(
        Successor(organisation_id=each, kind=SuccessionKind.MERGED, takes_over=each == heir)
        for each in successors
    )
    return body(
        id,
        state=OrganisationState.ENDED,
        ended_on=date(2026, 1, 1),
        successors=links,
        parent_id=parent_id,
    )


def test_bodies_above_and_below():
    register = OrganisationRegister.of(
        [
            body("city"),
            body("bureau", parent_id="city"),
            body("office", parent_id="bureau"),
            body("window", parent_id="office"),
            body("other", parent_id="city"),
        ]
    )

    assert register.ancestors("window") == ["office", "bureau", "city"]
    assert register.descendants("bureau") == {"office", "window"}
    assert register.path("office") == "单位city / 单位bureau / 单位office"
    assert register.ancestors("unknown") == []


def test_heir_follows_mergers_and_splits_to_the_end():
    register = OrganisationRegister.of(
        [ended("a", "b"), ended("b", "c", "d", heir="d"), body("c"), body("d"), body("e")]
    )

    assert [register.heir(id) for id in "abcde"] == ["d", "d", "c", "d", "e"]
    assert register.inherited("d") == {"a", "b"}
    assert register.inherited("c") == frozenset()
    assert register.lineage("c") == {"c", "b", "a"}


def test_everything_under_an_accused_body_is_excluded_and_over_it_by_rule():
    register = OrganisationRegister.of(
        [
            body("city"),
            body("bureau", parent_id="city"),
            body("window", parent_id="bureau"),
            body("other", parent_id="city"),
        ]
    )

    assert register.excluded(["bureau"], ancestors=False) == {"bureau", "window"}
    assert register.excluded(["bureau"], ancestors=True) == {"city", "bureau", "window"}
    assert register.excluded(["window", "nobody"], ancestors=False) == {"window", "nobody"}


def test_a_body_is_excluded_with_what_it_was_and_what_it_became():
    register = OrganisationRegister.of(
        [
            ended("old", "accused", "sister"),
            ended("accused", "new"),
            body("sister"),
            body("new", parent_id="over"),
            body("over"),
            body("under", parent_id="new"),
            ended("section", "elsewhere", parent_id="accused"),
            body("elsewhere"),
        ]
    )

    assert register.excluded(["accused"], ancestors=False) == {
        "old",
        "accused",
        "new",
        "under",
        "section",
        "elsewhere",
    }
    assert "over" in register.excluded(["accused"], ancestors=True)


def test_a_body_is_found_by_its_names_whatever_their_width():
    organisation = body(
        "a",
        names=(OrganisationName(name="民政局"), OrganisationName(name="民政（社会）局")),
        aliases=("民政",),
    )

    assert organisation.is_called("民政(社会)局")
    assert organisation.is_called(" 民政 ")
    assert not organisation.is_called("民政局"), "a former name does not identify"
    assert organisation.other_names == ("民政", "民政局")


@pytest.mark.parametrize(
    ("code", "official"),
    [
        ("91350100M000100Y43", True),
        ("91350100m000100y43", True),
        ("91350100M000100Y44", False),
        ("110101001000", True),
        ("G01", False),
        ("9135010OM000100Y43", False),
        ("１１０１０１００１０００", True),
    ],
)
def test_only_national_codes_are_official(code: str, official: bool):
    assert is_official_code(normalise_code(code)) is official


# ── the ban over any register ─────────────────────────────────────────────────────────────────────

IDS = [f"b{n}" for n in range(9)]


@st.composite
def registers(draw: st.DrawFn) -> OrganisationRegister:
    """Trees of bodies of which some have ended and became others, without cycles."""
    bodies = []
    for n, id in enumerate(IDS):
        parent = draw(st.sampled_from([None, *IDS[:n]]))
        later = IDS[n + 1 :]
        following = draw(st.lists(st.sampled_from(later), unique=True, max_size=2)) if later else []
        if following:
            bodies.append(ended(id, *following, parent_id=parent))
        else:
            bodies.append(body(id, parent_id=parent))
    return OrganisationRegister.of(bodies)


def acts_for(register: OrganisationRegister, id: str) -> set[str]:
    """The bodies for which the people of this one act: it and what it has taken over."""
    return {id, *(each for each in register.by_id if register.heir(each) == id)}


@given(register=registers(), accused=st.lists(st.sampled_from(IDS), min_size=1, max_size=3))
def test_nobody_who_acts_for_the_accused_or_under_it_escapes_the_ban(register, accused):
    banned = register.excluded(accused, ancestors=False)

    with_ancestors = register.excluded(accused, ancestors=True)
    assert banned <= with_ancestors
    for id in IDS:
        above = {id, *register.ancestors(id)}
        if above & set(accused) or register.heir(id) in banned:
            assert id in banned
        if acts_for(register, id) & set(accused):
            assert id in banned
    for id in accused:
        assert set(register.ancestors(id)) <= with_ancestors


@given(register=registers(), accused=st.sampled_from(IDS))
def test_a_body_without_any_tie_to_the_accused_is_not_banned(register, accused):
    banned = register.excluded([accused], ancestors=False)

    ties = {id: set(register.children.get(id, ())) for id in IDS}
    for each in register.by_id.values():
        for successor in each.successors:
            ties[each.id].add(successor.organisation_id)
            ties[successor.organisation_id].add(each.id)
    tied = {accused}
    waiting = [accused]
    while waiting:
        following = ties[waiting.pop()] - tied
        tied |= following
        waiting.extend(following)
    assert banned <= tied


def test_bodies_are_mentioned_by_every_name_that_they_had():
    register = OrganisationRegister.of(
        [
            body(
                "a",
                names=(OrganisationName(name="县卫生局"), OrganisationName(name="县卫生健康局")),
                aliases=("县卫健局",),
            ),
            body("b", "县教育局"),
            body("c", "教育局"),
            body("d", "局"),
            body("e", "县民政局", state=OrganisationState.WITHDRAWN),
        ]
    )

    def ids(text: str) -> list[str]:
        return [each.id for each in register.mentioned_in(text)]

    assert ids("县 卫\u200b生局的人") == ["a"]
    assert ids("找了县卫健局，又找县教育局") == ["a", "b"], "the longest name counts"
    assert ids("县民政局") == []
    assert register.mentioned_in("", "没有单位") == []
