"""Receptive fields of every tensor of a run, by composition through its calls.

A field is what one value reads of the input picture, along each axis of it: `size` cells from `start`
on for the first value, `stride` cells further on for the next. Padding counts as cells, so `start`
may be negative. Joins take the union of their branches. Where values of one map read unequal numbers
of cells (after transposed convolution or resizing) `size` is the largest and `stride` the mean.
A field is None where it has no bound (global pooling, dense layers, attention) or cannot be followed.
Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks", distill.pub.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import prod
from operator import or_

from striate.measuring.field_rules import follow
from striate.measuring.reads import Reads
from striate.measuring.sight import Misaligned, Scene, Sight, View, opening
from striate.probe import Call, Trace, Value

Number = int | float


@dataclass(frozen=True)
class Field:
    """The receptive field of the values of one map; one number an axis of the input picture."""

    size: tuple[int, ...]
    stride: tuple[Number, ...]
    start: tuple[int, ...]

    def as_dict(self) -> dict[str, list[Number]]:
        """Lists under the names of the attributes."""
        return {
            "size": list(self.size),
            "stride": list(self.stride),
            "start": list(self.start),
        }


@dataclass(frozen=True)
class Unread:
    """Cells of the input that no output reads, out of how many; `lines` are whole ones an axis."""

    count: int
    of: int
    lines: tuple[tuple[int, ...], ...]

    def as_dict(self) -> dict[str, int | list[int]]:
        """Counts, and under `planes`, `rows` and `cols` the lines that are never read, if any are."""
        names = ("planes", "rows", "cols")[3 - len(self.lines) :]
        lost = {name: list(line) for name, line in zip(names, self.lines, strict=True) if line}
        return {"count": self.count, "of": self.of, **lost}


NONE_UNREAD = Unread(0, 0, ())


@dataclass(frozen=True)
class Fields:
    """What a run sees of its input.

    The picture is the first input with axes of space, that is with three axes or more, items included.

    Attributes:
        picture: that input; None if there is none.
        misaligned: joins of branches that look at different places.
        lost: calls that could not be followed; what comes after them has no field.
    """

    picture: Value | None
    scene: Scene

    @property
    def misaligned(self) -> Sequence[Misaligned]:
        """Joins of branches that look at different places."""
        return self.scene.misaligned

    @property
    def lost(self) -> Sequence[Call]:
        """Calls that could not be followed."""
        return self.scene.lost

    def of(self, value: Value) -> Field | None:
        """The field of one tensor."""
        spans = [view.reads.spans if view else None for view in self.sight(value)]
        known = [each for each in spans if each]
        if not known or len(known) < len(spans):
            return None
        return Field(
            tuple(each.size for each in known),
            tuple(_number(each.stride) for each in known),
            tuple(each.start for each in known),
        )

    def box(self, value: Value, at: Sequence[int]) -> tuple[tuple[int, int] | None, ...]:
        """First and last cell of the picture that one place of a tensor really reads, an axis each.

        `at` counts the places along the axes of the picture; an axis that the tensor lacks takes any.
        """
        views = zip(self.scene.sight(value), self.sight(value), strict=True)
        found = [told or whole for whole, told in views]
        return tuple(view and _ends(view.reads, i) for view, i in zip(found, at, strict=True))

    def sight(self, value: Value) -> Sight:
        """The views of one tensor whose places can be told apart along its axes; None for the others."""
        views = self.scene.sight(value)
        return tuple(view and self._laid_out(view, views, value) for view in views)

    def _laid_out(self, view: View, views: Sequence[View | None], value: Value) -> View | None:
        """Flattened together with channels places cannot be told; parts that became channels count as read."""
        if len(view.digits) > 1:
            view = self.scene.closed(view, [1])
        sizes = [
            prod(d.size for other in views if other for d in other.digits if d.dim == dim)
            for dim in view.dims
        ]
        if view.digits and all(value.shape[d] == n for d, n in zip(view.dims, sizes, strict=True)):
            return view
        crowded = any(other.dims & view.dims for other in views if other and other is not view)
        return None if crowded else self.scene.plain(view, value.shape)

    def unread(self, outputs: Sequence[Value]) -> Unread:
        """Cells of the picture that none of some tensors reads."""
        if self.picture is None:
            return NONE_UNREAD
        sides = self.picture.shape[2:]
        read = [
            reduce(
                or_, (view.reads.all for out in outputs if (view := self.scene.sight(out)[axis])), 0
            )
            for axis in range(len(sides))
        ]
        lines = tuple(
            tuple(i for i in range(n) if not cells >> i & 1)
            for n, cells in zip(sides, read, strict=True)
        )
        every = left = 1
        for n, line in zip(sides, lines, strict=True):
            every, left = every * n, left * (n - len(line))
        return Unread(every - left, every, lines)


def fields(run: Trace) -> Fields:
    """Follow the picture through a run, call by call."""
    picture = next((value for value in run.inputs if len(value.shape) > 2), None)
    if picture is None:
        return Fields(None, Scene({}, 0))
    scene = opening(picture)
    for call in run.calls:
        follow(call, scene)
    return Fields(picture, scene)


def _number(value: Fraction) -> Number:
    return value.numerator if value.denominator == 1 else float(value)


def _ends(reads: Reads, i: int) -> tuple[int, int] | None:
    mask = reads.masks[min(i, len(reads.masks) - 1)]
    return ((mask & -mask).bit_length() - 1, mask.bit_length() - 1) if mask else None
