"""From a path or a name to `Data`: recognise the layout, make the splits it lacks."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from striate.data import builtin, byteranges, layouts, pictures, shards
from striate.data import split as splitting
from striate.data.broken import policy
from striate.data.byteranges import is_address
from striate.data.cache import store
from striate.data.dataset import Data
from striate.data.decoding import Split
from striate.data.files import shown
from striate.data.groups import check_rule, groups
from striate.data.listing import WHOLE, Listing, Options, Part
from striate.data.pictures import Limits
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
            "folder", "name:PATTERN" or "FILE.csv:COLUMN"; see `striate.data.groups`.
        seed: of the split that we make.
        ignore: patterns of file, folder or class names to leave out, such as "*.bmp" or "draft*".
        broken: "stop" stops past 1 % and more than five broken pictures, "skip" goes on, a number
            is another share. A class that is left empty always stops.
        cache: folder for decoded pictures; else $STRIATE_CACHE, else ~/.cache/striate.
        formats: the picture formats that are read.
        layout: how the files are to be understood, where they could be several things; `striate data` names it.
        task: what is to be learned, where the targets could be several things.
        max_pixels: a picture whose header states more is refused before it is decoded.

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
    limits = Limits(tuple(name.upper() for name in formats), max_pixels)
    options = Options(patterns, limits, store(cache), layout, task)
    when = policy(broken)
    listing = _listing(path, options)
    if listing.task == "classify" and len(listing.classes) < 2:
        name = listing.classes[0] if listing.classes else "none"
        raise DataError(
            f"{shown(path)} has one class only ({name}): at least two are needed to tell apart"
        )
    parts = _split(listing, val, split, seed)
    named = path in builtin.NAMES or is_address(path)
    return Data(
        origin={
            "path": str(path) if named else str(Path(path).expanduser().absolute()),
            "named": named,
            "val": val,
            "split": split,
            "seed": seed,
            "ignore": list(patterns),
            "broken": broken,
            "cache": None if cache is None else str(cache),
            "formats": list(limits.formats),
            "layout": layout,
            "task": task,
            "max_pixels": max_pixels,
        },
        path=shown(path),
        layout=listing.layout,
        classes=listing.classes,
        splits={name: Split(name, part) for name, part in parts.items()},
        ignored=dict(sorted(listing.ignored.items())),
        policy=when,
        store=options.store,
        note=listing.note,
        task=listing.task,
        outputs=listing.outputs,
        others=listing.others,
        faults=listing.faults,
    )


def again(origin: Mapping[str, Any], path: str | os.PathLike[str] | None = None) -> Data:
    """Open what `Data.origin` describes, split as then; or the same pictures at another path.

    Raises:
        DataError: it is not there any more.
    """
    there = path or (origin["path"] if origin["named"] else Path(origin["path"]))
    settings = {key: origin[key] for key in ("val", "seed", "ignore", "broken", "cache")}
    return open(
        there,
        split=origin.get("split", "stratified"),
        layout=origin.get("layout"),
        task=origin.get("task"),
        formats=origin.get("formats", pictures.FORMATS),
        max_pixels=origin.get("max_pixels", pictures.MAX_PIXELS),
        **settings,
    )


def _listing(path: str | os.PathLike[str], options: Options) -> Listing:
    if isinstance(path, str) and path in builtin.NAMES:
        return builtin.read(path, options)
    if is_address(path):
        return shards.read(byteranges.place(path), options)
    where = Path(path).expanduser()
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


def _split(listing: Listing, val: float | str | None, rule: str, seed: int) -> dict[str, Part]:
    """The splits of the data, and a val split of ours where one is asked for or none is held out."""
    parts = dict(listing.parts)
    if val == 0:
        return {"all" if name == WHOLE else name: part for name, part in parts.items()}
    if val is not None and "val" in parts:
        raise ArgumentError("val: the data have a val split of their own; leave val out")
    whole = parts.pop(WHOLE, None) or parts.get("train")
    if whole is None or (val is None and parts.keys() & {"val", "test"}):
        return parts
    together = groups(whole.names, rule, splitting.twins(whole.source))
    strata = whole.targets.strata()
    classes = listing.classes if whole.targets.kind == "label" else (splitting.UNDIVIDED,)
    if isinstance(val, str):
        held = splitting.fold(
            strata, together, classes=classes, part=splitting.part(val), seed=seed
        )
        train = np.setdiff1d(np.arange(len(whole)), held)
    else:
        share = splitting.VAL if val is None else val
        train, held = splitting.stratified(strata, together, classes=classes, val=share, seed=seed)
    return {
        "train": whole.take(train),
        "val": whole.take(held),
        **({"test": parts["test"]} if "test" in parts else {}),
    }
