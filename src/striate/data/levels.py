"""The range of values of a set: which values of its deep pictures become 0 and 255, alike for every file of it.

Files of 8 bits need none. Of those with more (16 and 32 bits, floats) a single one does not say what its type's range
means: 12 bits lie in 16, counts in 32. So it is measured once, over what is trained on, and recorded. The pictures of
such a set are stored as float32 of 0 to 255 by this range, so that no step of their values is lost.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data import files, pictures, workers
from striate.data.index import Listing, Part
from striate.data.modes import Levels
from striate.data.pillow import without_warnings
from striate.data.sources import I64, Encoded, Pixels
from striate.errors import ArgumentError, DataError

_LOOKED_AT = 64  # pictures whose headers tell whether a set is deep
_READ = 500  # deep pictures that are measured
_TYPE = (0.0, 65535.0)  # the range of 16 bits, in which a deep picture alone is read
SMALL = 1 / 16  # of a range, that values use less than: said


def check(levels: Any) -> Levels | None:
    """Levels as they were given: two numbers, the first the smaller.

    Raises:
        ArgumentError: something else.
    """
    if levels is None:
        return None
    try:
        low, high = (float(value) for value in levels)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ArgumentError(f"levels: got {levels!r}, expected two numbers such as (0, 4095)")
    return low, high


def around(low: float, high: float, *, whole: bool) -> Levels:
    """The range that values from low to high are taken to have.

    Whole numbers from 0 have that of the least bits, 8 or more, that hold them; floats 0 to 1 or 0 to 255; all else is
    stretched from its least to its greatest value.

    >>> around(0, 4000, whole=True), around(100, 400, whole=True), around(-3.0, 9.5, whole=False)
    ((0.0, 4095.0), (0.0, 511.0), (-3.0, 9.5))
    """
    if low < 0:
        return (low, high) if high > low else (low, low + 1)
    if whole:
        return 0.0, float(2 ** max(8, math.ceil(math.log2(high + 1))) - 1)
    if high <= 255:
        return 0.0, (1.0 if high <= 1 else 255.0)
    return (low, high) if high > low else (0.0, high)


def of_set(listing: Listing, given: Levels | None) -> tuple[Listing, Levels | None]:
    """With inputs that share the range of values, and that range; None where no picture is deep.

    Args:
        listing: with its splits; levels that it has already are those of inputs in memory, or were recorded.
        given: the range, where somebody said it.
    """
    train = listing.parts.get("train") or next(iter(listing.parts.values()))
    source = train.source
    if not isinstance(source, Encoded) or not len(source):
        pictures_in_memory = listing.levels is not None and isinstance(source, Pixels)
        return (
            _said(listing, listing.levels) if pictures_in_memory and listing.levels else listing
        ), listing.levels
    levels = given or listing.levels
    if not _any_deep(source):
        if levels is not None:
            return _ranged(listing, levels), levels
        return replace(listing, warnings=(*listing.warnings, *_deeper(listing, train))), None
    found = _measured(source)
    if levels is None and found is not None:
        levels = around(found[0], found[1], whole=found[2])
    if levels is None:
        return listing, None
    small = () if found is None else narrow(found[0], found[1], levels)
    return _said(_ranged(listing, levels), levels, small), levels


def _deeper(listing: Listing, train: Part) -> list[str]:
    """A warning of each split whose pictures are deep where those that are trained on are not, and seem of less bits."""
    found: list[str] = []
    for name, part in listing.parts.items():
        source = part.source
        if part is train or not isinstance(source, Encoded) or not _any_deep(source):
            continue
        values = _measured(source)
        if values is None:
            continue
        least, most = around(values[0], values[1], whole=values[2])
        if (least, most) != _TYPE:
            found.append(
                f"{name} has pictures of more than 8 bits, whose values use {values[0]:g} to {values[1]:g}, and train has none: "
                f"each is read by its own type and values; levels={least:g},{most:g} gives them one range"
            )
    return found


def doubt_of_depth(file: Path, max_pixels: int) -> str:
    """What is to be said of a picture of more than 8 bits that a net reads which learned from 8; "" where it fills 16.

    Raises:
        DataError: it cannot be read; with the reason alone.
    """
    values = pictures.deep_values(files.read(file), pictures.Limits(max_pixels=max_pixels))
    if values is None:
        return ""
    least, most = float(values.min()), float(values.max())
    likely = around(least, most, whole=values.dtype.kind != "f")
    if likely == _TYPE:
        return ""
    low, high = _TYPE if values.dtype == np.uint16 else likely
    return (
        f"of more than 8 bits, and the net learned from 8: its values, {least:g} to {most:g}, are read in the range from "
        f"{low:g} to {high:g}; where that is not theirs, save it with 8 bits"
    )


def narrow(low: float, high: float, levels: Levels) -> tuple[str, ...]:
    """The warning that values from low to high use a small part of their range, or none."""
    if high - low >= SMALL * (levels[1] - levels[0]):
        return ()
    return (
        f"the values use {low:g} to {high:g} of a range from {levels[0]:g} to {levels[1]:g} alone: levels= sets another",
    )


def _said(listing: Listing, levels: Levels, warnings: tuple[str, ...] = ()) -> Listing:
    """With a note of the range, and more warnings."""
    note = f"values from {levels[0]:g} to {levels[1]:g} become 0 to 255, in all pictures alike"
    notes = "; ".join([*([listing.note] if listing.note else []), note])
    return replace(listing, note=notes, warnings=(*listing.warnings, *warnings))


def _ranged(listing: Listing, levels: Levels) -> Listing:
    """With inputs of this range."""
    parts = {
        name: replace(part, source=_with(part.source, levels))
        for name, part in listing.parts.items()
    }
    return replace(listing, parts=parts)


def _with(source: Any, levels: Levels) -> Any:
    return replace(source, limits=replace(source.limits, levels=levels))


def _spread(count: int, most: int) -> I64:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _any_deep(source: Encoded) -> bool:
    with without_warnings():
        return any(_is_deep(source, i) for i in _spread(len(source), _LOOKED_AT).tolist())


def _is_deep(source: Encoded, i: int) -> bool:
    try:
        return pictures.head(source.data(i), source.limits).deep
    except DataError:
        return False


def _measured(source: Encoded) -> tuple[float, float, bool] | None:
    """Least and greatest value of the deep pictures, and whether all are whole; None where none can be read."""

    def work(numbers: I64) -> list[tuple[float, float, bool]]:
        found: list[tuple[float, float, bool]] = []
        for i in workers.each(numbers):
            values = _values(source, i)
            if values is not None and np.isfinite(values).all():
                whole = values.dtype.kind != "f"
                found.append((float(values.min()), float(values.max()), whole))
        return found

    chunks = workers.chunks_of(_spread(len(source), _READ), 16)
    seen = [
        each for done in workers.in_order(work, chunks, named=source.named) for each in done.result
    ]
    if not seen:
        return None
    low, high = min(each[0] for each in seen), max(each[1] for each in seen)
    return low, high, all(each[2] for each in seen)


def _values(source: Encoded, i: int) -> npt.NDArray[Any] | None:
    """The values of a deep picture; None of others and of broken ones."""
    if not _is_deep(source, i):
        return None
    try:
        return pictures.deep_values(source.data(i), source.limits)
    except DataError:
        return None
