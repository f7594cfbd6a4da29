"""A page of sections that is no report of a training: a title, a sentence, facts, and the same parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from striate.tasks import Section
from striate.text import moment, number, setting
from striate.workbench.report import drawn
from striate.workbench.report.page import HERE, style

BODY = "sections_page.html.jinja"


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
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=drawn.words,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({"number": number, "moment": moment, "setting": setting})
    # The macros of the report's template stand before its page; importing them would draw that page.
    macros = (HERE / "page.html.jinja").read_text(encoding="utf-8").partition("<!doctype html>")[0]
    template = environment.from_string(macros + (HERE / BODY).read_text(encoding="utf-8"))
    return template.render(
        sheet=sheet,
        sections=drawn.sections(sheet.sections),
        style={key: Markup(text) for key, text in style().items()},  # noqa: S704 - no user's words
    )
