"""The summary of a data set: warnings about its classes, and its text for a terminal, from its plain dictionary."""

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.data import fixes
from striate.data.duplicates import SIDE
from striate.data.samples import peek, samples
from striate.data.sources import MODALITIES
from striate.result import contained, html_table, picture_tag, text_table, tile
from striate.text import printable, short, some

if TYPE_CHECKING:
    from striate.data.dataset import Data

IMBALANCE = 10  # times as many items of one class as of another
TARGETS = {  # of tasks without classes, other than numbers
    "instances": "with single objects",
    "reconstruct": "to be given back",
}
_NAMED = 3  # classes that a warning names
_CLASSES = 40  # rows of the table
_LETTERS = 40  # of a class in the table
_LINES = 8  # of each list below it
_PLACES = 3  # of each fault
_EACH, _SHOWN = 4, 10  # pictures of a class, and classes, in a notebook


def class_warnings(classes: Sequence[str], counts: Mapping[str, Sequence[int] | None]) -> list[str]:
    """Lines about classes that are far larger than others, or have one item or none in a split.

    Args:
        classes: their names.
        counts: how often each occurs in each split; None where that is not known.
    """
    lines: list[str] = []
    for name, of_classes in counts.items():
        if of_classes is None or len(of_classes) < 2:
            continue
        most = int(np.argmax(of_classes))
        there = [(n, k) for k, n in enumerate(of_classes) if n]  # others are named below
        least = min(there)[1] if there else most
        if name in ("train", "all") and of_classes[most] > IMBALANCE * max(1, of_classes[least]):
            lines.append(
                f"{name} has {of_classes[most]:,} of {classes[most]} and {of_classes[least]:,} of {classes[least]}: "
                "the rare class counts little unless it is weighted, by class_weights=balanced"
            )
        if single := [label for label, n in zip(classes, of_classes, strict=True) if n == 1]:
            lines.append(
                f"{name} has a single item of {some(single, _NAMED)}: scores of it mean little"
            )
        if none := [label for label, n in zip(classes, of_classes, strict=True) if not n]:
            what = "it cannot be learned" if name in ("train", "all") else "it has no scores there"
            lines.append(f"{name} has no item of {some(none, _NAMED)}: {what}")
    return lines


def unlearned(classes: Sequence[str]) -> list[str]:
    """A line about classes that no mask that is trained on holds, or none."""
    none = "train has no pixel of {}: it cannot be learned, and every answer to its held-out pixels is wrong"
    return [none.format(some(classes, _NAMED))] if classes else []


def text(data: dict[str, Any]) -> str:
    """Counts per class and split, sizes, problems, duplicates and leaks, what was ignored."""
    noun = MODALITIES[data["inputs"]]
    head = f"{data['path']}: {data['items']:,} {noun} {targets(data)}, {data['layout']}"
    parts = [head, *([data["note"]] if data["note"] else []), *_other_layouts(data)]
    parts += ["", _table(data), "", _sizes(data)]
    said = "every picture was" if data["inputs"] == "picture" else f"all {noun} were"
    parts += _problems(data["problems"], said) + _faults(data["faults"]) + _duplicates(data)
    parts += _near(data) + [f"note: {line}" for line in data["warnings"]]
    parts += [] if data["fixes"] is None else fixes.lines(data["fixes"])
    if data["alpha"]:
        parts.append(f"alpha: {data['alpha']:,} are transparent in places and are laid on white")
    if data["more_bands"]:
        parts.append(f"bands: of {data['more_bands']:,} the fourth is left out")
    if data["reduced"]:
        parts.append(
            f"depth: of {data['reduced']:,} with more than 8 bits 8 are read: levels= keeps the depth of PNG and TIFF"
        )
    if data["several_frames"]:
        parts.append(f"frames: of {data['several_frames']:,} with several the first is read")
    if data["mask_frames"]:
        parts.append(f"frames: of {data['mask_frames']:,} masks with several the first is read")
    if data["unturned_masks"]:
        parts.append(
            f"EXIF: it turns the pictures of {data['unturned_masks']:,} masks that it does not turn: these are taken to be of "
            "the turned picture"
        )
    if data["bad_exif"]:
        parts.append(f"EXIF: {data['bad_exif']:,} blocks cannot be read and are ignored")
    if data["ignored"]:
        listed = ", ".join(f"{kind} {count:,}" for kind, count in data["ignored"].items())
        parts.append(f"ignored: {listed}")
    parts.append(f"fingerprint: {data['fingerprint'][:16]}")
    return "\n".join(parts)


def targets(data: Mapping[str, Any]) -> str:
    """What belongs to the items, in words that go on after what they are."""
    if data["outputs"]:
        return f"with {', '.join(data['outputs'])}"
    if count := len(data["classes"]):
        return f"in {count:,} class{'es' * (count != 1)}"
    return TARGETS.get(data["task"], "with numbers")


def notebook(data: "Data") -> str:
    """Data as a notebook shows them: some pictures by class, counts by split, warnings."""
    counts = {name: data.counts(name) for name in data.splits}
    head = f"{data.path}: {len(data):,} {data.noun}, {data.layout}"
    pictures: list[str] = []
    for label, found in samples(data, each=_EACH, classes=_SHOWN).items():
        shown = [(place, pixels) for place in found if (pixels := peek(data, place)) is not None]
        tiles = [
            tile(picture_tag(pixels, name, side=72), [] if label else [name.rpartition("/")[2]])
            for place, pixels in shown
            for name in (data.splits[place.split].names[place.number],)
        ]
        title = f"<h4><bdi>{html.escape(printable(label))}</bdi></h4>" if label else ""
        row = f'<div>{title}<div class="tiles">{"".join(tiles)}</div></div>'
        pictures += [row] if tiles else []
    splits = list(data.splits)
    rows = [
        [printable(label), *(f"{of[k]:,}" for of in counts.values() if of is not None)]
        for k, label in enumerate(data.classes[:_CLASSES])
    ]
    rows = rows if all(of is not None for of in counts.values()) else []
    parts = [
        f"<p><b>{html.escape(printable(head))}</b></p>",
        f'<div class="{"pair" if data.classes else ""}">{"".join(pictures)}</div>',
    ]
    rows.append(["total", *(f"{len(split):,}" for split in data.splits.values())])
    parts.append(html_table(["class" if data.classes else "", *splits], rows))
    more = len(data.classes) - _CLASSES
    parts += [f"<p>{more:,} more classes</p>"] if more > 0 else []
    parts += [f"<p>note: {html.escape(line)}</p>" for line in data.warnings]
    return contained("".join(parts))


def _other_layouts(data: dict[str, Any]) -> list[str]:
    """As which layout it was read and why, and as which others it could be, where there are any."""
    if not data["others"]:
        return []
    taken = data["read_as"]
    return [
        f"read as {taken['layout']}, because {taken['why']}",
        *(
            f"could also be read as {other['layout']} ({other['items']:,} items): {other['command']}"
            for other in data["others"]
        ),
    ]


def _table(data: dict[str, Any]) -> str:
    splits = list(data["splits"])
    if not data["counts"] or not all(data["counts"].values()):
        counts = [f"{data['splits'][split]:,}" for split in splits]
        classes = f"\nclasses: {some(data['classes'], _CLASSES)}" if data["classes"] else ""
        return text_table(["", *splits], [["total", *counts]]) + classes
    rows = [
        [short(label, _LETTERS), *(f"{held[s]:,}" for s in splits)]
        for label, held in data["counts"].items()
    ]
    if len(rows) > _CLASSES:
        left = len(rows) - _CLASSES
        rows = [*rows[:_CLASSES], [f"... {left} more", *("" for _ in splits)]]
    rows.append(["total", *(f"{data['splits'][s]:,}" for s in splits)])
    return text_table(["class", *splits], rows)


def _sizes(data: dict[str, Any]) -> str:
    if not data["sizes"]:
        return "sizes: unknown"
    if data["inputs"] != "picture":
        return "; ".join(f"{name} {_range(v)}" for name, v in data["sizes"].items())
    sides = [
        f"{side} {v['min']}"
        if v["min"] == v["max"]
        else f"{side} {v['min']} to {v['max']} (median {v['median']:g})"
        for side, v in data["sizes"].items()
    ]
    return f"sizes: {', '.join(sides)} pixels, {data['color']}"


def _range(v: dict[str, float]) -> str:
    if v["min"] == v["max"]:
        return f"{v['min']:g}"
    return f"{v['min']:g} to {v['max']:g} (median {v['median']:g})"


def _problems(problems: list[dict[str, str]], said: str) -> list[str]:
    if not problems:
        return [f"problems: none, {said} decoded"]
    rows = [f"  {p['file']}: {p['reason']}" for p in problems]
    return [f"problems: {len(problems):,} cannot be read and are skipped", *_cut(rows)]


def _faults(faults: list[dict[str, Any]]) -> list[str]:
    """A line for each kind of fault of parts of targets, with the first places."""
    return [
        f"{fault['kind']}: {fault['count']:,}, {fault['done']} ({some(fault['places'], _PLACES, of=fault['count'], between=';')})"
        for fault in faults
    ]


def _duplicates(data: dict[str, Any]) -> list[str]:
    pairs: list[list[str]] = data["duplicates"]
    if not pairs:
        return ["duplicates: none"]
    leak = (
        f"; {data['leaks']:,} across splits, which is a leak"
        if data["leaks"]
        else ", none across splits"
    )
    return [f"duplicates: {len(pairs):,} exact{leak}", *_cut([f"  {a} = {b}" for a, b in pairs])]


def _near(data: dict[str, Any]) -> list[str]:
    """Near duplicates and contradictions, if there are any, or that they were not looked for."""
    found: list[list[str]] | None = data["near_duplicates"]
    lines: list[str] = []
    if found is None and data["sizes"] and data["inputs"] == "picture":
        lines.append("near duplicates: not looked for among so many")
    if found:
        leak = ""
        if data["near_leaks"]:
            mend = f"; to keep them on one side: {data['near_mend']}" if data["near_mend"] else ""
            leak = f"; {data['near_leaks']:,} across splits, a leak where both show the same{mend}"
        lines += [
            f"near duplicates, alike at {SIDE} x {SIDE} pixels: {len(found):,}{leak}",
            *_cut([f"  {a} ~ {b}" for a, b in found]),
        ]
    pairs: list[list[str]] = data["contradictions"]
    if pairs:
        lines += [
            f"contradictions: {len(pairs):,} pictures that are the same, or nearly, have different labels",
            *_cut([f"  {a}, {b}" for a, b in pairs]),
        ]
    return lines


def _cut(rows: list[str]) -> list[str]:
    more = [f"  ... {len(rows) - _LINES:,} more"] if len(rows) > _LINES else []
    return rows[:_LINES] + more
