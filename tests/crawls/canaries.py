"""Canaries: unique names, numbers and texts that people entrust to the product, one set for each
path by which they come in.
"""

from dataclasses import dataclass, field
from random import Random

from services.simulate.texts import identity_card

SURNAME = "欧阳"
FIRST, SECOND = "鹂鹮鸲", "鹟鹱鹬鹡鸻鸮鹞鹚鸬鸨"
GIVEN = tuple(first + second for first in FIRST for second in SECOND)
RELEASED_SUMMARY = "反映窗口工作时间无人在岗，希望核查并答复。"
"""What a reviewer releases: the only text of a complaint that may leave intake."""


@dataclass(frozen=True)
class Person:
    """What one person entrusted to the product by one path."""

    path: str
    name: str
    phone: str
    card: str
    address: str
    words: str

    @property
    def values(self) -> tuple[str, ...]:
        return (self.name, self.phone, self.card, self.address, self.words)

    @property
    def text(self) -> str:
        """A complaint that holds all of it."""
        return (
            f"{self.words}，窗口一直没有人。我叫{self.name}，身份证号{self.card}，"
            f"住{self.address}，电话{self.phone}。"
        )


@dataclass
class Canaries:
    """All that was planted, by path."""

    people: dict[str, Person] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    """Single texts: wishes, opinions, file names, metadata."""

    def person(self, path: str) -> Person:
        """Plant a new person."""
        number = len(self.people)
        made = Person(
            path=path,
            name=SURNAME + GIVEN[number],
            phone=f"1419988{number:04d}",
            card=identity_card(Random(f"canary/{number}")),
            address=f"黄羽毛小区{number + 71}栋{number + 501}室",
            words=f"第{number + 3001}只金丝雀飞过了柜台",
        )
        self.people[path] = made
        return made

    def text(self, path: str) -> str:
        """Plant a single text."""
        made = f"第{len(self.words) + 7001}只白鹭停在窗台"
        self.words[path] = made
        return made

    def values(self) -> dict[str, str]:
        """Return every value with the path by which it came in."""
        found = {value: person.path for person in self.people.values() for value in person.values}
        return found | {value: path for path, value in self.words.items()}
