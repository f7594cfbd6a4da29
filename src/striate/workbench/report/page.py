"""The report of a run: one HTML file that needs nothing but itself.

A page is a head and sections, whoever gives them; `page.html.jinja` has a macro for each kind of part. No script,
no outside asset; whatever came from the user is text.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from striate import svg
from striate.see import paint
from striate.tasks import Section
from striate.tasks.section import Text
from striate.text import compact, duration, moment, number, setting
from striate.workbench.report import drawn, inside, learning, outcome, provenance
from striate.workbench.report.content import Content

HERE = Path(__file__).parent


def render(content: Content) -> str:
    """The report as one HTML text."""
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
    template = environment.get_template("page.html.jinja")
    return template.render(
        c=content,
        head=outcome.head(content),
        facts=_facts(content),
        sections=drawn.sections(sections(content)),
        style={key: Markup(text) for key, text in _style().items()},  # noqa: S704 - no user's words
    )


def sections(content: Content) -> list[Section]:
    """All sections of a report, in their order."""
    found = [
        learning.section(content),
        outcome.section(content),
        *_of_task(content),
        inside.kernels_section(content.kernels) if content.kernels else None,
        inside.maps_section(content.maps, list(content.map_titles)) if content.maps else None,
        inside.layers_section(content),
        provenance.made_section(content),
        provenance.data_section(content),
        provenance.use_section(content),
    ]
    return [section for section in found if section is not None]


def _of_task(content: Content) -> list[Section]:
    """The task's own; where the headline is of other items each says so."""
    if not content.test:
        return list(content.sections)
    split = "validation" if content.held_out == "val" else content.held_out
    said = (
        f"Of the {content.items:,} {split} {content.noun}; the headline is of the {content.test_items or 0:,} test "
        f"{content.noun}, which are not among them."
    )
    return [replace(section, parts=_after(section, said)) for section in content.sections]


def _after(section: Section, said: str) -> list[Any]:
    return [Text(said), *section.parts]


def _facts(content: Content) -> list[tuple[str, str, str]]:
    """What stands below the headline: a name, a value, and a word in small letters."""
    facts = [("network", content.net, "")]
    if content.sheet:
        totals = content.sheet["totals"]
        facts += [
            ("parameters", number(totals["params"]), ""),
            ("multiply-adds an item", compact(totals["macs"]), ""),
        ]
    if content.classes:
        facts.append(("classes", f"{len(content.classes):,}", ""))
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
        "light": svg.variables(),
        "dark": svg.variables(dark=True),
        "drawing": svg.STYLE,
        "diverging": _ramp(paint.DIVERGING),
        "sequential": _ramp(paint.SEQUENTIAL),
    }


def _ramp(anchors: Sequence[tuple[int, int, int]]) -> str:
    """The stops of a CSS gradient."""
    return ", ".join(f"rgb({r} {g} {b})" for r, g, b in anchors)


def style() -> dict[str, str]:
    """What `page.css` takes, for other pages of the same parts."""
    return _style()
