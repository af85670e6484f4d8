"""Free-text answers: checked for personal data, encrypted, and stored apart from the ballot."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from services.intake.domain.questionnaires import WrittenAnswer
from services.intake.settings import context_of
from services.intake.store import opinions as store
from services.intake.store.campaigns import KnownCampaign
from shared.appraisal.errors import Rejected
from shared.appraisal.schemes import Questionnaire
from shared.appraisal.schemes.questions.free_text import FreeTextQuestion
from shared.security.keyring import SealedRecord
from shared.security.pii import PiiHit, find_pii
from shared.storage.transaction import Transaction

MARKED_MAX: Final = 3
"""Personal data named in one error message."""


def check_text(question: FreeTextQuestion, entered: str) -> str:
    """Return the text as it is stored. Raises Rejected (422) if it is too long or holds PII."""
    text = question.read_text(entered)
    matches = find_pii(text)
    if matches:
        raise _contains_pii(matches[:MARKED_MAX])
    return text


def _contains_pii(matches: Sequence[PiiHit]) -> Rejected:
    named = "、".join(f"“{match.text}”" for match in matches)
    sentence = f"问卷是匿名的，请删去个人信息（{named}）后再提交"
    return Rejected(sentence, status=422, field="text")


def check_written(
    questionnaire: Questionnaire,
    unit_nos: Sequence[int],
    written: Sequence[WrittenAnswer],
) -> list[WrittenAnswer]:
    """Return the answers that are not empty. Raises Rejected (422) for any that do not fit."""
    checked: list[WrittenAnswer] = []
    for answer in written:
        question = questionnaire.item(answer.item_no)
        if not isinstance(question, FreeTextQuestion) or answer.unit_no not in unit_nos:
            raise Rejected("文字意见不属于这份问卷", status=422, field="texts")
        text = check_text(question, answer.text)
        if text:
            checked.append(WrittenAnswer(answer.unit_no, answer.item_no, text))
    return checked


async def store_written(
    tx: Transaction,
    *,
    campaign: KnownCampaign,
    instrument: str,
    group: str,
    written: Sequence[WrittenAnswer],
    hour: datetime,
) -> None:
    """Encrypt and store checked answers. Their ids are random: none leads to its ballot."""
    opinions: list[store.SealedOpinion] = []
    for answer in written:
        id = uuid4()
        opinion = store.SealedOpinion(
            id=id,
            campaign_id=campaign.id,
            instrument=instrument,
            group=group,
            unit_no=answer.unit_no,
            item_no=answer.item_no,
            sealed=_seal(tx, id, answer.text),
            received_hour=hour,
        )
        opinions.append(opinion)
    await store.add(tx, opinions)


def _seal(
    tx: Transaction,
    id: UUID,
    text: str,
) -> SealedRecord:
    return context_of(tx).ring.seal(f"opinion/{id}", {"text": text})
