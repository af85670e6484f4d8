"""The stages of a case that have a deadline, and who must act in each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.notify.domain.audience import Audience


@dataclass(frozen=True, slots=True)
class DeadlineStage:
    """Work that `owners` must do by a deadline.

    `label` names the deadline. `action_label` is the link that leads the owners to the work.
    """

    label: str
    owners: tuple[Audience, ...]
    action_label: str = "查看"


STAGES: Final[Mapping[str, DeadlineStage]] = {
    "release": DeadlineStage("摘要审核期限", (Audience.REVIEWER,), "去审核"),
    "assign": DeadlineStage("分办期限", (Audience.REVIEWER,), "去分办"),
    "accept": DeadlineStage("签收期限", (Audience.HANDLER,), "去签收"),
    "handle": DeadlineStage("办理期限", (Audience.HANDLER,), "去办理"),
    "review": DeadlineStage("审核期限", (Audience.SUPERVISOR,), "去审核"),
    "supervise": DeadlineStage("督办期限", (Audience.HANDLER,)),
    "rectify": DeadlineStage("整改期限", (Audience.HANDLER,), "去整改"),
    "obligation": DeadlineStage("报送期限", (Audience.HANDLER,), "去报送"),
}
"""By `DeadlineSet.kind` of the events, and one more for the obligations of a unit."""
