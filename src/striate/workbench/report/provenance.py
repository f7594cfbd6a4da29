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
BALANCED, FOLDED = 100, 12  # classes whose items are counted, and those that are not folded


def made_section(content: Content) -> Section | None:
    """The command, the plan and the recipe."""
    if content.plan is None and not content.recipe:
        return None
    parts: list[Part] = [Code([content.command])]
    if content.plan is not None:
        parts += _plan(content.plan)
    parts += _settings(content)
    return Section("How it was made", parts=parts, name="Plan and recipe")


def _settings(content: Content) -> list[Part]:
    """The settings that differ from what such data get without a word; the others folded."""
    if not content.recipe:
        return []
    changed = {key: v for key, v in content.recipe.items() if key in content.recipe_changed}
    rest = {key: v for key, v in content.recipe.items() if key not in changed}
    said = "No setting differs from what these data get without a word."
    first = (
        Facts(changed, "What differs from the defaults", changed=set(changed))
        if changed
        else Text(said)
    )
    return [first, *([Fold(f"The other {len(rest)} settings", [Facts(rest)])] if rest else [])]


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
        facts[content.classes_of] = f"{classes}, …" if len(content.classes) > 12 else classes
    facts |= {key: data[key] for key in ("note", "sizes", "ignored") if data.get(key)}
    if data.get("fingerprint"):
        facts["fingerprint"] = short(str(data["fingerprint"]), 17)
    if "duplicates" in data:
        facts["duplicate pairs"] = len(data["duplicates"])
    splits, problems = data.get("splits", {}), data.get("problems", [])
    parts: list[Part] = [Facts(facts), *([Shares(splits)] if splits else []), *_balance(content)]
    return Section("The data", parts=[*parts, *_problems(problems)], name="Data")


def _balance(content: Content) -> list[Part]:
    """How many items of each class each split has, the largest class first; a bar is a share of the largest."""
    counts, classes = content.balance, content.classes
    if not classes or not counts or any(len(row) != len(classes) for row in counts.values()):
        return []
    totals = [sum(row[k] for row in counts.values()) for k in range(len(classes))]
    order = sorted(range(len(classes)), key=lambda k: -totals[k])
    columns = [Column("class", "name")]
    for split in counts:
        columns += [Column(split, "number"), Column("share of the largest", "bar", minor=True)]
    most = {split: max(1, *row) for split, row in counts.items()}
    rows = [
        [
            classes[k],
            *(cell for split, row in counts.items() for cell in (row[k], row[k] / most[split])),
        ]
        for k in order[:BALANCED]
    ]
    least, largest = min(totals), max(totals)
    ratio = (
        f"The largest class has {largest / least:.3g} times the items of the smallest."
        if least
        else (f"{sum(not n for n in totals):,} classes have no items.")
    )
    note = f"the largest {BALANCED} of {len(classes):,}" if len(order) > BALANCED else ""
    table = Table(columns, rows, "Items of each class", note, first=FOLDED, rest="classes")
    return [table, Text(ratio, soft=True)]


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
