"""机构名册: the identity of every body, for the whole installation and for all time.

A unit id anywhere in the product is the id of an `Organisation`. scoring owns the register and
publishes every change (`organisation.published.v1`); the other services keep a copy.
"""

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from typing import Final

import msgspec

from shared.appraisal.labels import (
    OrganisationKind,
    OrganisationLevel,
    OrganisationState,
    SuccessionKind,
)
from shared.appraisal.organisation_names import NameIndex

NAME_KEYS_MAX: Final = 100_000
PATH_MAX: Final = 20
"""Levels of parents that a path shows; the register keeps parents free of cycles."""


class OrganisationName(msgspec.Struct, frozen=True, kw_only=True):
    """An official name, from `valid_from` (None: since before the register) until another one."""

    name: str
    valid_from: date | None = None


class Successor(msgspec.Struct, frozen=True, kw_only=True):
    """A body that follows another one. Exactly one successor takes over its open matters."""

    organisation_id: str
    kind: SuccessionKind
    takes_over: bool


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """A body of the register. `names` are ordered, the current one last.

    `official_code`: 统一社会信用代码 or another national code, None if the body has none.
    `successors` is empty unless the state is ENDED.
    """

    id: str
    names: tuple[OrganisationName, ...]
    kind: OrganisationKind
    level: OrganisationLevel
    state: OrganisationState = OrganisationState.ACTIVE
    aliases: tuple[str, ...] = ()
    official_code: str | None = None
    parent_id: str | None = None
    ended_on: date | None = None
    successors: tuple[Successor, ...] = ()

    @property
    def name(self) -> str:
        """The current name."""
        return self.names[-1].name

    @property
    def is_active(self) -> bool:
        return self.state is OrganisationState.ACTIVE

    @property
    def other_names(self) -> tuple[str, ...]:
        """Aliases, then former names: everything besides the name by which people search."""
        former = [each.name for each in self.names[:-1]]
        distinct = dict.fromkeys((*self.aliases, *former))
        return tuple(name for name in distinct if name != self.name)

    @property
    def heir_id(self) -> str | None:
        """The successor that takes over open matters; None while the body exists."""
        heirs = (each.organisation_id for each in self.successors if each.takes_over)
        return next(heirs, None)

    def is_called(self, name: str) -> bool:
        """Return whether this is its current name or an alias, whatever the width of letters."""
        return name_key(name) in {name_key(each) for each in (self.name, *self.aliases)}


@lru_cache(maxsize=NAME_KEYS_MAX)
def name_key(name: str) -> str:
    """Return what two spellings of one name have in common: no spaces, one width, one case."""
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()


@dataclass(frozen=True)
class OrganisationRegister:
    """All bodies by id, with the questions that rules ask about how they are related."""

    by_id: Mapping[str, Organisation]

    @classmethod
    def of(cls, organisations: Iterable[Organisation]) -> "OrganisationRegister":
        return cls({each.id: each for each in organisations})

    def find(self, id: str) -> Organisation | None:
        return self.by_id.get(id)

    def active(self) -> Iterator[Organisation]:
        """Every body that exists today."""
        return (each for each in self.by_id.values() if each.is_active)

    def mentioned_in(self, *texts: str) -> list[Organisation]:
        """Return the bodies that the texts mention by a name, former name or alias."""
        return [self.by_id[id] for id in self._names.mentioned(*texts)]

    @cached_property
    def _names(self) -> NameIndex:
        return NameIndex(
            (name, each.id)
            for each in self.by_id.values()
            if each.state is not OrganisationState.WITHDRAWN
            for name in (each.name, *each.other_names)
        )

    # ── above and below ───────────────────────────────────────────────────────────────────────────

    @cached_property
    def children(self) -> Mapping[str, tuple[str, ...]]:
        """Body → ids of the bodies directly under it. Withdrawn bodies count as well."""
        children: dict[str, list[str]] = {}
        for each in self.by_id.values():
            if each.parent_id is not None:
                children.setdefault(each.parent_id, []).append(each.id)
        return {parent: tuple(ids) for parent, ids in children.items()}

    def ancestors(self, id: str) -> list[str]:
        """Return the bodies above this one, the nearest first."""
        above: list[str] = []
        parent = self._parent(id)
        while parent is not None and parent not in above:
            above.append(parent)
            parent = self._parent(parent)
        return above

    def _parent(self, id: str) -> str | None:
        organisation = self.find(id)
        return organisation.parent_id if organisation else None

    def descendants(self, id: str) -> frozenset[str]:
        """Return every body under this one, at any depth."""
        return _reachable([id], self.children) - {id}

    def path(self, id: str) -> str:
        """Return the names from the top down to this body, such as `某县 / 县民政局`."""
        ids = [id, *self.ancestors(id)][:PATH_MAX]
        return " / ".join(self.name_of(each) for each in reversed(ids))

    def name_of(self, id: str) -> str:
        """Return the current name; the id itself for an unknown body."""
        organisation = self.find(id)
        return organisation.name if organisation else id

    # ── before and after ──────────────────────────────────────────────────────────────────────────

    @cached_property
    def _successors(self) -> Mapping[str, tuple[str, ...]]:
        return {
            each.id: tuple(one.organisation_id for one in each.successors)
            for each in self.by_id.values()
            if each.successors
        }

    @cached_property
    def predecessors(self) -> Mapping[str, tuple[str, ...]]:
        """Body → ids of the bodies that directly became it."""
        predecessors: dict[str, list[str]] = {}
        for id, successors in self._successors.items():
            for successor in successors:
                predecessors.setdefault(successor, []).append(id)
        return {id: tuple(before) for id, before in predecessors.items()}

    def heir(self, id: str) -> str:
        """Return the body that answers today for the matters of this one: itself, while it exists.

        Follows mergers and splits to the end.
        """
        passed = {id}
        current = id
        while (following := self._heir_of(current)) is not None and following not in passed:
            passed.add(following)
            current = following
        return current

    def _heir_of(self, id: str) -> str | None:
        organisation = self.find(id)
        return organisation.heir_id if organisation else None

    def inherited(self, id: str) -> frozenset[str]:
        """Return the bodies whose open matters this one has taken over."""
        return frozenset(self._inherited.get(id, ()))

    @cached_property
    def _inherited(self) -> Mapping[str, tuple[str, ...]]:
        """Body that exists → every ended body whose open matters it has taken over."""
        inherited: dict[str, list[str]] = {}
        for id in self._successors:
            heir = self.heir(id)
            if heir != id:
                inherited.setdefault(heir, []).append(id)
        return {heir: tuple(ids) for heir, ids in inherited.items()}

    def lineage(self, id: str) -> frozenset[str]:
        """Return the body with all that it came from and all that it became.

        The other successors of a predecessor are not among them.
        """
        return _reachable([id], self._successors) | _reachable([id], self.predecessors)

    # ── exclusion ─────────────────────────────────────────────────────────────────────────────────

    def excluded(self, accused: Collection[str], *, ancestors: bool) -> frozenset[str]:
        """Return every body that may neither handle nor learn of a matter against `accused`.

        These are the accused, everything under them and, with `ancestors`, everything over them;
        in each case also what they came from, what they have become since, and the bodies whose
        matters one of these has taken over: the people of such a body act for its heir. An unknown
        id excludes itself.
        """
        bodies = frozenset(each for id in accused for each in self.lineage(id))
        below = _reachable(bodies, self._under) - bodies
        above = frozenset(self._above(bodies) if ancestors else ())
        # Not the successors of `bodies`: a split predecessor became others as well.
        others = _reachable(below | above, self._successors)
        return _reachable(bodies | others, self._inherited)

    @cached_property
    def _under(self) -> Mapping[str, tuple[str, ...]]:
        """Body → the bodies directly under it, and those whose matters it has taken over."""
        ids = self.children.keys() | self._inherited.keys()
        return {id: self.children.get(id, ()) + self._inherited.get(id, ()) for id in ids}

    def _above(self, ids: Iterable[str]) -> Iterator[str]:
        for id in ids:
            yield from self.ancestors(id)


def _reachable(
    start: Iterable[str],
    edges: Mapping[str, tuple[str, ...]],
) -> frozenset[str]:
    """Return `start` and everything that the edges lead to."""
    reached = set(start)
    waiting = list(reached)
    while waiting:
        following = set(edges.get(waiting.pop(), ())) - reached
        reached |= following
        waiting.extend(following)
    return frozenset(reached)


# ── official codes ────────────────────────────────────────────────────────────────────────────────

_CREDIT_CHARACTERS: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_WEIGHTS: Final = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_CREDIT_LENGTH: Final = 18
_REGION_LENGTH: Final = 12


def normalise_code(text: str) -> str:
    """Return a code as the register stores it: half width, upper case, without spaces."""
    return "".join(unicodedata.normalize("NFKC", text).split()).upper()


def is_official_code(code: str) -> bool:
    """Return whether this is a national code.

    That is a 统一社会信用代码 (GB 32100-2015) with the right check digit, or a 统计用区划代码 of
    twelve digits. A number that one file or office made up is neither.
    """
    if len(code) == _REGION_LENGTH and code.isascii() and code.isdigit():
        return True
    return _is_credit_code(code)


def _is_credit_code(code: str) -> bool:
    if len(code) != _CREDIT_LENGTH or not set(code) <= set(_CREDIT_CHARACTERS):
        return False
    values = [_CREDIT_CHARACTERS.index(character) for character in code]
    products = (value * weight for value, weight in zip(values, _CREDIT_WEIGHTS, strict=False))
    base = len(_CREDIT_CHARACTERS)
    return values[-1] == (base - sum(products) % base) % base
