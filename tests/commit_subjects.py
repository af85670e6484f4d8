"""Checks the subjects of commits: `area: imperative`, at most 60 characters, one thought.

`python -m tests.commit_subjects` reads the history since FIRST_CHECKED and exits 1 when a subject
does not fit. A shallow clone or an export without history has nothing to check.
"""

import re
import subprocess
import sys
from pathlib import Path

FIRST_CHECKED = "99d13192541e"
"""The last commit before the rule."""
SUBJECT_MAX = 60
_SUBJECT = re.compile(r"[a-z0-9_./-]+(\([^)]*\))?: [^\s].*")


def problem_of(subject: str) -> str | None:
    """Return what is wrong with a commit subject, or None."""
    if len(subject) > SUBJECT_MAX:
        return f"{len(subject)} characters, at most {SUBJECT_MAX}"
    if ";" in subject:
        return "two thoughts in one commit"
    if not _SUBJECT.fullmatch(subject):
        return "not `area: imperative`"
    return None


def subjects(repository: Path) -> list[str]:
    """Return the subjects since FIRST_CHECKED, newest first; none when the history lacks it."""
    log = subprocess.run(
        ["git", "log", "--no-merges", "--format=%s", f"{FIRST_CHECKED}..HEAD"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    return log.stdout.splitlines() if log.returncode == 0 else []


def main() -> None:
    found = [(subject, problem_of(subject)) for subject in subjects(Path(__file__).parent.parent)]
    wrong = [(subject, problem) for subject, problem in found if problem]
    for subject, problem in wrong:
        print(f"commit subject {subject!r}: {problem}", file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
