"""The base classes of everything in a scheme."""

import msgspec


class SchemePart(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything in a scheme."""


class SchemeRule(SchemePart, frozen=True, kw_only=True):
    """A part that ledger lines and pages refer to. An `id` never changes its meaning.

    `ours` marks a value that the founding document leaves open and the office must decide.
    `source` is a clause of that document or the id of a legal preset.
    """

    id: str
    label: str
    ours: bool = False
    source: str = ""
