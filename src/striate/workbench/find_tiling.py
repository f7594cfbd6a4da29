"""How a net's pictures may be divided into tiles: by its receptive field, and by trying.

The field says how far around its own place an answer reads, and that tiles must begin at multiples of the total
stride; sides other than that of the training are tried without numbers, and at last some tiles are compared with the
whole on a random picture.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from striate.errors import StriateError
from striate.measuring.field_cells import Spans
from striate.measuring.fields import Fields, fields
from striate.measuring.inputs import templates
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
        if found is None:
            return Tiling(why="its answer is no map of the picture")
        tiling = _described(module, found)
        if tiling is None:
            return Tiling(why=f"the net takes {'x'.join(map(str, found.shape[1:]))} alone")
        if not tiling.exact:
            return tiling
        off = difference(module, tiling, shape[0])
    except StriateError as error:
        return Tiling(why=str(error))
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
    return tuple(axis.cells.spans if axis else None for axis in seen.axes(value))


@dataclass(frozen=True)
class _Trials:
    """A net run at several sizes of picture."""

    net: nn.Module
    first: _Looked
    known: dict[tuple[int, ...], _Looked | None] = field(
        default_factory=dict[tuple[int, ...], "_Looked | None"]
    )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Height and width that it is known to take."""
        return self.first.shape[1:]

    def at(self, sizes: Sequence[int]) -> _Looked | None:
        """At another height and width; None where it fails or answers by another margin."""
        sides = tuple(sizes)
        if sides == self.sizes:
            return self.first
        if sides not in self.known:
            numbers = self.first.run.device != "meta"
            look = _Looked.at(self.net, (self.first.shape[0], *sides), numbers=numbers)
            self.known[sides] = look if look is None or look.lost == self.first.lost else None
        return self.known[sides]


def _described(net: nn.Module, found: _Looked) -> Tiling | None:
    """The tiling as the layers say; None of a net that takes no other size."""
    trials, steps = _Trials(net, found), found.steps
    takes = _taken(trials, steps)
    if takes is None:
        return None
    even, looks = _even_sides(trials, takes, steps)
    axes: list[Axis] = []
    for i, lost in enumerate(found.lost):
        reach = [_reach(read, lost[0]) for look in looks if (read := look.spans[i])]
        before, after = (max((each[k] for each in reach), default=0) for k in (0, 1))
        axes.append(Axis(steps[i], before, after, lost, takes[i], even[i] if even else takes[i]))
    tile = _tile(trials, axes)
    if even:
        return Tiling(tuple(axes), exact=True, why="", tile=tile)
    why = "its layers do not repeat with its stride: a resizing by no whole factor"
    return Tiling(tuple(axes), why=why if all(found.spans) else _unbounded(found), tile=tile)


def _reach(spans: Spans, lost: int) -> tuple[int, int]:
    """How far before and behind its own place an answer reads, at most."""
    read = [(i + lost, span) for i, span in enumerate(spans.cells) if span]
    before = max((place - span[0] for place, span in read), default=0)
    after = max((span[1] - place for place, span in read), default=0)
    return max(0, before), max(0, after)


def _rests(step: int) -> tuple[int, ...]:
    """Sides modulo a stride at which a net may round differently: the extremes, and the middle."""
    return (0, 1 % step, step // 2, step - 1)


def _taken(trials: _Trials, steps: tuple[int, int]) -> list[Sides] | None:
    """The sides that a net takes, found by trying; None of a net that takes one alone."""
    multiples = (1, 1)
    if not all(map(trials.at, _remainders(trials, steps))):
        multiples = steps
        if not trials.at([n + m for n, m in zip(trials.sizes, steps, strict=True)]):
            return None
    least = _least(trials, multiples, steps)
    triples = zip(multiples, trials.sizes, least, strict=True)
    return [Sides(m, n % m, k) for m, n, k in triples]


def _remainders(trials: _Trials, steps: tuple[int, int]) -> list[list[int]]:
    """Sizes from above the known one, one for each of `_rests`."""
    rests = zip(*map(_rests, steps), strict=True)
    return [
        [n + 1 + (r - n - 1) % m for n, m, r in zip(trials.sizes, steps, rest, strict=True)]
        for rest in rests
    ]


def _even_sides(
    trials: _Trials, takes: list[Sides], steps: tuple[int, int]
) -> tuple[list[Sides] | None, list[_Looked]]:
    """The sides at which a net does the same to each part of a picture, with looks at such; None where there are none.

    All that it takes, else those of the training modulo the stride, else multiples of the stride.
    """
    if takes[0].multiple == 1:
        looks = [trials.at(sizes) for sizes in (trials.sizes, *_remainders(trials, steps))]
        if all(look and _even(look, steps) for look in looks):
            return takes, [look for look in looks if look]
    for rests in ([n % m for n, m in zip(trials.sizes, steps, strict=True)], [0, 0]):
        triples = zip(steps, rests, takes, strict=True)
        even = [Sides(m, r, max(side.least, m)) for m, r, side in triples]
        first = [side.fitting(n) for side, n in zip(even, trials.sizes, strict=True)]
        one, two = trials.at(first), trials.at([n + m for n, m in zip(first, steps, strict=True)])
        if one and two and one.spans == two.spans and _even(one, steps):
            return even, [one]
    return None, [trials.first]


def _even(look: _Looked, steps: tuple[int, int]) -> bool:
    """Whether what is read repeats with the total stride."""
    return all(
        spans is not None and spans.stride == 1 and step % spans.advance == 0
        for spans, step in zip(look.spans, steps, strict=True)
    )


def _least(trials: _Trials, multiples: Sequence[int], steps: tuple[int, int]) -> tuple[int, ...]:
    """The shortest sides that are known to work, tried from a stride upwards."""
    for count in (1, 2, 4, 8):
        sides = [count * m + n % k for m, n, k in zip(steps, trials.sizes, multiples, strict=True)]
        below = all(s < n for s, n in zip(sides, trials.sizes, strict=True))
        if below and trials.at(sides):
            return tuple(sides)
    return trials.sizes


def _tile(trials: _Trials, axes: Sequence[Axis]) -> int:
    """The side of a tile whose maps fit into the memory for them; not less than what is read around it."""
    sides = [a.takes.fitting(max(n, LEAST)) for a, n in zip(axes, trials.sizes, strict=True)]
    look = trials.at(sides) or trials.first
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
