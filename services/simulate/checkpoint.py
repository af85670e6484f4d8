"""The progress of a demo that must survive a kill."""

import json
import os
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path


@dataclass
class DemoCheckpoint:
    """The first day, the questionnaire codes by "questionnaire/group", the number of timeline
    events done, and the covert round. The file is readable by its owner only.
    """

    path: Path
    begins: date
    codes: dict[str, list[str]] = field(default_factory=dict)
    done: int = 0
    covert_round: str = ""

    @staticmethod
    def open(path: Path, begins: date) -> "DemoCheckpoint":
        """Return the checkpoint at `path`, or a new one for a demo that begins on this day."""
        if not path.exists():
            return DemoCheckpoint(path, begins)
        saved = json.loads(path.read_text())
        return DemoCheckpoint(
            path,
            date.fromisoformat(saved["begins"]),
            saved["codes"],
            saved["done"],
            saved["covert_round"],
        )

    def save(self) -> None:
        """Replace the file atomically."""
        new = self.path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self._content(), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)

    def _content(self) -> dict[str, object]:
        return {
            "begins": self.begins.isoformat(),
            "codes": self.codes,
            "done": self.done,
            "covert_round": self.covert_round,
        }
