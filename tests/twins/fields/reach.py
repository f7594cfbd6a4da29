"""Which pixels can reach one value, exactly: by gradients through a copy of the net's structure.

The copy has one channel, weights of one, sums for pooling, and nothing where activations and
normalisation stand, so nothing cancels and a gradient above zero means that a path leads there. Gradients are
set back to one at every step, so that none under- or overflows however deep the net. It shares no
rule with `fields`: it runs PyTorch's own functions with the arguments of the net.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError, nearest
from striate.measuring.inputs import Given, templates
from striate.measuring.shape_errors import failure
from striate.probe import Call, Trace, Value, settled, trace
from striate.result import Result
from twins.fields.broadcast import Broadcast
from twins.fields.calls import run_call


@dataclass(frozen=True)
class Reach(Result):
    """The pixels that can reach one value.

    Attributes:
        layer: the module that gave the value; "" is the net itself.
        at: its place in the map, one number an axis.
        box: first and last pixel, both included, one pair an axis of the picture; None if it reads none.
        mask: true where a pixel can reach it, [*space] of the picture.
    """

    layer: str
    at: tuple[int, ...]
    box: tuple[tuple[int, int], ...] | None
    mask: Bool[Tensor, "*space"] = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, object]:
        """Without the mask, of which `pixels` says how many it holds."""
        return {
            "layer": self.layer,
            "at": list(self.at),
            "box": self.box and [list(ends) for ends in self.box],
            "pixels": int(self.mask.sum()),
        }

    def as_text(self) -> str:
        """One line."""
        where = f"{self.layer or 'the net'} at {','.join(map(str, self.at)) or 'its one place'}"
        if self.box is None:
            return f"{where} reads no pixel"
        ends = " x ".join(f"{low}..{high}" for low, high in self.box)
        return f"{where} reads {int(self.mask.sum()):,} pixels within {ends}"


def reach(
    net: nn.Module,
    shape: Given | None = None,
    layer: str = "",
    at: Sequence[int] | None = None,
) -> Reach:
    """The pixels of the input that can reach one value of a layer; the net is not changed.

    Args:
        net: any module.
        shape: as in `measure`. The picture is the first input with axes of space.
        layer: path of a module; its last call counts. "" is the net.
        at: place in the map, one number an axis after the channels; its centre if not given.

    Raises:
        ArgumentError: no such layer, a place outside the map, or a function whose structure is not known.
        ShapeError: a layer that does not fit what it gets.
    """
    fed = templates(net, shape)
    net = settled(net, fed)
    run = trace(net, fed)
    problem = failure(net, run)
    if problem and (isinstance(problem, ShapeError) or not layer):  # else a layer that ran may do
        raise problem from run.error
    value = _output(net, run, layer)
    space = value.shape[2:]
    place = tuple(n // 2 for n in space) if at is None else tuple(at)
    if len(place) != len(space) or any(not 0 <= i < n for i, n in zip(place, space, strict=True)):
        raise ArgumentError(
            f"at={place}: {layer or 'the net'} gives maps of {'x'.join(map(str, space)) or '1'}; "
            f"give {len(space)} numbers from 0 on"
        )
    mask = Copy(run).reached(value, place)
    return Reach(layer, place, box(mask), mask)


def box(mask: Bool[Tensor, "*space"]) -> tuple[tuple[int, int], ...] | None:
    """First and last true cell along each axis; None if there is none."""
    cells = mask.nonzero()
    if not len(cells):
        return None
    low, high = cells.amin(0).tolist(), cells.amax(0).tolist()
    return tuple(zip(low, high, strict=True))


def _output(net: nn.Module, run: Trace, layer: str) -> Value:
    """What a layer gave last: the output of the last call made in it or below it."""
    paths = [path for path, _ in net.named_modules(remove_duplicate=False)]
    if layer not in paths:
        raise ArgumentError(
            f"the net has no layer {layer!r}; {nearest(layer, filter(None, paths))}"
        )
    if not layer:
        return run.outputs[0]
    inside = [c for c in run.calls if c.path == layer or c.path.startswith(layer + ".")]
    if not inside:
        raise ArgumentError(f"{layer} computes nothing in this run; choose a layer of the sheet")
    return inside[-1].outputs[0]


class Copy:
    """The structure of a run: one channel, nothing but sums, alive for gradients."""

    def __init__(self, run: Trace) -> None:
        self._picture = next((v for v in run.inputs if len(v.shape) > 2), None)
        if self._picture is None:
            raise ArgumentError(
                "the net reads no picture: no input has axes after items and channels"
            )
        self._calls = run.calls

    def reached(self, value: Value, at: Sequence[int] | None) -> Bool[Tensor, "*space"]:
        """The pixels that reach the value at a place, or at any place."""
        assert self._picture is not None
        picture = torch.zeros(1, 1, *self._picture.shape[2:], requires_grad=True)
        made = {self._picture.index: Broadcast(picture, self._picture.shape)}
        for call in self._needed(value):
            self._make(call, made)
        if value.index not in made:
            return torch.zeros(self._picture.shape[2:], dtype=torch.bool)
        data = made[value.index].data
        seed = torch.zeros_like(data)
        if at is None:
            seed.fill_(1)
        else:
            here = tuple(min(i, n - 1) for i, n in zip(at, data.shape[2:], strict=True))
            seed[(slice(None), slice(None), *here)] = 1
        (gradient,) = torch.autograd.grad(data, picture, seed)
        return gradient[0, 0] > 0

    def _needed(self, value: Value) -> list[Call]:
        wanted, needed = {value.index}, list[Call]()
        for call in reversed(self._calls):
            if any(out.index in wanted for out in call.outputs):
                wanted.update(v.index for v in call.inputs)
                needed.append(call)
        return needed[::-1]

    def _make(self, call: Call, made: dict[int, Broadcast]) -> None:
        if not any(v.index in made for v in call.inputs):
            return
        for value, data in zip(call.outputs, run_call(call, made), strict=True):
            if data.requires_grad:
                # A step that changes nothing hands the same tensor on; clamped twice is clamped once.
                data.register_hook(_clamped)
            made[value.index] = Broadcast(data, value.shape)


def _clamped(gradient: Tensor | None) -> Tensor | None:
    """One where a path leads on; None is a piece of a split tensor that nobody reads."""
    return None if gradient is None else (gradient > 0).to(gradient.dtype)
