"""`python -m shared.verifier ARCHIVE … [--checkpoints FILE] [--keys FILE]`: exit status 1 if
anything differs.
"""

import argparse
import sys
from pathlib import Path

from shared.verifier.archive import MalformedArchive
from shared.verifier.findings import Difference
from shared.verifier.notes import MalformedNote, read_notes
from shared.verifier.verify import verify_archive

DIFFERS = 1
UNREADABLE = 2


def main() -> int:
    """Check the archive, print every finding and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m shared.verifier", description=__doc__)
    parser.add_argument("archives", nargs="+", type=Path)
    parser.add_argument("--checkpoints", type=Path, help="signed notes kept outside of the system")
    parser.add_argument("--keys", type=Path, help="the trusted keys of the logs, one a line")
    options = parser.parse_args()
    try:
        return _print_findings(options)
    except (MalformedArchive, MalformedNote, OSError) as error:
        print(f"cannot be checked: {error}", file=sys.stderr)
        return UNREADABLE


def _print_findings(options: argparse.Namespace) -> int:
    kept = read_notes(options.checkpoints.read_text()) if options.checkpoints else []
    keys = options.keys.read_text().split() if options.keys else []
    differences = 0
    for finding in verify_archive(
        options.archives,
        checkpoints=kept,
        trusted_keys=keys,
        on_progress=lambda name: print(f"checking {name} …", file=sys.stderr),
    ):
        is_difference = isinstance(finding, Difference)
        differences += is_difference
        print(str(finding) if is_difference else f"note: {finding.sentence}")
    print(f"{differences} differences")
    return DIFFERS if differences else 0


if __name__ == "__main__":
    sys.exit(main())
