"""The problem catalogue and the contents of an appraisal."""

from collections.abc import Iterator

from shared.appraisal.schemes.base import SchemePart, SchemeRule


class ProblemItem(SchemePart, frozen=True, kw_only=True):
    """An entry of the catalogue. Complaints and cases carry its `id` as `problem_item`."""

    id: str
    label: str


class ProblemHeading(SchemePart, frozen=True, kw_only=True):
    """A heading of the catalogue with its entries."""

    key: str
    label: str
    items: tuple[ProblemItem, ...]


class Catalogue(SchemeRule, frozen=True, kw_only=True):
    """问题目录: every complaint, finding and opinion is filed under one entry."""

    heads: tuple[ProblemHeading, ...]

    @property
    def entries(self) -> Iterator[ProblemItem]:
        """The entries of all headings, in order."""
        return (item for heading in self.heads for item in heading.items)


class Content(SchemeRule, frozen=True, kw_only=True):
    """评议内容: a subject of the appraisal."""
