"""From a path or a name to `Data`: recognise the layout, make the splits it lacks."""

import difflib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from striate.data import builtin, byteranges, layouts, pictures, shards
from striate.data import groups as grouping
from striate.data import levels as depth
from striate.data import split as splitting
from striate.data.broken import policy
from striate.data.byteranges import is_address
from striate.data.cache import store
from striate.data.copies import copies
from striate.data.dataset import Data
from striate.data.decoding import Split
from striate.data.files import expanded, shown
from striate.data.groups import absolute, check_rule
from striate.data.listing import WHOLE, Fault, Listing, Options, Part
from striate.data.pictures import Limits
from striate.data.sources import I64
from striate.errors import ArgumentError, DataError


def open(  # noqa: PLR0913 - all of them are settings by name
    path: str | os.PathLike[str],
    *,
    val: float | str | None = None,
    split: str = "stratified",
    seed: int = 0,
    ignore: Sequence[str] = (),
    broken: str | float = "stop",
    cache: str | os.PathLike[str] | None = None,
    formats: Sequence[str] = pictures.FORMATS,
    layout: str | None = None,
    task: str | None = None,
    max_pixels: int = pictures.MAX_PIXELS,
    levels: Sequence[float] | None = None,
) -> Data:
    """Open items with their targets; nothing is decoded yet.

    Args:
        path: a folder, an archive, an .npz file, shards or the address of some (s3://bucket/folder,
            any protocol of fsspec), or a built-in name ("digits", "mnist", "cifar10"). A folder of such a
            name is meant by "./digits" or a `Path`.
        val: share of the training pictures to hold out. None holds out 0.2 where the data have no
            val and no test split of their own, and nothing otherwise. 0 holds nothing out: data
            without splits of their own are then one split, "all". "2of5" holds out the second of
            five parts that are alike and share no picture.
        split: what stays on one side of it beside pictures of the same content: "stratified" (nothing else),
            "folder", "name:PATTERN" or "FILE.csv:COLUMN"; see `striate.data.groups`. A column that holds train,
            val, test and none alone assigns instead.
        seed: of the split that we make.
        ignore: patterns of file, folder or class names to leave out, such as "*.bmp" or "draft*".
        broken: "stop" stops past 1 % and more than five broken pictures, "skip" goes on, a number
            is another share. A class that is left empty always stops.
        cache: folder for decoded pictures; else $STRIATE_CACHE, else ~/.cache/striate.
        formats: the picture formats that are read.
        layout: how the files are to be understood, where they could be several things; `striate data` names it.
        task: what is to be learned, where the targets could be several things.
        max_pixels: a picture whose header states more is refused before it is decoded.
        levels: values of pictures of more than 8 bits, the least and the greatest, that become 0 and 255. None
            measures them over what is trained on, if there are such pictures.

    Raises:
        ArgumentError: an argument is out of range.
        DataError: nothing usable lies there; the message says what does.
    """
    if not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(
            f"striate.open takes a path or a name, got {type(path).__name__}; arrays are given as an .npz "
            "file: np.savez(FILE, x_train=..., y_train=...)"
        )
    splitting.check_share(val)
    check_rule(split)
    patterns = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    limits = Limits(tuple(name.upper() for name in formats), max_pixels, depth.check(levels))
    options = Options(patterns, limits, store(cache), layout, task, broken == "skip")
    when = policy(broken)
    listing = _listing(path, options)
    if listing.task == "classify" and len(listing.classes) < 2:
        name = listing.classes[0] if listing.classes else "none"
        raise DataError(
            f"{shown(path)} has one class only ({name}): at least two are needed to tell apart"
        )
    listing, used = depth.of_set(_split(listing, val, split, seed), options.limits.levels)
    named = path in builtin.NAMES or is_address(path)
    return Data(
        origin={
            "path": str(path) if named else str(expanded(path).absolute()),
            "named": named,
            "val": val,
            "split": absolute(split),
            "seed": seed,
            "ignore": list(patterns),
            "broken": broken,
            "cache": None if cache is None else str(Path(cache).absolute()),
            "formats": list(limits.formats),
            "layout": layout,
            "task": task,
            "max_pixels": max_pixels,
            "levels": None if used is None else list(used),
            "tables": dict(listing.tables),
        },
        path=shown(path),
        layout=listing.layout,
        classes=listing.classes,
        splits={name: Split(name, part) for name, part in listing.parts.items()},
        ignored=dict(sorted(listing.ignored.items())),
        policy=when,
        store=options.store,
        note=listing.note,
        task=listing.task,
        outputs=listing.outputs,
        read_as=listing.read_as,
        others=listing.others,
        faults=listing.faults,
    )


def again(origin: Mapping[str, Any], path: str | os.PathLike[str] | None = None) -> Data:
    """Open what `Data.origin` describes, split as then; or the same pictures at another path.

    Raises:
        DataError: it is not there any more, or a table that says what belongs to it or to which split is another one.
    """
    there = path or (origin["path"] if origin["named"] else Path(origin["path"]))
    settings = {key: origin[key] for key in ("val", "seed", "ignore", "broken", "cache")}
    opened = open(
        there,
        split=origin.get("split", "stratified"),
        layout=origin.get("layout"),
        task=origin.get("task"),
        formats=origin.get("formats", pictures.FORMATS),
        max_pixels=origin.get("max_pixels", pictures.MAX_PIXELS),
        levels=origin.get("levels"),
        **settings,
    )
    now = opened.origin["tables"]
    for name, sha256 in origin.get("tables", {}).items():
        if now.get(name) != sha256:
            what = "changed" if name in now else "is not used any more"
            raise DataError(
                f"{shown(name)} {what} since the run was trained, so what it learned from and what it was held out from "
                "is not known any more: put it back as it was, or train anew"
            )
    return opened


def _listing(path: str | os.PathLike[str], options: Options) -> Listing:
    if isinstance(path, str) and path in builtin.NAMES:
        return builtin.read(path, options)
    if is_address(path):
        return shards.read(byteranges.place(path), options)
    where = expanded(path)
    try:
        there = where.exists()
    except OSError as error:
        raise DataError(f"{shown(where)} cannot be looked at ({error.strerror})") from error
    if not there:
        raise DataError(_missing(where))
    return layouts.read(where, options)


def _missing(path: Path) -> str:
    """The end of a path that is not there, with the neighbour that may be meant."""
    try:
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError:
        beside = []
    close = difflib.get_close_matches(path.name, [*beside, *builtin.NAMES], n=1)
    guess = (
        f"did you mean {shown(path.parent / close[0] if close[0] in beside else close[0])}?"
        if close
        else (f"expected {layouts.EXPECTED}, or one of {', '.join(builtin.NAMES)}")
    )
    return f"there is no {shown(path)}; {guess}"


def _split(listing: Listing, val: float | str | None, rule: str, seed: int) -> Listing:
    """With the splits of the data, those that a table assigns, or a val split of ours where none is held out.

    Raises:
        ArgumentError: val, where there is one already.
        DataError: the data cannot be split so.
    """
    parts = dict(listing.parts)
    if val == 0:
        return replace(
            listing, parts={"all" if n == WHOLE else n: part for n, part in parts.items()}
        )
    whole = parts.pop(WHOLE, None) or parts.get("train")
    column = None if whole is None else grouping.column(whole.names, rule)
    if whole is not None and column is not None:
        listing = replace(listing, tables={**listing.tables, column.table: column.sha256})
        if column.assigns:
            listing = _assigned(listing, whole, column)
            parts = dict(listing.parts)
            whole = parts["train"]
    if val is not None and "val" in parts:
        raise ArgumentError("val: the data have a val split of their own; leave val out")
    if whole is None or (val is None and parts.keys() & {"val", "test"}):
        return _copies_apart(listing)
    assigned = column is not None and column.assigns
    together = grouping.groups(
        whole.names,
        "stratified" if assigned else rule,
        splitting.twins(whole.source),
        column=column,
        known=listing.groups,
    )
    alike = copies(whole.names)
    if alike is not None:
        together = grouping.joined(alike.groups, together)
        note = (
            f"{alike.count:,} names are copies of {alike.originals:,} pictures (such as {alike.example}): those of one stay "
            "on one side of the split"
        )
        listing = replace(
            listing, note="; ".join([*([listing.note] if listing.note else []), note])
        )
    if alike is not None or listing.groups or (rule != "stratified" and not assigned):
        whole = replace(whole, groups=together)
    train, held = _halves(listing, whole, together, val, seed)
    test = {"test": parts["test"]} if "test" in parts else {}
    return replace(listing, parts={"train": whole.take(train), "val": whole.take(held), **test})


def _copies_apart(listing: Listing) -> Listing:
    """With a fault where names say that copies of one picture are in different splits of the data's own."""
    names = [(split, name) for split, part in listing.parts.items() for name in part.names]
    # Folders of splits are no part of what two copies must share.
    bare = [name.partition("/")[2] if "/" in name else name for _, name in names]
    alike = copies(bare)
    if alike is None:
        return listing
    splits: dict[int, set[str]] = {}
    places: dict[int, list[str]] = {}
    for (split, name), group in zip(names, alike.groups.tolist(), strict=True):
        splits.setdefault(group, set()).add(split)
        places.setdefault(group, []).append(name)
    apart = [group for group, found in splits.items() if len(found) > 1]
    if not apart:
        return listing
    first = tuple(" and ".join(places[group][:2]) for group in apart[:5])
    fault = Fault(
        "pictures with copies by name in different splits", "left where they are", len(apart), first
    )
    return replace(listing, faults=(*listing.faults, fault))


def _halves(
    listing: Listing, whole: Part, together: I64, val: float | str | None, seed: int
) -> tuple[I64, I64]:
    """Numbers of the items to train on and to hold out."""
    strata = whole.targets.strata()
    classes = listing.classes if whole.targets.kind == "label" else (splitting.UNDIVIDED,)
    if isinstance(val, str):
        part = splitting.part(val)
        held = splitting.fold(strata, together, classes=classes, part=part, seed=seed)
        return np.setdiff1d(np.arange(len(whole)), held), held
    share = splitting.VAL if val is None else val
    return splitting.stratified(strata, together, classes=classes, val=share, seed=seed)


def _assigned(listing: Listing, whole: Part, column: grouping.Column) -> Listing:
    """With the splits that a table says; items that it gives to none are left out.

    Raises:
        DataError: the data have splits of their own.
    """
    own = sorted(listing.parts.keys() & {"val", "test"})
    where = f"{shown(column.table)} column {shown(column.column)}"
    if own:
        raise DataError(
            f"split={where}: it assigns splits, and the data have {' and '.join(own)} of their own"
        )
    words = np.array(column.splits(), np.str_)
    parts = {
        split: whole.take(np.flatnonzero(words == split))
        for split in ("train", "val", "test")
        if (words == split).any()
    }
    counts = {name: len(part) for name, part in parts.items()}
    none = len(whole) - sum(counts.values())
    told = ", ".join(
        f"{name} {count:,}" for name, count in {**counts, "none": none}.items() if count
    )
    note = "; ".join([*([listing.note] if listing.note else []), f"{where} assigns: {told}"])
    ignored = Counter(listing.ignored) + Counter({"(assigned to no split)": none})
    return replace(listing, parts=parts, note=note, ignored=ignored)
