"""From the plain values of a report to its words, rows and charts."""

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from striate.augment import read
from striate.metrics.scores import shown
from striate.see import paint
from striate.workbench import charts, figures
from striate.workbench.formats import DASH, SPACE, number, percent, setting, short, size

if TYPE_CHECKING:
    from striate.workbench.content import Content, Score

SECTIONS = (
    ("learning", "Learning"),
    ("scores", "Scores"),
    ("confusion", "Confusion"),
    ("mistakes", "Mistakes"),
    ("kernels", "Kernels"),
    ("maps", "Feature maps"),
    ("sheet", "Layers and costs"),
    ("settings", "Plan and recipe"),
    ("data", "Data"),
    ("use", "Use it"),
)


def parts(content: "Content") -> dict[str, Any]:
    """All that the template needs beside the content itself; charts are marked as safe markup."""
    found = {
        "head": _head(content),
        "curves": figures.curves(content),
        "best": figures.best_row(content),
        "score_groups": figures.score_groups(content),
        "matrix": figures.matrix(content),
        "split": figures.held_out(content).lower(),
        "pairs": figures.pairs(content),
        "class_rows": figures.class_rows(content),
        "sections": [
            (section, [(tile, figures.picture_tag(tile.picture, 360)) for tile in section.gallery])
            for section in content.sections
        ],
        "mistakes": [(m, figures.picture_tag(m.picture)) for m in content.mistakes],
        "wrong": _wrong(content),
        "kernels": figures.kernels(content),
        "maps": figures.maps(content),
        "sheet": _sheet(content),
        "movement": figures.safe(content.movement.as_svg()) if content.movement else None,
        "plan": _plan(content),
        "learned": _learned(content),
        "data": _data(content),
        "run_again": _commands(content),
        "ramps": {"diverging": ramp(paint.DIVERGING), "sequential": ramp(paint.SEQUENTIAL)},
    }
    return found | {
        "toc": [(name, words) for name, words in SECTIONS if _shown(name, found, content)]
    }


def _shown(section: str, found: Mapping[str, Any], content: "Content") -> bool:
    needed = {
        "learning": found["curves"],
        "scores": content.scores or content.test,
        "confusion": found["matrix"] or found["class_rows"],
        "mistakes": content.confusion,
        "settings": found["plan"] or content.recipe,
    }
    return bool(needed.get(section, found.get(section, True)))


def ramp(anchors: Sequence[tuple[int, int, int]]) -> str:
    """The stops of a CSS gradient."""
    return ", ".join(f"rgb({r} {g} {b})" for r, g, b in anchors)


def _wrong(content: "Content") -> int:
    right = sum(row[i] for i, row in enumerate(content.confusion))
    return sum(map(sum, content.confusion)) - right


def _head(content: "Content") -> dict[str, Any]:
    """The one result, and what it means."""
    scores, items = content.test or content.scores, content.items
    if content.test:
        items = content.test_items or 0
    split = "test" if content.test else "held-out"
    counted = f"{items:,} {split} {content.noun}" if items else f"the {split} {content.noun}"
    accuracy = scores.get("accuracy")
    if accuracy is None and scores:
        name, value = next(iter(scores.items()))
        low, high = (shown(name, float(value[end] or math.nan)) for end in ("low", "high"))
        return {
            "value": shown(name, value["value"]),
            "words": f"{name} of {counted}",
            "interval": f"95{SPACE}% interval {low} to {high}",
            "meaning": [],
        }
    if accuracy is None:
        return {"value": DASH, "words": f"no accuracy on {counted}", "interval": "", "meaning": []}
    low, high = (percent(accuracy[end], items) for end in ("low", "high"))
    return {
        "value": percent(accuracy["value"], items),
        "words": f"of {counted} right",
        "interval": f"95{SPACE}% interval {low} to {high}",
        "meaning": _meaning(content, accuracy),
    }


def _meaning(content: "Content", accuracy: "Score") -> list[str]:
    items = content.noun
    luck = f"The interval covers the chance of which {items} fell into this set"
    said = [f"{luck}; {items} from another source may fare worse."]
    if content.test:
        said.append("None of them had a say in the training or in the choice of the epoch.")
    elif content.chosen:
        said.append(
            "The kept epoch was chosen by these same items, which flatters the figure a little."
        )
    majority = _majority(content)
    if majority:
        answer, share = f"“{short(str(majority[0]), 40)}”", majority[1]
        within = "; the interval reaches down to that" if accuracy["low"] <= share else ""
        said.append(f"Always answering {answer} would be right in {percent(share)}{within}.")
    said += [
        f"For comparison, {name}: {percent(share)}."
        for name, share in content.baselines.items()
        if not (majority and math.isclose(share, majority[1]))
    ]
    return said


def _learned(content: "Content") -> dict[str, Any]:
    """What the loss and the accuracy of the training are of, where that is not what is held out is measured by."""
    recipe = content.recipe
    loss = str(recipe.get("loss", "cross_entropy"))
    said = [f"smoothed by {recipe['smoothing']}"] if recipe.get("smoothing") else []
    said += ["classes balanced"] if content.class_weights else []
    mixed = bool(read(str(recipe.get("augment", "none"))).of("mix"))
    said += ["items mixed"] if mixed else []
    words = f"{loss} ({', '.join(said)})" if said else loss
    parts = [key for key in (content.history or [{}])[0] if key.startswith("train_")]
    return {
        "loss": "" if words == "cross_entropy" else words,
        "mixed": mixed,
        "parts": [key for key in parts if key not in ("train_loss", "train_accuracy")],
    }


def _majority(content: "Content") -> tuple[str, float] | None:
    """The commonest class of the held-out items and its share of them."""
    total = sum(row["support"] for row in content.per_class)
    common = max(content.per_class, key=lambda row: row["support"], default=None)
    return (common["label"], common["support"] / total) if common and total else None


# ---------------------------------------------------------------------------------------- pictures


# ----------------------------------------------------------------------- the net, the plan, the way on


def _sheet(content: "Content") -> dict[str, Any] | None:
    if content.sheet is None:
        return None
    totals = content.sheet["totals"]
    layers = [dict(layer) for layer in content.sheet["layers"]]
    for layer in layers:
        field = layer.get("field")
        layer["field_size"] = size(field["size"]) if field else ""
        for key in ("params", "macs"):
            share = (layer.get(key) or 0) / totals[key] if totals.get(key) else 0.0
            layer[f"{key}_share"], layer[f"{key}_bar"] = share, figures.safe(charts.bar(share))
    return {
        "inputs": content.sheet.get("inputs", []),
        "layers": layers,
        "totals": totals,
        "fields": any(layer["field_size"] for layer in layers),
    }


def _plan(content: "Content") -> dict[str, Any] | None:
    """The plan as one sentence, and its candidates as a table."""
    plan = content.plan
    if plan is None:
        return None
    compiled = "compiled" if plan.get("compiled") else "not compiled"
    where = f"{plan['precision']} in {plan['layout']} layout on {plan['device']}, {compiled}"
    ratio, tolerance = plan.get("ratio") or 1.0, plan.get("tolerance")
    bound = f", outputs within {number(tolerance)} of the largest" if tolerance is not None else ""
    why = f" ({plan['why']})" if plan.get("why") else ""
    gain = why if ratio == 1 else f": {ratio:.2f} times as fast as the plain default{bound}"
    rows = [dict(row) for row in plan.get("candidates") or ()]
    header = list(dict.fromkeys(key for row in rows for key in row))
    taken = [all(row.get(key) == plan.get(key) for key in ("layout", "precision")) for row in rows]
    return {
        "sentence": f"The net ran in {where}{gain}.",
        "header": header,
        "rows": [
            {"taken": took, "cells": [setting(row.get(key)) for key in header]}
            for row, took in zip(rows, taken, strict=True)
        ],
    }


def _data(content: "Content") -> dict[str, Any]:
    """Facts of the data, its splits, and the files that could not be used."""
    data = content.data
    classes = ", ".join(short(str(name), 24) for name in content.classes[:12])
    facts: dict[str, Any] = {
        key: data[key] for key in ("path", "task", "layout", "items") if key in data
    }
    facts["classes"] = f"{classes}, …" if len(content.classes) > 12 else classes
    facts |= {key: data[key] for key in ("sizes", "ignored") if data.get(key)}
    if data.get("fingerprint"):
        facts["fingerprint"] = short(str(data["fingerprint"]), 17)
    if "duplicates" in data:
        facts["duplicate pairs"] = len(data["duplicates"])
    return {"facts": facts, "splits": data.get("splits", {}), "problems": data.get("problems", [])}


def _commands(content: "Content") -> dict[str, list[str]]:
    run = shlex.quote(content.run)
    named, given = (" --net package.module:factory", ", net=MyNet()") if content.own else ("", "")
    return {
        "shell": [
            f"striate predict {run} FILE{named}",
            f"striate evaluate {run}{named}",
        ],
        "python": [
            "import striate",
            f"run = striate.Run.load({content.run!r}{given})",
            "print(run.predict(['FILE']))",
        ],
    }
