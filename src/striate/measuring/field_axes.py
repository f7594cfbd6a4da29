"""Where the axes of the input picture lie in a tensor, and how operations pass on what is read along them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from striate.measuring.field_cells import Cells, input_axis, union_of_cells
from striate.probe import Call, Value
from striate.shapes.index_maps import REPEATED, IndexMap, spreading


@dataclass(frozen=True)
class Part:
    """Part of an axis of the picture, as the tens are part of a number.

    Attributes:
        size: how many values it takes.
        dim: the axis of the tensor it lies on.
        inner: cells of other axes that are flattened into the same one, to the right of it.
    """

    size: int
    dim: int
    inner: int = 1


@dataclass(frozen=True)
class Axis:
    """One axis of the picture in one tensor.

    Attributes:
        cells: what the cells along it read of the picture.
        parts: where they lie, the most significant first: one axis as a rule, several after a reshape as in
            space to depth, none once it is summed away or mixed beyond telling.
    """

    cells: Cells
    parts: tuple[Part, ...]

    @property
    def count(self) -> int:
        """How many cells it has here."""
        return len(self.cells.masks)

    @property
    def dims(self) -> set[int]:
        """The axes of the tensor it lies on."""
        return {part.dim for part in self.parts}

    @property
    def dim(self) -> int | None:
        """The one axis of the tensor it lies on; None if there are several or none."""
        return self.parts[0].dim if len(self.parts) == 1 else None

    def as_whole(self) -> "Axis":
        """Read as a whole: the tensor has no axis for it any more."""
        return Axis(self.cells.as_whole(), ())

    def moved(self, place: Callable[[int], int]) -> "Axis":
        """The axes of the tensor under other numbers."""
        return Axis(self.cells, tuple(replace(p, dim=place(p.dim)) for p in self.parts))


# One entry an axis of the picture; None where the tensor does not depend on the picture.
Axes = tuple[Axis | None, ...]
Move = Callable[[Axis], Axis]


@dataclass(frozen=True)
class Misaligned:
    """Branches that are joined although they do not look at the same places.

    `strides` and `centres` are those of the branches along the axis `axis` of the picture, `ends` the last pixels
    that their first cells read, `cells` how many they have, and `step` the widest distance between neighbouring
    cells that read other pixels: where one was resized, that before it was.
    """

    call: Call
    axis: int
    strides: tuple[float, ...]
    centres: tuple[float, ...]
    ends: tuple[int, ...]
    cells: int
    step: float


@dataclass
class Following:
    """What every tensor of a run reads of the picture, as far as the run is followed.

    Attributes:
        found: what is known, by the index of a value.
        rank: axes of the picture.
        misaligned: joins of branches that look at different places.
        lost: calls of which it is not known what they read.
        unsure: values that come from one of those, by index.
    """

    found: dict[int, Axes]
    rank: int
    misaligned: list[Misaligned] = field(default_factory=list["Misaligned"])
    lost: list[Call] = field(default_factory=list["Call"])
    unsure: set[int] = field(default_factory=set[int])
    _known: dict[tuple[int, IndexMap, int], tuple[Cells, Cells]] = field(
        default_factory=dict[tuple[int, IndexMap, int], tuple[Cells, Cells]]
    )

    def axes(self, value: Value) -> Axes:
        """What a tensor reads; nothing if no call made it out of the picture."""
        return self.found.get(value.index, (None,) * self.rank)

    def depends(self, value: Value) -> bool:
        """Whether a tensor depends on the picture."""
        return any(self.axes(value))

    def cells(self, cells: Cells, index_map: IndexMap, n: int) -> Cells:
        """Through an operation along the axis with `n` outputs; equal axes are worked out once."""
        key = (id(cells), index_map, n)
        if key not in self._known:  # kept beside the result, so that their id stays theirs
            self._known[key] = (cells, cells.through(index_map, n))
        return self._known[key][1]

    def through(self, axis: Axis, index_map: IndexMap, n: int) -> Axis:
        """An axis that lies on one of the tensor, through an operation along it."""
        (part,) = axis.parts
        return Axis(self.cells(axis.cells, index_map, n), (replace(part, size=n),))

    def each(self, value: Value, move: Move) -> Axes:
        """Every axis of the picture that still lies on an axis of the tensor, moved."""
        return tuple(move(axis) if axis and axis.parts else axis for axis in self.axes(value))

    def along(
        self,
        value: Value,
        after: Sequence[int],
        index_map: Callable[[int], IndexMap | None],
        *,
        summed: Sequence[int] = (),
    ) -> Axes:
        """Each axis of the tensor through its own map, None for one that stays; sizes `after` come out.

        What cannot be told apart from other axes there counts as read whole. Axes `summed` are summed before.
        """

        def move(axis: Axis) -> Axis:
            axis = self.summed(axis, summed)
            maps = {dim: found for dim in axis.dims if (found := index_map(dim)) is not None}
            if not maps:
                return axis
            alone = self.alone(axis, value.shape)
            if alone is None:
                return axis.as_whole()
            ((dim, found),) = maps.items()
            return self.through(alone, found, after[dim])

        return self.each(value, move)

    def summed(self, axis: Axis, dims: Iterable[int]) -> Axis:
        """Summed over some axes of the tensor."""
        gone = axis.dims & set(dims)
        if not gone:
            return axis
        if gone == axis.dims:
            return axis.as_whole()
        groups, period = _groups(axis, gone)
        kept = tuple(part for part in axis.parts if part.dim not in gone)
        index_map = IndexMap(len(groups), period, tuple(tuple(group) for group in groups.values()))
        cells = self.cells(axis.cells, index_map, prod(part.size for part in kept))
        return Axis(cells.unbounded() if period == axis.count else cells, kept)

    def mixed(self, axis: Axis, dims: Iterable[int]) -> Axis:
        """Every cell reads all cells along some axes of the tensor."""
        gone = axis.dims & set(dims)
        if not gone:
            return axis
        if gone == axis.dims:
            return Axis(axis.cells.as_whole(axis.count), axis.parts)
        groups, period = _groups(axis, gone)
        of = {cell: tuple(group) for group in groups.values() for cell in group}
        index_map = IndexMap(period, period, tuple(of[cell] for cell in range(period)))
        cells = self.cells(axis.cells, index_map, axis.count)
        return replace(axis, cells=cells.unbounded() if period == axis.count else cells)

    def refined(self, axis: Axis, parts: tuple[Part, ...]) -> Axis | None:
        """The same axis with parts it does not depend on; None if its own are not among them."""
        if axis.parts == parts:
            return axis
        if not set(axis.parts) < set(parts):
            return None
        full = Axis(input_axis(prod(part.size for part in parts)), parts)
        groups, period = _groups(full, {part.dim for part in set(parts) - set(axis.parts)})
        of = {cell: i for i, group in enumerate(groups.values()) for cell in group}
        index_map = IndexMap(period, len(groups), tuple((of[cell],) for cell in range(period)))
        cells = self.cells(axis.cells, index_map, full.count)
        return Axis(cells.unbounded() if period == full.count else cells, parts)

    def alone(self, axis: Axis, shape: Sequence[int]) -> Axis | None:
        """The axis with one of the tensor for itself, every cell repeated where others lie inside it."""
        if axis.dim is None:
            return None
        part = axis.parts[0]
        if part.size * part.inner != shape[part.dim]:
            return None
        if part.inner == 1:
            return axis
        n = shape[part.dim]
        return Axis(
            self.cells(axis.cells, spreading(part.inner, part.inner), n), (Part(n, part.dim),)
        )

    def union(self, call: Call, parts: Sequence[tuple[Axes, int]]) -> Axes:
        """Several tensors of one call together, each with how far its axes move to the right."""
        found: list[Axis | None] = []
        for number in range(self.rank):
            axes = [
                axis.moved(lambda dim, by=by: dim + by)
                for each, by in parts
                if (axis := each[number])
            ]
            found.append(self._union(call, number, axes) if axes else None)
        return tuple(found)

    def everything(self, call: Call) -> Axes:
        """All of everything that went in, in no known order."""
        wholes = [self.each(value, Axis.as_whole) for value in call.inputs if self.depends(value)]
        return self.union(call, [(axes, 0) for axes in wholes])

    def unknown(self, call: Call) -> Axes:
        """As `everything`; if that says less than what went in, the call is remembered as one that was not followed."""
        axes = [axis for value in call.inputs for axis in self.axes(value) if axis]
        if any(axis.cells.spans or len(set(axis.cells.masks)) > 1 for axis in axes):
            self.lost.append(call)
        return self.everything(call)

    def _union(self, call: Call, number: int, axes: Sequence[Axis]) -> Axis:
        if all(axis == axes[0] for axis in axes):
            return axes[0]
        alike = self._alike(axes)
        if alike is None:
            return Axis(union_of_cells([axis.cells.as_whole() for axis in axes]).as_whole(), ())
        placed = [axis for axis in alike if axis.parts]
        self._compare(call, number, placed)
        most = max(placed, key=lambda axis: axis.count)
        return replace(most, cells=union_of_cells([axis.cells for axis in alike]))

    def _alike(self, axes: Sequence[Axis]) -> list[Axis] | None:
        """All on the same axes of the tensor, single cells as they are; None if they lie elsewhere."""
        placed = [axis for axis in axes if axis.parts]
        if not placed:
            return None
        most = max(placed, key=lambda axis: (axis.count > 1, len(axis.parts), axis.count))
        found = [axis if _single(axis, most) else self.refined(axis, most.parts) for axis in axes]
        real = [axis for axis in found if axis]
        return real if len(real) == len(axes) else self._shared(axes)

    def _shared(self, axes: Sequence[Axis]) -> list[Axis] | None:
        """What lies on other axes in every tensor, as rows and columns of a table of scores, counts as read whole."""
        placed = [axis for axis in axes if axis.parts]
        common = set(placed[0].parts).intersection(*(axis.parts for axis in placed))
        if not common or any(len(axis.dims) < len(axis.parts) for axis in placed):
            return None
        summed = [
            self.summed(axis, {part.dim for part in axis.parts if part not in common})
            for axis in axes
        ]
        return summed if len({axis.parts for axis in summed if axis.parts}) == 1 else None

    def _compare(self, call: Call, number: int, axes: Sequence[Axis]) -> None:
        """Note branches whose strides or centres differ; a single cell that is broadcast has neither."""
        count = max(axis.count for axis in axes)
        spans = [axis.cells.spans for axis in axes if axis.count == count > 1]
        known = [each for each in spans if each]
        if len(known) == len(spans) and len({(each.stride, each.centre) for each in known}) > 1:
            strides = tuple(float(each.stride) for each in known)
            centres = tuple(float(each.centre) for each in known)
            ends = tuple(span[1] if (span := each.at(0)) else 0 for each in known)
            step = max(each.step for each in known)
            self.misaligned.append(Misaligned(call, number, strides, centres, ends, count, step))


def start(value: Value) -> Following:
    """The picture itself: axes of space are those after items and channels."""
    shape = value.shape
    same = {n: input_axis(n) for n in shape[2:]}
    axes = tuple(Axis(same[n], (Part(n, dim),)) for dim, n in enumerate(shape) if dim > 1)
    return Following({value.index: axes}, len(axes))


def _groups(axis: Axis, gone: set[int]) -> tuple[dict[int, list[int]], int]:
    """Cells that differ only in the parts that go, of one period; and its length, all cells if the first goes."""
    at = next(i for i, part in enumerate(axis.parts) if part.dim in gone)
    parts = axis.parts[at:]
    period = prod(part.size for part in parts)
    groups: dict[int, list[int]] = {}
    for cell in range(period):
        key, rest, weight = 0, cell, 1
        for part in reversed(parts):
            rest, value = divmod(rest, part.size)
            if part.dim not in gone:
                key, weight = key + value * weight, weight * part.size
        groups.setdefault(key, []).append(cell)
    return groups, period


def _single(axis: Axis, most: Axis) -> bool:
    """Whether an axis is one cell that is broadcast to the other's, or lies on none of the tensor."""
    places = [(part.dim, part.inner) for part in most.parts]
    return not axis.parts or (
        axis.count == 1
        and all((part.dim, part.inner) in places or len(places) > 1 for part in axis.parts)
    )


def broadcast(state: Following, axis: Axis, by: int, after: Sequence[int]) -> Axis:
    """An axis of a tensor that is repeated to a larger shape with `by` more axes on the left."""
    moved = axis.moved(lambda dim: dim + by)
    n = after[moved.parts[0].dim]
    return state.through(moved, REPEATED, n) if axis.count == 1 < n else moved


def reshaped(axis: Axis, before: Sequence[int], after: Sequence[int]) -> Axis:
    """Where the axis lies once the tensor has another shape; it may be split, or put together again."""
    if axis.count == 1:
        return _reshaped_one(axis, before, after)
    found: list[Part] = []
    for part in axis.parts:
        pieces = _pieces(part, before, after)
        if pieces is None:
            return axis.as_whole()
        found += pieces
    merged = found[:1]
    for part in found[1:]:
        last = merged[-1]
        if last.dim == part.dim and last.inner == part.size * part.inner:
            merged[-1] = Part(last.size * part.size, part.dim, part.inner)
        else:
            merged.append(part)
    return Axis(axis.cells, tuple(merged))


def _reshaped_one(axis: Axis, before: Sequence[int], after: Sequence[int]) -> Axis:
    """A single cell keeps an axis of one cell near where it was."""
    part = axis.parts[0]
    right = part.inner * prod(before[part.dim + 1 :])
    ones = [d for d, side in enumerate(after) if side == 1 and prod(after[d + 1 :]) == right]
    near = (part.dim, part.dim + len(after) - len(before))
    fits = [dim for dim in near if dim in ones]
    return Axis(axis.cells, (Part(1, fits[0]),)) if fits else axis.as_whole()


def _pieces(part: Part, before: Sequence[int], after: Sequence[int]) -> list[Part] | None:
    """The parts of one by the axes they fall on, the most significant first; None if one is cut through."""
    right = part.inner * prod(before[part.dim + 1 :])  # how far apart its neighbours lie in memory
    left, found = part.size, list[Part]()
    below = 1
    for dim in reversed(range(len(after))):
        above = below * after[dim]
        if left > 1 and above > right and after[dim] > 1:
            size = min(left, above // right)
            if right % below or above % right or left % size:
                return None
            found.append(Part(size, dim, right // below))
            right, left = right * size, left // size
        below = above
    return found[::-1] if left == 1 else None
