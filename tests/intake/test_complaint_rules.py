"""Rules of complaints, numbers and query codes."""

from uuid import uuid4

import pytest

from services.intake.domain.complaints import (
    NewComplaint,
    check_new_complaint,
    is_phone,
)
from services.intake.domain.identities import Identity
from services.intake.domain.query_codes import parse_number, parse_query_code, query_code
from shared.appraisal.errors import Rejected
from shared.appraisal.labels import ComplaintChannel, ComplaintKind
from tests.intake.conftest import CAMPAIGN, WORDS


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("ZT2026-000123", "ZT2026-000123"),
        ("zt2026000123", "ZT2026-000123"),
        ("ＺＴ２０２６ 000 123", "ZT2026-000123"),
        ("ZT2026-1234567", "ZT2026-1234567"),
        ("ZT2026-12", ""),
        ("", ""),
        ("XC2026-000123", ""),
        ("ZT2026-000123'--", ""),
    ],
)
def test_number_is_parsed_as_people_type_it(typed, number):
    assert parse_number(typed) == number


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("4821 0937 5512", "482109375512"),
        ("４８２１-０９３７-５５１２", "482109375512"),
        ("48210937", ""),
        ("四八二一零九三七五五一二", ""),
    ],
)
def test_query_code_is_parsed_as_people_type_it(typed, code):
    assert parse_query_code(typed) == code


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("13812345678", True),
        ("+86 138 1234 5678", True),
        ("0431-88886666", True),
        ("12345", True),
        ("1381234567", False),
        ("隐藏", False),
    ],
)
def test_phone_numbers_are_recognised(text, yes):
    assert is_phone(text) is yes


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"complaint_text": "太短"}, "complaint_text"),
        ({"kind": ComplaintKind.FINDING}, "kind"),
        ({"identity": Identity.REAL_NAME}, "name"),
        ({"identity": Identity.ANONYMOUS, "name": "张三"}, "name"),
        ({"phone": "123"}, "phone"),
    ],
)
def test_incomplete_complaint_is_rejected_with_its_field(changes, field, noon):
    given = NewComplaint(
        **{
            "campaign_id": CAMPAIGN,
            "channel": ComplaintChannel.HOTLINE,
            "kind": ComplaintKind.COMPLAINT,
            "complaint_text": WORDS,
        }
        | changes
    )

    with pytest.raises(Rejected) as rejected:
        check_new_complaint(given, noon)

    assert (rejected.value.field, rejected.value.status) == (field, 422)


def test_query_code_depends_on_secret_and_complaint():
    one, other = uuid4(), uuid4()
    assert query_code(b"s" * 32, one) == query_code(b"s" * 32, one) != query_code(b"s" * 32, other)
    assert query_code(b"t" * 32, one) != query_code(b"s" * 32, one)
    assert len({query_code(b"s" * 32, uuid4()) for _ in range(2000)}) > 1990
