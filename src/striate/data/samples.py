"""A few items of data to look at: evenly picked, class by class where each has one, and small pictures of them."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from striate.data.modes import U8
from striate.data.sources import I64, Form
from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.dataset import Data


class Place(NamedTuple):
    """An item: its split, and its number as listed."""

    split: str
    number: int


def samples(data: "Data", *, each: int = 6, classes: int = 24) -> dict[str, list[Place]]:
    """Items by the class they are of, or under "" where they have none or several.

    Args:
        data: opened; items known to be broken are left out.
        each: items of a class; without classes four times as many in all.
        classes: of more the first so many are shown.
    """
    split = "train" if "train" in data.splits else next(iter(data.splits))
    there = data.readable(split)
    if data.kind != "label" or not data.classes:
        return {"": [Place(split, i) for i in _evenly(there, 4 * each)]}
    labels = data.splits[split].labels[there]
    return {
        name: [Place(split, i) for i in _evenly(there[labels == k], each)]
        for k, name in islice(enumerate(data.classes), classes)
    }


def _evenly(numbers: I64, most: int) -> list[int]:
    """At most so many of some numbers, evenly picked."""
    at = np.linspace(0, len(numbers) - 1, min(most, len(numbers))).round().astype(int)
    return numbers[at].tolist()


def places(data: "Data", names: Sequence[str]) -> Mapping[str, Place]:
    """Where items of these names are; a name that is in two splits is that of the first."""
    wanted = set(names)
    found: dict[str, Place] = {}
    for split, held in data.splits.items():
        for i, name in enumerate(held.names):
            if name in wanted and name not in found:
                found[name] = Place(split, i)
        if len(found) == len(wanted):
            break
    return found


def pixels(data: "Data", place: Place, side: int | None = None) -> U8 | None:
    """A picture, uint8 [H, W, C], at most `side` pixels long; None of what is no picture or cannot be read."""
    held = data.splits[place.split]
    if not held.source.pictures:
        return None
    height, width = held.natural[place.number].tolist()
    longest = max(height, width, 1)
    by = min(1.0, side / longest) if side else 1.0
    size = (max(1, round(height * by)), max(1, round(width * by))) if by < 1 else None
    try:
        found = held.source.decode(place.number, Form(size, data.color, "stretch"))
    except DataError:
        return None
    return np.clip(found, 0, 255).astype(np.uint8)


def peek(data: "Data", place: Place, side: int = 192) -> U8 | None:
    """The same of one item alone: nothing is asked of the others, as `pixels` does for their common colour."""
    from PIL import Image

    held = data.splits[place.split]
    if not held.source.pictures:
        return None
    try:
        found = np.clip(held.source.decode(place.number, Form(None, "rgb")), 0, 255)
    except DataError:
        return None
    picture = Image.fromarray(found.astype(np.uint8))
    picture.thumbnail((side, side))
    return np.asarray(picture)
