"""A page of sections that is no report of a training: a title, a sentence, facts, and the same parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from striate.tasks import Section
from striate.workbench.report.page import fill


@dataclass(frozen=True, eq=False)
class SectionsPage:
    """What the page says.

    Attributes:
        title: its heading.
        lead: a sentence in large letters.
        sections: in their order.
        facts: below the sentence, by name.
        notes: warnings.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: Sequence[str] = ()


def render(sheet: SectionsPage) -> str:
    """The page as one HTML text."""
    return fill("sections_page.html.jinja", sheet.sections, sheet=sheet)
