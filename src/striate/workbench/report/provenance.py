"""How a run was made, of what data, and how it is used: the plan, the recipe, the data, the way on."""

import shlex
from typing import Any

from striate.tasks import Section
from striate.tasks.section import (
    Beside,
    Code,
    Column,
    Facts,
    Fold,
    Listing,
    Part,
    Shares,
    Table,
    Text,
)
from striate.text import number, setting, short
from striate.workbench.report.content import Content

PROBLEMS = 100  # files that are listed


def made_section(content: Content) -> Section | None:
    """The command, the plan and the recipe."""
    if content.plan is None and not content.recipe:
        return None
    parts: list[Part] = [Code([content.command])]
    if content.plan is not None:
        parts += _plan(content.plan)
    if content.recipe:
        note = "● marks what differs from the default." if content.recipe_changed else ""
        parts.append(Facts(content.recipe, "Recipe", note, content.recipe_changed))
    return Section("How it was made", parts=parts, name="Plan and recipe")


def _plan(plan: Any) -> list[Part]:
    """The plan as one sentence, and its candidates as a table."""
    compiled = "compiled" if plan.get("compiled") else "not compiled"
    where = f"{plan['precision']} in {plan['layout']} layout on {plan['device']}, {compiled}"
    ratio, tolerance = plan.get("ratio") or 1.0, plan.get("tolerance")
    bound = f", outputs within {number(tolerance)} of the largest" if tolerance is not None else ""
    why = f" ({plan['why']})" if plan.get("why") else ""
    gain = why if ratio == 1 else f": {ratio:.2f} times as fast as the plain default{bound}"
    said = Text(f"The net ran in {where}{gain}.")
    rows = [dict(row) for row in plan.get("candidates") or ()]
    if not rows:
        return [said]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    taken = [
        i
        for i, row in enumerate(rows)
        if all(row.get(key) == plan.get(key) for key in ("layout", "precision"))
    ]
    cells = [[setting(row.get(key)) for key in keys] for row in rows]
    table = Table([Column(key) for key in keys], cells, marked=taken)
    return [said, Fold(f"{len(rows)} candidates, timed in turns", [table])]


def data_section(content: Content) -> Section:
    """Facts of the data, its splits, and the files that could not be used."""
    data = content.data
    facts: dict[str, Any] = {
        key: data[key] for key in ("path", "task", "layout", "items") if key in data
    }
    if content.classes:
        classes = ", ".join(short(str(name), 24) for name in content.classes[:12])
        facts["classes"] = f"{classes}, …" if len(content.classes) > 12 else classes
    facts |= {key: data[key] for key in ("note", "sizes", "ignored") if data.get(key)}
    if data.get("fingerprint"):
        facts["fingerprint"] = short(str(data["fingerprint"]), 17)
    if "duplicates" in data:
        facts["duplicate pairs"] = len(data["duplicates"])
    splits, problems = data.get("splits", {}), data.get("problems", [])
    parts: list[Part] = [Facts(facts), *([Shares(splits)] if splits else [])]
    return Section("The data", parts=[*parts, *_problems(problems)], name="Data")


def _problems(problems: list[Any]) -> list[Part]:
    if not problems:
        return []
    entries = [(problem["file"], problem["reason"]) for problem in problems[:PROBLEMS]]
    more = [Text(f"The first {PROBLEMS} are shown; striate data lists all.", soft=True)]
    parts: list[Part] = [Listing(entries), *(more if len(problems) > PROBLEMS else [])]
    return [Fold(f"{len(problems):,} files with problems", parts, open=len(problems) <= 5)]


def use_section(content: Content) -> Section:
    """How the run is used, on the command line and in Python."""
    run = shlex.quote(content.run)
    named, given = (" --net package.module:factory", ", net=MyNet()") if content.own else ("", "")
    shell = [f"striate predict {run} FILE{named}", f"striate evaluate {run}{named}"]
    python = [
        "import striate",
        f"run = striate.Run.load({content.run!r}{given})",
        "print(run.predict(['FILE']))",
    ]
    return Section(
        "Use it", parts=[Beside([Code(shell, "On the command line"), Code(python, "In Python")])]
    )
