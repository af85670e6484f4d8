"""How the ballots of a batch, taken together, rate some units."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from services.intake.domain.integrity.facts import UnitRatings
from shared.appraisal.ballots import unpack
from shared.appraisal.schemes import Questionnaire, Scheme
from shared.appraisal.schemes.questions import Choice


def rate_units(
    packed: Iterable[bytes],
    wanted: Mapping[int, str],
    scheme: Scheme,
    questionnaire: Questionnaire,
) -> dict[str, UnitRatings]:
    """Return the ratings of the wanted units. `wanted`: unit number → unit id."""
    top = _top_options(scheme, questionnaire)
    ballots = dict.fromkeys(wanted, 0)
    answers = dict.fromkeys(wanted, 0)
    top_answers = dict.fromkeys(wanted, 0)
    for ballot in packed:
        given = [answer for answer in unpack(ballot) if answer[0] in wanted and answer[1] in top]
        for unit_no in {answer[0] for answer in given}:
            ballots[unit_no] += 1
        for unit_no, item_no, option_no in given:
            answers[unit_no] += 1
            top_answers[unit_no] += option_no in top[item_no]
    return {
        unit_id: UnitRatings(
            ballots=ballots[no],
            answers=answers[no],
            top_answers=top_answers[no],
        )
        for no, unit_id in wanted.items()
    }


def _top_options(scheme: Scheme, questionnaire: Questionnaire) -> dict[int, set[int]]:
    """Question → its options with the most points, for questions that are scored."""
    return {item.no: _best(item.choices(scheme)) for item in questionnaire.scored_items}


def _best(choices: Iterable[Choice]) -> set[int]:
    points = {choice.no: choice.points for choice in choices}
    most = max((value for value in points.values() if value is not None), default=Decimal(0))
    return {no for no, value in points.items() if value == most}
