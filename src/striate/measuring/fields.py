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

from striate.measuring.field_axes import Axes, Axis, Following, Misaligned, start
from striate.measuring.field_cells import Cells
from striate.measuring.operations import operation
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
    """Cells of the input that no output reads, out of how many; `lines` are whole ones an axis.

    `count` is None where that is not known.
    """

    count: int | None
    of: int
    lines: tuple[tuple[int, ...], ...]

    def as_dict(self) -> dict[str, int | list[int] | None]:
        """Counts, and under `planes`, `rows` and `cols` the lines that are never read, if any are."""
        names = ("planes", "rows", "cols")[3 - len(self.lines) :]
        lost = {name: list(line) for name, line in zip(names, self.lines, strict=True) if line}
        return {"count": self.count, "of": self.of, **lost}


NONE_UNREAD = Unread(0, 0, ())


@dataclass(frozen=True)
class Fields:
    """What the tensors of a run read of its picture: the first input with axes of space, three or more with items.

    `picture` is None if there is none.
    """

    picture: Value | None
    state: Following

    @property
    def misaligned(self) -> Sequence[Misaligned]:
        """Joins of branches that look at different places."""
        return self.state.misaligned

    @property
    def lost(self) -> Sequence[Call]:
        """Calls that could not be followed; what comes after them has no field."""
        return self.state.lost

    def of(self, value: Value) -> Field | None:
        """The field of one tensor."""
        spans = [axis.cells.spans if axis else None for axis in self.axes(value)]
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
        pairs = zip(self.state.axes(value), self.axes(value), strict=True)
        found = [laid_out or whole for whole, laid_out in pairs]
        return tuple(axis and _ends(axis.cells, i) for axis, i in zip(found, at, strict=True))

    def axes(self, value: Value) -> Axes:
        """The axes of one tensor whose places can be told apart along its own; None for the others."""
        axes = self.state.axes(value)
        return tuple(axis and self._laid_out(axis, axes, value) for axis in axes)

    def _laid_out(self, axis: Axis, axes: Axes, value: Value) -> Axis | None:
        """Flattened together with channels places cannot be told; parts that became channels count as read."""
        if len(axis.parts) > 1:
            axis = self.state.summed(axis, [1])
        sizes = [
            prod(p.size for other in axes if other for p in other.parts if p.dim == dim)
            for dim in axis.dims
        ]
        if axis.parts and all(value.shape[d] == n for d, n in zip(axis.dims, sizes, strict=True)):
            return axis
        crowded = any(other.dims & axis.dims for other in axes if other and other is not axis)
        return None if crowded else self.state.alone(axis, value.shape)

    def unread(self, outputs: Sequence[Value], *, sure: bool = True) -> Unread:
        """Cells of the picture that none of some tensors reads.

        Not known where it is not known what one of them reads, or with `sure=False` whether they are all there
        are, unless the others read all.
        """
        if self.picture is None:
            return NONE_UNREAD
        sides = self.picture.shape[2:]
        known = [out for out in outputs if out.index not in self.state.unsure]
        read = [
            reduce(
                or_,
                (axis.cells.all for out in known if (axis := self.state.axes(out)[number])),
                0,
            )
            for number in range(len(sides))
        ]
        lines = tuple(
            tuple(i for i in range(n) if not cells >> i & 1)
            for n, cells in zip(sides, read, strict=True)
        )
        left = prod(n - len(line) for n, line in zip(sides, lines, strict=True))
        if left < prod(sides) and not (sure and len(known) == len(outputs)):
            return Unread(None, prod(sides), ())
        return Unread(prod(sides) - left, prod(sides), lines)


def fields(run: Trace, picture: Value | None = None) -> Fields:
    """Follow the picture through a run, call by call.

    Args:
        run: of a net.
        picture: a value of the run that takes the place of its picture, with its own places; what does not depend on
            it has no field.
    """
    if picture is None:
        picture = next((value for value in run.inputs if len(value.shape) > 2), None)
    if picture is None:
        return Fields(None, Following({}, 0))
    state = start(picture)
    for call in run.calls:
        _follow(call, state)
    return Fields(picture, state)


def _follow(call: Call, state: Following) -> None:
    if not any(state.depends(value) for value in call.inputs):
        return
    lost = len(state.lost)
    found = operation(call.op).reads(call, state)
    if len(state.lost) > lost or any(value.index in state.unsure for value in call.inputs):
        state.unsure.update(value.index for value in call.outputs)
    for i, value in enumerate(call.outputs):
        state.found[value.index] = found[i] if isinstance(found, list) else found


def _number(value: Fraction) -> Number:
    return value.numerator if value.denominator == 1 else float(value)


def _ends(cells: Cells, i: int) -> tuple[int, int] | None:
    mask = cells.masks[min(i, len(cells.masks) - 1)]
    return ((mask & -mask).bit_length() - 1, mask.bit_length() - 1) if mask else None
