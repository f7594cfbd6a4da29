"""How a net's pictures may be divided into tiles: by its receptive field, and by trying.

The field says how far around its own place an answer reads, and that tiles must begin at multiples of the total
stride; sides other than that of the training are tried without numbers, and at last some tiles are compared with the
whole on a random picture.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from striate.errors import StriateError
from striate.measuring.fields import Fields, fields
from striate.measuring.inputs import templates
from striate.measuring.reads import Spans
from striate.plan.tiles import Axis, Piece, Sides, Tiling, answer, pieces, spans
from striate.probe import Call, Trace, Value, settled, trace

TOLERANCE = 1e-5  # of probabilities in float32
MEMORY = 2**30  # bytes that the maps of a tile may take
MAPS = 4  # as large as the largest one that are there at once
LEAST, MOST = 256, 2048  # sides of a tile


def tiling_of(net: nn.Module, shape: Sequence[int]) -> Tiling:
    """How the pictures of a net may be divided.

    Args:
        net: that answers pictures [B, C, H, W] with maps [B, K, h, w]; it is not touched.
        shape: channels, height and width of a picture that it takes.

    Returns:
        One without axes where the net cannot be followed or answers no maps of the picture's places.
    """
    try:
        module = settled(net, templates(net, tuple(shape)))
        found = _Looked.at(module, tuple(shape))
    except StriateError as error:
        return Tiling(why=str(error))
    if found is None:
        return Tiling(why="its answer is no map of the picture")
    tiling = _described(module, found)
    if tiling is None:
        return Tiling(why=f"the net takes {'x'.join(map(str, found.shape[1:]))} alone")
    if not tiling.exact:
        return tiling
    off = difference(module, tiling, shape[0])
    if off is None or off <= TOLERANCE:
        return replace(tiling, difference=off)
    return replace(
        tiling, exact=False, difference=off, why="so it was measured, whatever its layers are"
    )


def runs(net: nn.Module, shape: Sequence[int]) -> bool:
    """Whether a net runs on a picture of these channels, height and width."""
    return trace(net, templates(net, tuple(shape))).error is None


@dataclass(frozen=True)
class _Looked:
    """A net run at one size of picture, without numbers."""

    shape: tuple[int, ...]
    run: Trace

    @cached_property
    def seen(self) -> Fields:
        """What every tensor reads of the picture."""
        return fields(self.run)

    @classmethod
    def at(
        cls, net: nn.Module, shape: tuple[int, ...], *, numbers: bool = True
    ) -> "_Looked | None":
        """None where it fails, or gives no maps of at most the size of the picture; see `trace`."""
        run = trace(net, templates(net, shape), numbers=numbers)
        if run.error is not None or not run.outputs:
            return None
        maps = run.outputs[0].shape
        good = len(maps) == 4 and all(n <= m for n, m in zip(maps[2:], shape[1:], strict=True))
        return cls(shape, run) if good else None

    @property
    def lost(self) -> tuple[tuple[int, int], ...]:
        """By how much the answer is shorter, at both ends of each axis; it is of the picture's middle."""
        maps = self.run.outputs[0].shape[2:]
        lost = (n - m for n, m in zip(self.shape[1:], maps, strict=True))
        return tuple((n // 2, n - n // 2) for n in lost)

    @property
    def spans(self) -> tuple[Spans | None, ...]:
        """What the answers read along each axis; None without bound."""
        return _spans(self.seen, self.run.outputs[0])

    @property
    def steps(self) -> tuple[int, int]:
        """The total stride along each axis: a whole number of steps of every layer."""
        strides: tuple[set[int], set[int]] = ({1}, {1})
        for value in (value for call in self.run.calls for value in call.outputs):
            for axis, read in enumerate(_spans(self.seen, value)):
                if read and read.stride.denominator == 1 and read.stride:
                    strides[axis].add(int(read.stride))
        return math.lcm(*strides[0]), math.lcm(*strides[1])


def _spans(seen: Fields, value: Value) -> tuple[Spans | None, ...]:
    return tuple(view.reads.spans if view else None for view in seen.sight(value))


def _described(net: nn.Module, found: _Looked) -> Tiling | None:
    """The tiling as the layers say; None of a net that takes no other size."""
    steps = found.steps
    if not any(_resized(net, found, by) for by in ((1, 1), steps)):
        return None
    takes, even = _sides(net, found, steps)
    bounded = all(found.spans)
    axes: list[Axis] = []
    for i, (read, lost) in enumerate(zip(found.spans, found.lost, strict=True)):
        before, after = _reach(read, lost[0]) if read else (0, 0)
        axes.append(Axis(steps[i], before, after, lost, takes[i], even[i] if even else takes[i]))
    tile = _tile(net, found, axes)
    if not bounded:
        return Tiling(tuple(axes), why=_unbounded(found), tile=tile)
    if not even:
        why = "its layers do not repeat with its stride: a resizing by no whole factor"
        return Tiling(tuple(axes), why=why, tile=tile)
    return Tiling(tuple(axes), exact=True, why="", tile=tile)


def _reach(spans: Spans, lost: int) -> tuple[int, int]:
    """How far before and behind its own place an answer reads, at most."""
    read = [(i + lost, span) for i, span in enumerate(spans.cells) if span]
    before = max((place - span[0] for place, span in read), default=0)
    after = max((span[1] - place for place, span in read), default=0)
    return max(0, before), max(0, after)


def _sides(
    net: nn.Module, found: _Looked, steps: tuple[int, int]
) -> tuple[list[Sides], list[Sides] | None]:
    """The sides that a net takes, and those at which it does the same everywhere, found by trying; None where none are."""
    sizes = found.shape[1:]
    other = [_resized(net, found, by) for by in ((1, 1), (steps[0] // 2 or 1, steps[1] // 2 or 1))]
    any_side = all(look is not None and look.lost == found.lost for look in other)
    least = _least(net, found, steps if not any_side else (1, 1), steps)
    multiples = (1, 1) if any_side else steps
    takes = [Sides(m, n % m, k) for m, n, k in zip(multiples, sizes, least, strict=True)]
    if any_side and all(look is not None and look.spans == found.spans for look in other):
        return takes, takes
    for rests in ([n % m for n, m in zip(sizes, steps, strict=True)], [0, 0]):
        even = [Sides(m, r, max(k, m)) for m, r, k in zip(steps, rests, least, strict=True)]
        first = [side.fitting(n) - n for side, n in zip(even, sizes, strict=True)]
        looks = [
            _resized(net, found, tuple(f + k * m for f, m in zip(first, steps, strict=True)))
            for k in (0, 1)
        ]
        if all(look and look.lost == found.lost for look in looks):
            first_read, later_read = (look.spans for look in looks if look)
            if first_read == later_read and _even(looks[0], steps):
                return takes, even
    return takes, None


def _even(look: "_Looked | None", steps: tuple[int, int]) -> bool:
    """Whether what is read repeats with the total stride."""
    return look is not None and all(
        spans is not None and step % spans.advance == 0 and spans.stride == 1
        for spans, step in zip(look.spans, steps, strict=True)
    )


def _resized(net: nn.Module, found: _Looked, by: Sequence[int]) -> "_Looked | None":
    """The net at sides that are longer or shorter."""
    sides = [n + more for n, more in zip(found.shape[1:], by, strict=True)]
    return _Looked.at(net, (found.shape[0], *sides), numbers=found.run.device != "meta")


def _least(
    net: nn.Module, found: _Looked, multiples: Sequence[int], steps: tuple[int, int]
) -> tuple[int, ...]:
    """The shortest sides that are known to work, tried from a stride upwards."""
    sizes = found.shape[1:]
    tried: list[int] = [1, 2, 4, 8]
    for count in tried:
        sides = [count * m + n % k for m, n, k in zip(steps, sizes, multiples, strict=True)]
        if all(s < n for s, n in zip(sides, sizes, strict=True)):
            look = _resized(net, found, [s - n for s, n in zip(sides, sizes, strict=True)])
            if look is not None and look.lost == found.lost:
                return tuple(sides)
    return sizes


def _tile(net: nn.Module, found: _Looked, axes: Sequence[Axis]) -> int:
    """The side of a tile whose maps fit into the memory for them; not less than what is read around it."""
    sides = [
        axis.takes.fitting(max(n, LEAST)) for axis, n in zip(axes, found.shape[1:], strict=True)
    ]
    by = [s - n for s, n in zip(sides, found.shape[1:], strict=True)]
    look = _resized(net, found, by) or found
    most = max((call.written for call in look.run.calls), default=0)
    pixels = math.prod(look.shape[1:])
    around = max(axis.before + axis.after for axis in axes)
    side = math.isqrt(int(MEMORY * pixels / max(1, MAPS * most))) - around
    step = math.lcm(*(axis.step for axis in axes))
    side = max(LEAST, around, min(MOST, side))
    return -(-side // step) * step


# What is said of layers that read a whole picture.
WORDS = {
    "group_norm": "normalises over the whole picture",
    "instance_norm": "normalises over the whole picture",
    "layer_norm": "normalises over the whole picture",
    "interpolate": "resizes by no whole factor",
}
POOLED = "pools the whole picture"


def _unbounded(found: _Looked) -> str:
    """The first layer whose output depends on the whole picture."""
    for call in found.run.calls:
        before = [s for v in call.inputs if v.live for s in [_spans(found.seen, v)] if any(s)]
        if (
            before
            and all(map(all, before))
            and any(not all(_spans(found.seen, v)) for v in call.outputs)
        ):
            return f"{call.path or 'the net'} {_said(call)} ({call.op})"
    return "what its answers read has no bound"


def _said(call: Call) -> str:
    pooled = "pool" in call.op or call.op in ("mean", "sum", "amax", "max")
    return WORDS.get(call.op, POOLED if pooled else "reads without bound")


# ------------------------------------------------------------------------------------------- measured


def difference(net: nn.Module, tiling: Tiling, channels: int) -> float | None:
    """The largest difference between probabilities of a whole picture and of tiles, on random numbers in float32.

    The picture is just large enough that a tile beside its middle sees no edge; of the tiles the first, that one and
    the last are compared. Layers that are still zero, such as scores before the training, get random weights: else there
    were nothing to compare.

    Returns:
        None where the net cannot be run on the CPU.
    """
    trial = _stirred(net)
    sides = [axis.before + axis.after + 4 * axis.step + 1 for axis in tiling.axes]
    x = torch.randn(1, channels, *sides, generator=torch.Generator().manual_seed(0))

    def read(rows: Tensor, columns: Tensor) -> Tensor:
        return trial(x[:, :, rows][:, :, :, columns])

    size = (sides[0], sides[1])
    tile = max(axis.step for axis in tiling.axes)
    down, across = (spans(a, n, tile) for a, n in zip(tiling.axes, size, strict=True))
    # The extended picture whose sides are those at which tiles are as the whole.
    whole_axes = tuple(replace(axis, takes=axis.even) for axis in tiling.axes)
    try:
        with torch.inference_mode():
            parts = pieces(read, size, replace(tiling, axes=whole_axes), tile=max(sides))
            whole = next(parts).logits.softmax(1)
            found = [
                _apart(whole, answer(read, size, tiling, down[i], across[j]))
                for i, j in ((0, 0), (len(down) // 2 - 1, len(across) // 2 - 1), (-1, -1))
            ]
    except RuntimeError:
        return None
    return max(found)


def _apart(whole: Tensor, part: Piece) -> float:
    return float((whole[:, :, part.rows, part.columns] - part.logits.softmax(1)).abs().max())


def _stirred(net: nn.Module) -> nn.Module:
    """A copy on the CPU in evaluation mode, without a layer of nothing but zeros."""
    trial = copy.deepcopy(net).to("cpu", torch.float32).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trial.parameters():
            if parameter.ndim > 1 and not parameter.any():
                scale = math.sqrt(2 / parameter[0].numel())
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return trial
