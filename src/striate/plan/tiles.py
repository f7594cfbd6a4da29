"""Pictures of any size through a fully convolutional net: extended where it needs more, in tiles where they are large.

B batch, C channels, K maps, H W pixels of a picture. Along each axis a picture is seen as part of a larger one: its
edges are mirrored as far as a net without padding answers less than it reads (the overlap-tile strategy of
Ronneberger, Fischer and Brox 2015, arXiv 1505.04597, fig. 2) and up to a side that the net takes. Every tile is read
with all that its answer depends on, begins at a multiple of the net's total stride and is as long as the whole,
modulo that stride; tiles at the edge of the picture end there. So each layer does to a tile what it does to the
whole, and the answers are equal but for rounding. Where a net cannot be divided so, tiles overlap and are blended.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import lcm
from typing import Any, NamedTuple

import torch
from torch import Tensor

from striate.errors import ShapeError

TILE = 1024  # pixels of a side that are answered at a time, where nothing is known of the net
OVERLAP = 64  # pixels on each side of a blended tile

# The logits [B, K, h, w] of the picture's rows [h] and columns [w] of these numbers, some of them repeated.
Read = Callable[[Tensor, Tensor], Any]


class Piece(NamedTuple):
    """Logits [B, K, h, w] of a part of a picture, and which rows and columns of it they are."""

    rows: slice
    columns: slice
    logits: Tensor


@dataclass(frozen=True)
class Sides:
    """Which sides a net takes: `rest` modulo `multiple`, from `least` pixels on."""

    multiple: int = 1
    rest: int = 0
    least: int = 1

    def fitting(self, side: int) -> int:
        """The first that is at least as long as `side`."""
        side = max(side, self.least)
        return side + (self.rest - side) % self.multiple


@dataclass(frozen=True)
class Axis:
    """How pictures are divided along one axis; all in pixels of the input.

    Attributes:
        step: tiles begin at multiples of it: the total stride of the net.
        before: how far before its own place an answer reads, at most.
        after: likewise behind it.
        lost: by how much an answer is shorter than its picture, at the beginning and at the end.
        takes: the sides at which the net runs at all.
        even: the sides at which the tiles give what the whole gives.
    """

    step: int = 1
    before: int = 0
    after: int = 0
    lost: tuple[int, int] = (0, 0)
    takes: Sides = Sides()
    even: Sides = Sides()

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Axis":
        """Read back what `asdict` gave."""
        first, last = content["lost"]
        return cls(
            int(content["step"]),
            int(content["before"]),
            int(content["after"]),
            (int(first), int(last)),
            Sides(**content["takes"]),
            Sides(**content["even"]),
        )


@dataclass(frozen=True)
class Tiling:
    """How the pictures of a net may be divided.

    Attributes:
        axes: of height and width; () where nothing is known, and pictures are answered whole and as they are.
        exact: whether tiles give what the whole picture gives.
        why: else the reason.
        difference: the largest that was measured between their probabilities, if it was.
        tile: pixels of a side that are answered at a time.
    """

    axes: tuple[Axis, ...] = ()
    exact: bool = False
    why: str = "nothing is known of the net"
    difference: float | None = None
    tile: int = TILE

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Tiling":
        """Read back what `as_dict` gave; of {} the tiling of a net of which nothing is known.

        Raises:
            KeyError: a value is missing.
            TypeError: a value is of the wrong kind.
            ValueError: likewise.
        """
        if not content:
            return UNKNOWN
        axes = tuple(Axis.from_dict(axis) for axis in content["axes"])
        difference = content["difference"]
        return cls(
            axes,
            bool(content["exact"]),
            str(content["why"]),
            None if difference is None else float(difference),
            int(content["tile"]),
        )

    def divides(self, size: tuple[int, int]) -> bool:
        """Whether a picture of this height and width is answered in tiles."""
        return bool(self.axes) and max(size) > self.tile

    def as_text(self) -> str:
        """One sentence."""
        if not self.axes:
            return f"pictures are answered whole: {self.why}"
        beyond = f"pictures larger than {self.tile:,} pixels are answered in tiles"
        found = "" if self.difference is None else f" (measured in float32: {self.difference:.0e})"
        if self.exact:
            halo = " and ".join(f"{axis.before}+{axis.after}" for axis in self.axes[:1])
            return f"{beyond} that read {halo} pixels around, and equal the whole{found}"
        return f"{beyond} that are blended, and differ from the whole{found}: {self.why}"


UNKNOWN = Tiling()


@dataclass(frozen=True)
class Span:
    """What is read along one axis, and what is answered of it, as places of the picture."""

    start: int  # of what is read; negative in mirrored edges
    stop: int
    first: int  # of what is answered
    last: int

    def places(self, side: int) -> Tensor:
        """The rows or columns of the picture that are read; beyond its edges come their mirror images."""
        at = torch.arange(self.start, self.stop).remainder(2 * side)
        return torch.minimum(at, 2 * side - 1 - at)


def gathered(parts: Iterator[Piece], size: tuple[int, ...]) -> Tensor:
    """Pieces of a picture as one tensor of logits [B, K, H, W]."""
    whole: Tensor | None = None
    for rows, columns, logits in parts:
        if logits.shape[2:] == tuple(size):
            return logits
        if whole is None:
            whole = logits.new_empty((*logits.shape[:2], *size))
        whole[:, :, rows, columns] = logits
    return torch.empty(0) if whole is None else whole


def pieces(
    read: Read, size: tuple[int, int], tiling: Tiling, *, tile: int | None = None
) -> Iterator[Piece]:
    """Logits of a picture part by part, each pixel once; no more than a row of tiles is in memory at a time.

    Args:
        read: answers rows and columns of the picture, which may be repeated.
        size: height and width of the picture.
        tiling: of the net, with its axes.
        tile: pixels of a side that are answered at a time; those of the tiling if not given.
    """
    side = tile or tiling.tile
    if max(size) <= side:
        rows, columns = (_whole(axis, n) for axis, n in zip(tiling.axes, size, strict=True))
        yield answer(read, size, tiling, rows, columns)
    elif tiling.exact:
        down, across = (spans(axis, n, side) for axis, n in zip(tiling.axes, size, strict=True))
        for rows in down:
            for columns in across:
                yield answer(read, size, tiling, rows, columns)
    else:
        yield from _blended(read, size, tiling, side)


def answer(read: Read, size: tuple[int, int], tiling: Tiling, rows: Span, columns: Span) -> Piece:
    """One tile, without what was read around it.

    Raises:
        ShapeError: the net answers no tensor.
    """
    logits = read(rows.places(size[0]), columns.places(size[1]))
    if not isinstance(logits, Tensor):
        raise ShapeError(f"the net answers {type(logits).__name__}, expected one tensor of maps")
    cut = [
        slice(span.first - span.start - axis.lost[0], span.last - span.start - axis.lost[0])
        for axis, span in zip(tiling.axes, (rows, columns), strict=True)
    ]
    return Piece(
        slice(rows.first, rows.last), slice(columns.first, columns.last), logits[:, :, *cut]
    )


def _extended(axis: Axis, sides: Sides, n: int) -> tuple[int, int]:
    return -axis.lost[0], sides.fitting(n + sum(axis.lost)) - axis.lost[0]


def _whole(axis: Axis, n: int) -> Span:
    return Span(*_extended(axis, axis.takes, n), 0, n)


def spans(axis: Axis, n: int, tile: int) -> list[Span]:
    """Tiles side by side, each read with all that it depends on."""
    begin, end = _extended(axis, axis.even, n)
    step = lcm(axis.step, axis.even.multiple)
    count = -(-n // tile)
    tile = min(tile, -(-n // (count * step)) * step)  # as many of more equal sides
    found: list[Span] = []
    for first in range(0, n, tile):
        last = min(first + tile, n)
        start = first - max(axis.before, axis.lost[0])
        stop = last + max(axis.after, axis.lost[1])
        found.append(Span(*_aligned(start, stop, begin, end, step, axis.even.least), first, last))
    return found


def _aligned(start: int, stop: int, begin: int, end: int, step: int, least: int) -> tuple[int, int]:
    """The smallest part of [begin, end) around [start, stop) that begins and ends on the grid of the whole."""
    start = max(begin, start - (start - begin) % step)
    stop = min(end, max(stop, start + least))
    stop = min(end, stop + (end - stop) % step)
    if stop - start < least:
        start = max(begin, start - -(-(least - stop + start) // step) * step)
    return start, stop


def _blended(read: Read, size: tuple[int, int], tiling: Tiling, tile: int) -> Iterator[Piece]:
    """Overlapping tiles, whose weights fall linearly to their edges; finished rows are given at once."""
    down, across = (_overlapping(a, n, tile) for a, n in zip(tiling.axes, size, strict=True))
    rest: Tensor | None = None  # of the tiles above, where these overlap
    for i, rows in enumerate(down):
        band: Tensor | None = None
        for columns in across:
            part = answer(read, size, tiling, rows, columns).logits
            part = part * _ramp(rows, size[0], down, part)[:, None]
            part = part * _ramp(columns, size[1], across, part)
            if band is None:
                band = part.new_zeros((*part.shape[:3], size[1]))
            band[..., columns.first : columns.last] += part
        if band is None:
            return
        if rest is not None:
            band[:, :, : rest.shape[2]] += rest
        done = down[i + 1].first if i + 1 < len(down) else rows.last
        rest = band[:, :, done - rows.first :].clone()
        yield Piece(slice(rows.first, done), slice(0, size[1]), band[:, :, : done - rows.first])


def _overlapping(axis: Axis, n: int, tile: int) -> list[Span]:
    """Tiles of equal sides that overlap by twice `OVERLAP` pixels, less where tiles are small."""
    begin, end = _extended(axis, axis.takes, n)
    count = -(-n // tile)
    edges = [n * i // count for i in range(count + 1)]
    room = min(OVERLAP, n // count // 2)
    step = lcm(axis.step, axis.takes.multiple)
    found: list[Span] = []
    for i in range(count):
        first, last = max(0, edges[i] - room), min(n, edges[i + 1] + room)
        start, stop = first - axis.lost[0], last + axis.lost[1]
        found.append(Span(*_aligned(start, stop, begin, end, step, axis.takes.least), first, last))
    return found


def _ramp(span: Span, n: int, among: list[Span], like: Tensor) -> Tensor:
    """Weights of the places that a tile answers; with those of its neighbours they add up to one."""
    i = among.index(span)
    at = torch.arange(span.first, span.last, device=like.device, dtype=like.dtype) + 0.5
    weights = torch.ones_like(at)
    if span.first > 0:
        top = among[i - 1].last
        weights = weights.minimum((at - span.first) / (top - span.first))
    if span.last < n:
        bottom = among[i + 1].first
        weights = weights.minimum((span.last - at) / (span.last - bottom))
    return weights
