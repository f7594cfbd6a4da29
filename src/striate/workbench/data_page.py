"""`striate data DATA --html FILE`: what the data look like, a contact sheet by class, and what is wrong with them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from striate import inputs
from striate.data import Data, summary
from striate.data.modes import U8
from striate.data.samples import Place, pixels, places, samples
from striate.errors import StriateError
from striate.tasks import Section, Task, named
from striate.tasks.pictures import shrunk
from striate.tasks.section import (
    Beside,
    Code,
    Column,
    Facts,
    Gallery,
    Listing,
    Part,
    Shares,
    Table,
    Text,
    Tile,
)
from striate.text import TIMES, number, short
from striate.training import read_recipe
from striate.training.defaults import with_defaults
from striate.workbench.report.page import fill

CLASSES = 24  # whose samples are shown
EACH, FEW = 7, 3  # samples of a class, and of one whose items are no pictures
PAIRS = 12  # of each kind of duplicates
LISTED = 50  # files with problems
SIDE = 192  # pixels of a sample


def page(data: Data) -> str:
    """The page of opened data as one HTML text that needs nothing else."""
    found = data.as_dict()
    shown = [
        _samples(data),
        _balance(found),
        _sizes(found),
        _pairs_section(data, found),
        _problems(found),
        _reading(found),
    ]
    return fill(
        "data_page.html.jinja",
        [section for section in shown if section is not None],
        title=Path(found["path"]).name or found["path"],
        lead=_lead(data, found),
        facts=_facts(found),
        notes=found["warnings"],
    )


def _lead(data: Data, found: Mapping[str, Any]) -> str:
    return f"{found['items']:,} {data.noun} {summary.targets(found)}"


def _facts(found: Mapping[str, Any]) -> dict[str, str]:
    splits = ", ".join(f"{name} {count:,}" for name, count in found["splits"].items())
    trouble = len(found["problems"])
    return {
        "learned from it": found["task"],
        "splits": splits,
        **({"sizes": _size_words(found["sizes"])} if "height" in found["sizes"] else {}),
        **({"colour": found["color"]} if found["color"] else {}),
        "unreadable": f"{trouble:,}" if trouble else "none",
        "exact duplicates": f"{len(found['duplicates']):,}" if found["duplicates"] else "none",
    }


def _size_words(sizes: Mapping[str, Mapping[str, float]]) -> str:
    """Width by height of the median picture, and the range where they differ."""
    width, height = sizes["width"], sizes["height"]
    middle = f"{width['median']:g} {TIMES} {height['median']:g}"
    same = all(side["min"] == side["max"] for side in (width, height))
    return middle if same else f"{middle} in the middle"


# ------------------------------------------------------------------------------------- samples


class Pictures:
    """Items drawn with their targets, as the task of the data draws them."""

    def __init__(self, data: Data) -> None:
        self.data = data

    @cached_property
    def task(self) -> Task | None:
        """What draws masks and boxes; None where it cannot be made without a training."""
        with suppress(StriateError):
            return named(self.data.task).of(self.data, read_recipe("quick"))
        return None

    @cached_property
    def drawings(self) -> tuple[Any, Any] | None:
        """The decoded first split and what draws its items, of what is no picture."""
        with suppress(StriateError):
            data, how = self.data, inputs.of(self.data.modality)
            recipe = with_defaults(read_recipe("quick", {"net": None}), data)
            form = how.planned(data, recipe, named(data.task).fit)
            arrays = data.arrays(next(iter(samples(data).values()))[0].split, form=form)
            return arrays, how.of(arrays.inputs, data, recipe, form)
        return None

    def tile(self, place: Place, *lines: str) -> Tile | None:
        """An item with its name; None where it cannot be shown."""
        name = self.data.splits[place.split].names[place.number]
        picture = self._picture(place) if self.data.pictures else self._drawn(place)
        if picture is None:
            return None
        return Tile(picture, short(Path(name).name, 28), [*lines, *self._target(place)], alt=name)

    def _picture(self, place: Place) -> U8 | None:
        whole = self.data.kind in ("mask", "boxes")
        picture = pixels(self.data, place, None if whole else SIDE)
        if picture is None or not whole or self.task is None:
            return picture
        target = self.data.splits[place.split].targets.truth(place.number)
        color = np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture
        with suppress(StriateError):
            over = self.task.draw(color, target)
            picture = picture if over is None else over
        return shrunk(picture, SIDE)

    def _drawn(self, place: Place) -> Any:
        if self.drawings is None:
            return None
        arrays, prepared = self.drawings
        at = np.flatnonzero(arrays.numbers == place.number)
        return prepared.drawn(np.asarray(arrays.inputs[at[0]])) if len(at) else None

    def _target(self, place: Place) -> Iterator[str]:
        """Numbers of an item in words."""
        if self.data.kind == "values":
            values = np.atleast_1d(self.data.splits[place.split].targets.truth(place.number))
            for name, value in zip(self.data.outputs or ("value",), values.tolist(), strict=False):
                yield f"{name} {number(value)}"


def _samples(data: Data) -> Section:
    """The contact sheet: small pictures class by class, or larger ones with their masks, boxes or numbers."""
    shown = Pictures(data)
    rows: list[Sequence[Part]] = []
    for label, found in samples(data, each=EACH if data.pictures else FEW, classes=CLASSES).items():
        tiles = [tile for place in found if (tile := shown.tile(place))]
        gallery = Gallery(tiles, form="small" if label and data.pictures else "cards")
        none = Text("no item of it can be shown", soft=True)
        rows.append([*([Text(label)] if label else []), gallery if tiles else none])
    more = len(data.classes) - CLASSES
    left = f" {more:,} more classes are not shown." if data.kind == "label" and more > 0 else ""
    beside = Beside(rows, form="pair") if len(rows) > 1 else None
    parts = [beside] if beside else [part for row in rows for part in row]
    return Section("Samples", f"Evenly picked from what is trained on.{left}", parts)


# -------------------------------------------------------------------------------------- counts


def _balance(found: Mapping[str, Any]) -> Section:
    """The splits as shares, and a row a class: how many of it in each, with a bar against the largest class."""
    parts: list[Part] = [Shares(found["splits"])]
    splits = list(found["splits"])
    if found["counts"] and all(found["counts"].values()):
        totals = {label: sum(held.values()) for label, held in found["counts"].items()}
        most = max(totals.values(), default=0) or 1
        columns = [Column("class", "name"), *(Column(name, "number") for name in splits)]
        rows = [
            [label, *(held.get(name) for name in splits), totals[label] / most]
            for label, held in found["counts"].items()
        ]
        total = ["total", *(found["splits"][name] for name in splits), ""]
        parts.append(
            Table(
                [*columns, Column("of the largest", "bar")],
                rows,
                total=total,
                first=40,
                rest="classes",
            )
        )
    return Section("Classes and splits" if found["classes"] else "Splits", parts=parts)


def _sizes(found: Mapping[str, Any]) -> Section | None:
    rows = [
        [name, spread["min"], spread["median"], spread["max"]]
        for name, spread in found["sizes"].items()
    ]
    if not rows:
        return None
    unit = "pixels" if found["inputs"] == "picture" else ""
    columns = [
        Column(unit, "words"),
        *(Column(t, "number") for t in ("least", "median", "greatest")),
    ]
    return Section("Sizes", parts=[Table(columns, rows)])


# ------------------------------------------------------------------------------------- faults


def _pairs_section(data: Data, found: Mapping[str, Any]) -> Section:
    """Exact duplicates, near ones and contradictions, the two of each pair side by side."""
    kinds = {
        "Exact duplicates": found["duplicates"],
        "Near duplicates": found["near_duplicates"] or [],
        "The same, or nearly, with different labels": found["contradictions"],
    }
    first = {title: pairs[:PAIRS] for title, pairs in kinds.items()}
    where = places(data, [name for pairs in first.values() for pair in pairs for name in pair])
    parts: list[Part] = []
    for title, pairs in first.items():
        if pairs:
            parts += _pairs(data, title, pairs, where, len(kinds[title]))
    leaks = [n for n in (found["leaks"], found["near_leaks"]) if n]
    said = (
        f" Pairs in two splits, which let a score be learned by heart: {sum(leaks):,}."
        if leaks
        else ""
    )
    if data.near_unlooked:
        said += f" Near duplicates were not looked for: {data.near_unlooked}."
    if not parts:
        return Section("Duplicates", f"None were found.{said}")
    if found["near_mend"]:
        parts.append(Code([found["near_mend"]], title="To keep near duplicates on one side"))
    return Section("Duplicates", said.strip(), parts)


def _pairs(
    data: Data,
    title: str,
    pairs: Sequence[Sequence[str]],
    where: Mapping[str, Place],
    count: int,
) -> Iterator[Part]:
    shown = Pictures(data)
    more = f", the first {len(pairs)} of them" if count > len(pairs) else ""
    yield Text(f"{title}: {count:,} {'pair' if count == 1 else 'pairs'}{more}.")
    columns: list[Part | Sequence[Part]] = []
    for pair in pairs:
        tiles = [
            shown.tile(where[name], *_placed(data, where[name])) for name in pair if name in where
        ]
        if any(tiles):
            columns.append(Gallery([tile for tile in tiles if tile], form="row"))
        else:
            columns.append(Text(" = ".join(pair)))
    yield Beside(columns, form="pair")


def _placed(data: Data, place: Place) -> list[str]:
    """The split of an item, and its class."""
    held = data.splits[place.split]
    label = data.classes[int(held.labels[place.number])] if data.kind == "label" else ""
    return [place.split, *([label] if label else [])]


def _problems(found: Mapping[str, Any]) -> Section | None:
    """Files that cannot be read, parts of targets that are wrong, and what else lies there."""
    parts: list[Part] = []
    problems = found["problems"]
    if problems:
        left = f"; the first {LISTED} of them" if len(problems) > LISTED else ""
        parts.append(Text(f"{len(problems):,} cannot be read and are skipped{left}."))
        parts.append(Listing([(p["file"], p["reason"]) for p in problems[:LISTED]]))
    for fault in found["faults"]:
        parts.append(Text(f"{fault['kind']}: {fault['count']:,}, {fault['done']}."))
        parts.append(Listing([(place, "") for place in fault["places"][:10]]))
    odd = {
        "transparent in places, laid on white": found["alpha"],
        "with a fourth band that is left out": found["more_bands"],
        "with more than 8 bits, of which 8 are read": found["reduced"],
        "with several frames, of which the first is read": found["several_frames"],
        "with masks of several frames, of which the first is read": found["mask_frames"],
        "turned by EXIF, with masks that it does not turn, taken to be of the turned picture": found[
            "unturned_masks"
        ],
        "with EXIF that cannot be read": found["bad_exif"],
    }
    there = {words: count for words, count in odd.items() if count}
    if there:
        parts.append(Facts(there, title="Out of the ordinary"))
    if found["ignored"]:
        parts.append(Facts(found["ignored"], title="Left aside"))
    return (
        Section("Problems", "" if problems else "Every item could be read.", parts)
        if parts
        else None
    )


def _reading(found: Mapping[str, Any]) -> Section:
    """As which layout it was read, why, and how to choose another."""
    taken = found["read_as"]
    facts = {
        "path": found["path"],
        "read as": found["layout"],
        **({"because": taken["why"]} if taken["why"] else {}),
        "fingerprint": found["fingerprint"],
    }
    parts: list[Part] = [Facts(facts)]
    if found["others"]:
        lines = [f"{each['command']}  # {each['items']:,} items" for each in found["others"]]
        parts.append(Code(lines, title="It could also be read as"))
    return Section("How it was read", " ".join(_sentences([found["note"]])), parts)


def _sentences(lines: Iterable[str]) -> Iterator[str]:
    yield from (line for line in lines if line)
