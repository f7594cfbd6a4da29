"""Where the axes of the input picture lie in a tensor, and what is read along them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from striate.measuring.reads import Reads, Taps, own, through, union, whole
from striate.probe import Call, Value


@dataclass(frozen=True)
class View:
    """One axis of the picture in one tensor.

    Attributes:
        reads: what the cells along it read of the picture.
        dim: the axis of the tensor it lies on; None once it is summed away or mixed beyond telling.
        inner: cells of other axes that are flattened into the same one, to the right of it.
    """

    reads: Reads
    dim: int | None
    inner: int = 1

    @property
    def cells(self) -> int:
        """How many cells it has here."""
        return len(self.reads.masks)


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

    def passed(self, view: View, taps: Taps, n: int) -> View:
        """Through an operation along the axis with `n` outputs; equal axes are worked out once."""
        key = (id(view.reads), taps, n)
        if (
            key not in self._passed
        ):  # the reads are kept beside the result, so that their id stays theirs
            self._passed[key] = (view.reads, through(view.reads, taps, n))
        return replace(view, reads=self._passed[key][1])


def opening(value: Value) -> Scene:
    """The picture itself: axes of space are those after items and channels."""
    shape = value.shape
    same = {n: own(n) for n in shape[2:]}
    views = tuple(View(same[n], dim) for dim, n in enumerate(shape) if dim > 1)
    return Scene({value.index: views}, len(views))


def each(sight: Sight, move: Callable[[View], View]) -> Sight:
    """Every view that still has an axis of the tensor, moved."""
    return tuple(move(view) if view and view.dim is not None else view for view in sight)


def spent(view: View) -> View:
    """Read as a whole: the tensor has no axis for it any more."""
    return View(whole(view.reads), None)


def spread(view: View) -> View:
    """Every cell reads all there is."""
    return replace(view, reads=whole(view.reads, view.cells))


def plain(view: View, shape: Sequence[int]) -> bool:
    """Whether the axis has one of the tensor for itself."""
    return view.dim is not None and view.inner == 1 and view.cells == shape[view.dim]


def joined(scene: Scene, call: Call, parts: Sequence[tuple[Sight, int]]) -> Sight:
    """The union of several tensors of one call, each with how far its axes move to the right."""
    return tuple(
        _joined_axis(scene, call, axis, [_moved(sight[axis], by) for sight, by in parts])
        for axis in range(scene.axes)
    )


def _moved(view: View | None, by: int) -> View | None:
    return view if view is None or view.dim is None else replace(view, dim=view.dim + by)


def _joined_axis(scene: Scene, call: Call, axis: int, views: Sequence[View | None]) -> View | None:
    real = [view for view in views if view]
    if not real or all(view == real[0] for view in real):
        return real[0] if real else None
    mapped = [view for view in real if view.dim is not None]
    if len({(view.dim, view.inner) for view in mapped}) != 1:
        return spent(View(union([whole(view.reads) for view in real]), None))
    _compare(scene, call, axis, mapped)
    return replace(mapped[0], reads=union([view.reads for view in real]))


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
    """Where the axis lies once the tensor is seen in another shape."""
    if view.dim is None:
        return view
    right = view.inner * prod(before[view.dim + 1 :])
    below = [prod(after[dim + 1 :]) for dim in range(len(after))]
    if view.cells > 1:
        fits = [
            dim
            for dim, side in enumerate(after)
            if right % below[dim] == 0 and below[dim] * side % (right * view.cells) == 0
        ]
    else:
        ones = [dim for dim, side in enumerate(after) if side == 1 and below[dim] == right]
        near = (view.dim, view.dim + len(after) - len(before))
        fits = [dim for dim in near if dim in ones]
    if not fits:
        return spent(view)
    return View(view.reads, fits[0], right // below[fits[0]])
