"""Which bodies of the register a text mentions, by any name that they ever had."""

import unicodedata
from collections.abc import Iterable
from typing import Final

from ahocorasick_rs import AhoCorasick, MatchKind

NAME_MIN: Final = 2
"""Letters of a name that is searched for; shorter ones are found in every text."""


def _folded(text: str) -> str:
    """Return letters and digits only, in one width and case: what fills the gaps is no name."""
    normalized = unicodedata.normalize("NFKC", text)
    return "".join(filter(str.isalnum, normalized)).casefold()


class NameIndex:
    """Searches a text for all names at once, in a time that grows with the text only."""

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        """`names`: (name, id of the body). Several bodies may have one name."""
        bodies: dict[str, list[str]] = {}
        for name, id in names:
            folded = _folded(name)
            if len(folded) >= NAME_MIN:
                bodies.setdefault(folded, []).append(id)
        self._bodies = list(bodies.values())
        self._search = AhoCorasick(list(bodies), matchkind=MatchKind.LeftmostLongest)

    def mentioned(self, *texts: str) -> list[str]:
        """Return the ids of the bodies that the texts mention, in the order of their mention.

        Of names that overlap only the longest counts: “某县教育局” does not mention “教育局”.
        """
        found: dict[str, None] = {}
        for text in texts:
            for pattern, _, _ in self._search.find_matches_as_indexes(_folded(text)):
                found.update(dict.fromkeys(self._bodies[pattern]))
        return list(found)
