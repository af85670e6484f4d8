"""What a batch of questionnaire codes is for."""

from shared.appraisal.labels import LabelledEnum


class TokenUse(LabelledEnum):
    """How the codes of a batch are handed out."""

    ONE_USE = "one_use", "一次性"
    PLACE = "place", "固定码"
    PAPER = "paper", "纸质导入"
    """Imported ballots, which had no code."""
