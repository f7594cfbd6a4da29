"""From a path or a name to `Data`: recognise the layout, make the splits it lacks."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from striate.data import builtin, byteranges, layouts, pictures, shards
from striate.data import fixes as corrections
from striate.data import levels as depth
from striate.data.broken import policy
from striate.data.byteranges import is_address
from striate.data.cache import store
from striate.data.dataset import Data
from striate.data.documents import TABLE_SUFFIXES
from striate.data.files import expanded, shown
from striate.data.fixes import Fixes
from striate.data.index import Listing, Options
from striate.data.pictures import Limits
from striate.data.series.windows import Windows
from striate.data.split_items import Split
from striate.data.splits import absolute, check_rule, check_share, with_splits
from striate.errors import ArgumentError, DataError
from striate.text import some


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
    history: int | None = None,
    horizon: int | None = None,
    period: str | Sequence[str] = (),
    fixes: str | os.PathLike[str] | Fixes | None = None,
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
            "folder", "name:PATTERN" or "FILE.csv:COLUMN"; see `striate.data.splits`. A column that holds train,
            val, test and none alone assigns instead. "similar", and "similar+folder" and so on, keep near
            duplicates together too, for which every picture is decoded.
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
        history: steps of series that are read to forecast; 12 if not given.
        horizon: steps that are forecast; 12 if not given.
        period: of series: day, week, year or a number of steps, one or several; what time stamps or the values show
            if not given, "none" for none.
        fixes: a table of single items to relabel, drop or regroup, see `striate.data.fixes`; no file of the data is changed.

    Raises:
        ArgumentError: an argument is out of range.
        DataError: nothing usable lies there; the message says what does.
    """
    if not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(
            f"striate.open takes a path or a name, got {type(path).__name__}; arrays are given as an .npz "
            "file: np.savez(FILE, x_train=..., y_train=...)"
        )
    check_share(val)
    check_rule(split)
    patterns = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    limits = Limits(tuple(name.upper() for name in formats), max_pixels)
    for key, steps in (("history", history), ("horizon", horizon)):
        if steps is not None and steps < 1:
            raise ArgumentError(f"{key}: got {steps}, expected 1 step or more")
    periods = (period,) if isinstance(period, str) else tuple(period)
    # Before the data are read: a wrong file must not wait for them.
    read = corrections.read(fixes) if isinstance(fixes, str | os.PathLike) else fixes
    options = Options(
        patterns, limits, store(cache), layout, task, depth.check(levels), skip=broken == "skip",
        history=history, horizon=horizon, period=periods,
    )  # fmt: skip
    when = policy(broken)
    listing = _listing(path, options)
    if task == layouts.RECONSTRUCT:
        listing = layouts.of_pictures(listing, shown(path))
    if listing.task == "classify" and len(listing.classes) < 2:
        name = listing.classes[0] if listing.classes else "none"
        instead = f", unless something else is meant: {listing.doubts[0]}" if listing.doubts else ""
        tables = [kind for kind in listing.ignored if kind.lower().endswith(TABLE_SUFFIXES)]
        if tables and not instead:
            instead = (
                f"; the {', '.join(tables)} beside the pictures name none of them: a table of pictures has a column with their "
                "file names"
            )
        raise DataError(
            f"{shown(path)} has one class only ({name}): at least two are needed to tell apart{instead}"
        )
    if read is not None:
        listing = corrections.regrouped(listing, read)
    listing, used = depth.of_set(with_splits(listing, val, split, seed), options.levels)
    applied = None
    if read is not None:
        listing, applied = corrections.corrected(listing, read)
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
            **({} if read is None else {"fixes": read.as_dict()}),
            **_of_windows(listing, layout),
        },
        path=shown(path),
        layout=listing.layout,
        classes=listing.classes,
        splits={name: Split(name, part) for name, part in listing.parts.items()},
        ignored=dict(sorted(listing.ignored.items())),
        policy=when,
        store=options.store,
        note=listing.note,
        warnings=(*listing.warnings, *_alike(listing.classes)),
        task=listing.task,
        outputs=listing.outputs,
        read_as=listing.read_as,
        others=listing.others,
        faults=listing.faults,
        drawn=listing.drawn,
        fixed=applied,
    )


def _alike(classes: Sequence[str]) -> list[str]:
    """That names of classes differ by case, or by what stands between words, alone."""
    of: dict[str, list[str]] = {}
    for name in classes:
        plain = " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
        of.setdefault(plain, []).append(name)
    pairs = [
        f"{names[0]} and {names[1]}" for plain, names in of.items() if plain and len(names) > 1
    ]
    if not pairs:
        return []
    return [
        f"classes whose names hardly differ: {some(pairs, 3)}; if they mean the same, spell them alike"
    ]


def _of_windows(listing: Listing, layout: str | None) -> dict[str, Any]:
    """Steps, periods and missing values of windows of series, as they were settled."""
    source = next(iter(listing.parts.values())).source
    if not isinstance(source, Windows):
        return {}
    cut = source.cut
    periods = list(cut.series.periods) or ["none"]
    settled: dict[str, Any] = {"history": cut.history, "horizon": cut.horizon, "period": periods}
    if cut.series.missing is not None:  # what was guessed of these data is said of others
        said = f"missing={cut.series.missing:g}"
        settled["layout"] = f"{layout},{said}" if ":" in (layout or "") else f"series:{said}"
    return settled


def again(origin: Mapping[str, Any], path: str | os.PathLike[str] | None = None) -> Data:
    """Open what `Data.origin` describes, split as then; or the same pictures at another path.

    Raises:
        DataError: it is not there any more, or a table that says what belongs to it or to which split is another one.
    """
    there = path or (origin["path"] if origin["named"] else Path(origin["path"]))
    settings = {key: origin[key] for key in ("val", "seed", "ignore", "broken", "cache")}
    fixes = Fixes.of(origin["fixes"]) if origin.get("fixes") else None
    opened = open(
        there,
        split=origin.get("split", "stratified"),
        layout=origin.get("layout"),
        task=origin.get("task"),
        formats=origin.get("formats", pictures.FORMATS),
        max_pixels=origin.get("max_pixels", pictures.MAX_PIXELS),
        levels=origin.get("levels"),
        history=origin.get("history"),
        horizon=origin.get("horizon"),
        period=origin.get("period", ()),
        fixes=fixes,
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
    if fixes is not None and (line := fixes.changed()):
        opened = replace(opened, since=(line,))
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
