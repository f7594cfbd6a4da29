"""The report of a run: one HTML file that needs nothing but itself.

A page is a head and sections, whoever gives them; `parts.html.jinja` has a macro for each kind of part. No script,
no outside asset; whatever came from the user is text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from striate import svg
from striate.see import paint
from striate.tasks import Section
from striate.tasks.section import Fold, Text
from striate.text import compact, duration, moment, number, setting
from striate.workbench.report import drawn, inside, learning, outcome, provenance
from striate.workbench.report.content import Content
from striate.workbench.report.verdict import Verdict

HERE = Path(__file__).parent
NAMED = 32  # letters of the names of all classes, up to which they stand below the headline


@dataclass(frozen=True, eq=False)
class Page:
    """What any page of the workbench is made of.

    Attributes:
        title: its heading.
        created: ISO time.
        head: the one result: `value`, `words`, `interval`, `meaning`; see `outcome.head`.
        sections: in their order.
        verdict: what it has come to.
        facts: below the result: a name, a value, and a word in small letters.
        notes: warnings.
        machine: facts of the machine and the versions.
        run: the folder that it is of.
    """

    title: str
    created: str
    head: Mapping[str, Any]
    sections: Sequence[Section]
    verdict: Verdict | None = None
    facts: Sequence[tuple[str, str, str]] = ()
    notes: Sequence[str] = ()
    machine: Mapping[str, Any] = field(default_factory=dict[str, Any])
    run: str = ""


def render(content: Content) -> str:
    """The report of a run as one HTML text."""
    return render_page(
        Page(
            content.title,
            content.created,
            outcome.head(content),
            sections(content),
            content.verdict,
            _facts(content),
            content.notes,
            content.machine,
            content.run,
        )
    )


def render_page(page: Page) -> str:
    """A page as one HTML text."""
    return fill(
        "page.html.jinja",
        page.sections,
        page=page,
        head=page.head,
        tone=page.verdict.first.tone if page.verdict else "open",
    )


def fill(name: str, sections: Sequence[Section], **given: Any) -> str:
    """A template of this folder as one HTML text; all have the sections, their parts and the style sheet."""
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
    return environment.get_template(name).render(
        sections=drawn.sections(sections),
        style={key: Markup(text) for key, text in _style().items()},  # noqa: S704 - no user's words
        **given,
    )


def sections(content: Content) -> list[Section]:
    """All sections of a report, in their order."""
    found = [
        learning.section(content),
        outcome.section(content),
        *_of_task(content),
        content.batch,
        inside.kernels_section(content.kernels) if content.kernels else None,
        inside.maps_section(content.maps, list(content.map_titles)) if content.maps else None,
        inside.layers_section(content),
        provenance.made_section(content),
        provenance.data_section(content),
        provenance.use_section(content),
    ]
    return [section for section in found if section is not None]


def _of_task(content: Content) -> list[Section]:
    """The task's own, of the items that the headline is of; those of the other split are folded below each."""
    if not content.test_sections:
        return list(content.sections)
    split = "validation" if content.held_out == "val" else content.held_out
    said = (
        f"The same of the {content.items:,} {split} {content.noun}, by which the epoch was chosen"
    )
    others = {section.name or section.title: section for section in content.sections}
    found: list[Section] = []
    for section in content.test_sections:
        other = others.pop(section.name or section.title, None)
        below = [Fold(said, _within(other))] if other else []
        found.append(replace(section, parts=[*section.parts, *below]))
    rest = [replace(section, title=f"{section.title} ({split})") for section in others.values()]
    return [*found, *rest]


def _within(section: Section) -> list[Any]:
    """A section as parts of another."""
    return [*([Text(section.text)] if section.text else []), *section.parts]


def _facts(content: Content) -> list[tuple[str, str, str]]:
    """What stands below the headline: a name, a value, and a word in small letters."""
    facts = [("network", content.net, "")]
    if content.sheet:
        totals = content.sheet["totals"]
        facts += [
            ("parameters", compact(totals["params"]), ""),
            ("multiply-adds an item", compact(totals["macs"]), ""),
        ]
    if content.classes:
        names = ", ".join(map(str, content.classes))
        few = names if len(names) <= NAMED else ""
        facts.append((content.classes_of, f"{len(content.classes):,}", few))
    if content.history:
        kept = f"kept {content.best_epoch}" if learning.best(content) else ""
        epochs = sum(row["epoch"] > 0 for row in content.history)  # a linear probe is none
        facts.append(("epochs", f"{epochs}", kept))
    if content.seconds is not None:
        facts.append(("training time", duration(content.seconds), ""))
    return facts


def _style() -> dict[str, str]:
    """What the style sheet takes from the drawing kit, and the colours of pixels as gradients."""
    return {
        "light": f"{svg.variables()} {svg.cell_variables()}",
        "dark": f"{svg.variables(dark=True)} {svg.cell_variables(dark=True)}",
        "drawing": svg.STYLE,
        "diverging": _ramp(paint.DIVERGING),
        "sequential": _ramp(paint.SEQUENTIAL),
    }


def _ramp(anchors: Sequence[tuple[int, int, int]]) -> str:
    """The stops of a CSS gradient."""
    return ", ".join(f"rgb({r} {g} {b})" for r, g, b in anchors)
