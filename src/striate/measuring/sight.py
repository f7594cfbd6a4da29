"""Where the axes of the input picture lie in a tensor, and what is read along them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from striate.measuring.reads import Reads, Taps, own, through, union, whole
from striate.measuring.taps import spreading
from striate.probe import Call, Value


@dataclass(frozen=True)
class Digit:
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
class View:
    """One axis of the picture in one tensor.

    Attributes:
        reads: what the cells along it read of the picture.
        digits: where they lie, the most significant first: one axis as a rule, several after a reshape as in
            space to depth, none once it is summed away or mixed beyond telling.
    """

    reads: Reads
    digits: tuple[Digit, ...]

    @property
    def cells(self) -> int:
        """How many cells it has here."""
        return len(self.reads.masks)

    @property
    def dims(self) -> set[int]:
        """The axes of the tensor it lies on."""
        return {digit.dim for digit in self.digits}

    @property
    def dim(self) -> int | None:
        """The one axis of the tensor it lies on; None if there are several or none."""
        return self.digits[0].dim if len(self.digits) == 1 else None


# One view an axis of the picture; None where the tensor does not depend on the picture.
Sight = tuple[View | None, ...]


@dataclass(frozen=True)
class Misaligned:
    """Branches that are joined although they do not look at the same places.

    `strides` and `centres` are those of the branches along the axis `axis` of the picture.
    """

    call: Call
    axis: int
    strides: tuple[float, ...]
    centres: tuple[float, ...]


@dataclass
class Scene:
    """What every tensor of a run sees of one input, as far as the run is followed."""

    seen: dict[int, Sight]
    axes: int
    misaligned: list[Misaligned] = field(default_factory=list["Misaligned"])
    lost: list[Call] = field(default_factory=list["Call"])
    _passed: dict[tuple[int, Taps, int], tuple[Reads, Reads]] = field(
        default_factory=dict[tuple[int, Taps, int], tuple[Reads, Reads]]
    )

    def sight(self, value: Value) -> Sight:
        """What a tensor sees; nothing if no call made it out of the picture."""
        return self.seen.get(value.index, (None,) * self.axes)

    def sees(self, value: Value) -> bool:
        """Whether a tensor depends on the picture."""
        return any(self.sight(value))

    def reads(self, reads: Reads, taps: Taps, n: int) -> Reads:
        """Through an operation along the axis with `n` outputs; equal axes are worked out once."""
        key = (id(reads), taps, n)
        if (
            key not in self._passed
        ):  # the reads are kept beside the result, so that their id stays theirs
            self._passed[key] = (reads, through(reads, taps, n))
        return self._passed[key][1]

    def passed(self, view: View, taps: Taps, n: int) -> View:
        """A view that lies on one axis, through an operation along it."""
        (digit,) = view.digits
        return View(self.reads(view.reads, taps, n), (replace(digit, size=n),))

    def closed(self, view: View, dims: Iterable[int]) -> View:
        """Summed over some axes of the tensor."""
        gone = view.dims & set(dims)
        if not gone:
            return view
        if gone == view.dims:
            return spent(view)
        groups, period = _groups(view, gone)
        kept = tuple(digit for digit in view.digits if digit.dim not in gone)
        taps = Taps(len(groups), period, tuple(tuple(group) for group in groups.values()))
        reads = self.reads(view.reads, taps, prod(digit.size for digit in kept))
        return View(_unbounded(reads) if period == view.cells else reads, kept)

    def blurred(self, view: View, dims: Iterable[int]) -> View:
        """Every cell reads all cells along some axes of the tensor."""
        gone = view.dims & set(dims)
        if not gone:
            return view
        if gone == view.dims:
            return View(whole(view.reads, view.cells), view.digits)
        groups, period = _groups(view, gone)
        of = {cell: tuple(group) for group in groups.values() for cell in group}
        taps = Taps(period, period, tuple(of[cell] for cell in range(period)))
        reads = self.reads(view.reads, taps, view.cells)
        return replace(view, reads=_unbounded(reads) if period == view.cells else reads)

    def refined(self, view: View, digits: tuple[Digit, ...]) -> View | None:
        """The same view with digits it does not depend on; None if its own are not among them."""
        if view.digits == digits:
            return view
        if not set(view.digits) < set(digits):
            return None
        full = View(own(prod(digit.size for digit in digits)), digits)
        groups, period = _groups(full, {digit.dim for digit in set(digits) - set(view.digits)})
        of = {cell: i for i, group in enumerate(groups.values()) for cell in group}
        taps = Taps(period, len(groups), tuple((of[cell],) for cell in range(period)))
        reads = self.reads(view.reads, taps, full.cells)
        return View(_unbounded(reads) if period == full.cells else reads, digits)

    def plain(self, view: View, shape: Sequence[int]) -> View | None:
        """The view with one axis of the tensor for itself, every cell repeated where others lie inside it."""
        if view.dim is None:
            return None
        digit = view.digits[0]
        if digit.size * digit.inner != shape[digit.dim]:
            return None
        if digit.inner == 1:
            return view
        n = shape[digit.dim]
        reads = self.reads(view.reads, spreading(digit.inner, digit.inner), n)
        return View(reads, (Digit(n, digit.dim),))


def _groups(view: View, gone: set[int]) -> tuple[dict[int, list[int]], int]:
    """Cells that differ only in the digits that go, of one period; and its length, all cells if the first goes."""
    at = next(i for i, digit in enumerate(view.digits) if digit.dim in gone)
    digits = view.digits[at:]
    period = prod(digit.size for digit in digits)
    groups: dict[int, list[int]] = {}
    for cell in range(period):
        key, rest, weight = 0, cell, 1
        for digit in reversed(digits):
            rest, value = divmod(rest, digit.size)
            if digit.dim not in gone:
                key, weight = key + value * weight, weight * digit.size
        groups.setdefault(key, []).append(cell)
    return groups, period


def _unbounded(reads: Reads) -> Reads:
    return Reads(reads.masks, None)


def opening(value: Value) -> Scene:
    """The picture itself: axes of space are those after items and channels."""
    shape = value.shape
    same = {n: own(n) for n in shape[2:]}
    views = tuple(View(same[n], (Digit(n, dim),)) for dim, n in enumerate(shape) if dim > 1)
    return Scene({value.index: views}, len(views))


def each(sight: Sight, move: Callable[[View], View]) -> Sight:
    """Every view that still has an axis of the tensor, moved."""
    return tuple(move(view) if view and view.digits else view for view in sight)


def spent(view: View) -> View:
    """Read as a whole: the tensor has no axis for it any more."""
    return View(whole(view.reads), ())


def turned(view: View, place: Callable[[int], int]) -> View:
    """The axes of the tensor under other numbers."""
    return View(view.reads, tuple(replace(d, dim=place(d.dim)) for d in view.digits))


def joined(scene: Scene, call: Call, parts: Sequence[tuple[Sight, int]]) -> Sight:
    """The union of several tensors of one call, each with how far its axes move to the right."""
    return tuple(
        _joined_axis(scene, call, axis, [_moved(sight[axis], by) for sight, by in parts])
        for axis in range(scene.axes)
    )


def _moved(view: View | None, by: int) -> View | None:
    return view and turned(view, lambda dim: dim + by)


def _joined_axis(scene: Scene, call: Call, axis: int, views: Sequence[View | None]) -> View | None:
    real = [view for view in views if view]
    if not real or all(view == real[0] for view in real):
        return real[0] if real else None
    alike = _alike(scene, real)
    if alike is None:
        return spent(View(union([whole(view.reads) for view in real]), ()))
    mapped = [view for view in alike if view.digits]
    _compare(scene, call, axis, mapped)
    most = max(mapped, key=lambda view: view.cells)
    return replace(most, reads=union([view.reads for view in alike]))


def _alike(scene: Scene, views: Sequence[View]) -> list[View] | None:
    """The views on the same axes of the tensor, single cells as they are; None if they lie elsewhere."""
    mapped = [view for view in views if view.digits]
    if not mapped:
        return None
    most = max(mapped, key=lambda view: (view.cells > 1, len(view.digits), view.cells))
    found = [view if _single(view, most) else scene.refined(view, most.digits) for view in views]
    real = [view for view in found if view]
    return real if len(real) == len(views) else _shared(scene, views)


def _shared(scene: Scene, views: Sequence[View]) -> list[View] | None:
    """What lies on other axes in every view, as rows and columns of a table of scores, counts as read whole."""
    mapped = [view for view in views if view.digits]
    common = set(mapped[0].digits).intersection(*(view.digits for view in mapped))
    if not common or any(len(view.dims) < len(view.digits) for view in mapped):
        return None
    closed = [
        scene.closed(view, {digit.dim for digit in view.digits if digit not in common})
        for view in views
    ]
    return closed if len({view.digits for view in closed if view.digits}) == 1 else None


def _single(view: View, most: View) -> bool:
    """Whether a view is one cell that is broadcast to the other's, or has no axis at all."""
    places = [(digit.dim, digit.inner) for digit in most.digits]
    return not view.digits or (
        view.cells == 1
        and all((digit.dim, digit.inner) in places or len(places) > 1 for digit in view.digits)
    )


def _compare(scene: Scene, call: Call, axis: int, views: Sequence[View]) -> None:
    """Note branches whose strides or centres differ; a single cell that is broadcast has neither."""
    cells = max(view.cells for view in views)
    spans = [view.reads.spans for view in views if view.cells == cells > 1]
    known = [each for each in spans if each]
    places = {(each.stride, each.centre) for each in known}
    if len(known) == len(spans) and len(places) > 1:
        scene.misaligned.append(
            Misaligned(
                call,
                axis,
                tuple(float(each.stride) for each in known),
                tuple(float(each.centre) for each in known),
            )
        )


def reshaped(view: View, before: Sequence[int], after: Sequence[int]) -> View:
    """Where the axis lies once the tensor is seen in another shape; it may be split, or put together again."""
    if view.cells == 1:
        return _reshaped_one(view, before, after)
    found: list[Digit] = []
    for digit in view.digits:
        pieces = _pieces(digit, before, after)
        if pieces is None:
            return spent(view)
        found += pieces
    merged = found[:1]
    for digit in found[1:]:
        last = merged[-1]
        if last.dim == digit.dim and last.inner == digit.size * digit.inner:
            merged[-1] = Digit(last.size * digit.size, digit.dim, digit.inner)
        else:
            merged.append(digit)
    return View(view.reads, tuple(merged))


def _reshaped_one(view: View, before: Sequence[int], after: Sequence[int]) -> View:
    """A single cell keeps an axis of one cell near where it was."""
    digit = view.digits[0]
    right = digit.inner * prod(before[digit.dim + 1 :])
    ones = [d for d, side in enumerate(after) if side == 1 and prod(after[d + 1 :]) == right]
    near = (digit.dim, digit.dim + len(after) - len(before))
    fits = [dim for dim in near if dim in ones]
    return View(view.reads, (Digit(1, fits[0]),)) if fits else spent(view)


def _pieces(digit: Digit, before: Sequence[int], after: Sequence[int]) -> list[Digit] | None:
    """The parts of one digit by the axes they fall on, the most significant first; None if one is cut through."""
    right = digit.inner * prod(
        before[digit.dim + 1 :]
    )  # how far apart its neighbours lie in memory
    left, found = digit.size, list[Digit]()
    below = 1
    for dim in reversed(range(len(after))):
        above = below * after[dim]
        if left > 1 and above > right and after[dim] > 1:
            size = min(left, above // right)
            if right % below or above % right or left % size:
                return None
            found.append(Digit(size, dim, right // below))
            right, left = right * size, left // size
        below = above
    return found[::-1] if left == 1 else None
