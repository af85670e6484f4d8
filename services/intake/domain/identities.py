"""How much of a complainant may be disclosed."""

from shared.appraisal.labels import LabelledEnum


class Identity(LabelledEnum):
    """身份 of a complainant. Only 实名 shows the reviewer a name at once."""

    REAL_NAME = "real_name", "实名"
    CONFIDENTIAL = "confidential", "保密"
    ANONYMOUS = "anonymous", "匿名"
