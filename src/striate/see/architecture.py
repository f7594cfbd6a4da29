"""A net as the papers draw it: one box a stage, to scale. C channels, H W pixels.

The net is traced without numbers. A stage is a value that everything passes through: where branches part
and meet again (Inception, residual and dense blocks) only the meeting point is drawn, with the layers it
stands for. Connections that leap over smaller maps, as in U-Net, are drawn as arcs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from torch import Tensor, nn

from striate.errors import ShapeError
from striate.probe import Call, trace
from striate.probe.calls import Trace, Value
from striate.report import Result, text_table
from striate.see import boxes

WEIGHTED = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear")  # fmt: skip


MOST = 20  # stages drawn one by one


@dataclass(frozen=True)
class Stage:
    """Maps of one shape.

    Attributes:
        shape: (C, H, W), or (units,).
        label: what made them, such as "conv 3x3 x2" or "9 layers of layer1".
        layers: layers with weights among it.
        skips: indices of earlier stages that are joined here over smaller maps.
    """

    shape: tuple[int, ...]
    label: str
    layers: int
    skips: tuple[int, ...] = ()


@dataclass(frozen=True)
class Architecture(Result):
    """The stages of a net, from its input to its output."""

    net: str
    stages: tuple[Stage, ...]

    def as_dict(self) -> dict[str, Any]:
        """Net and stages."""
        return {"net": self.net, "stages": [asdict(stage) for stage in self.stages]}

    def as_text(self) -> str:
        """A line a stage."""
        rows = [
            [i, boxes.times(stage.shape), stage.layers, stage.label]
            for i, stage in enumerate(self.stages)
        ]
        return f"{self.net}\n" + text_table(["stage", "maps", "layers", "made by"], rows)

    def as_svg(self) -> str:
        """The picture: one file that needs nothing else, in light and dark."""
        return boxes.draw(
            self.net,
            [boxes.Box(stage.shape, stage.label, stage.skips) for stage in self.stages],
        )

    def _repr_html_(self) -> str:
        return self.as_svg()


def architecture(
    net: nn.Module, inputs: Sequence[Tensor], *, name: str | None = None
) -> Architecture:
    """The stages of a net.

    Args:
        net: any net; it is not touched.
        inputs: one tensor an argument of `forward`, of which only shape and type are used.
        name: what the picture calls it; the class if not given.

    Raises:
        ShapeError: the net cannot take these inputs, or gives no tensor that depends on them.
    """
    run = trace(net, inputs)
    if run.error is not None or not run.outputs:
        raise ShapeError(f"{type(net).__name__} cannot be run on these inputs: {run.error}")
    return Architecture(name or type(net).__name__, tuple(_stages(run)))


def _stages(run: Trace) -> list[Stage]:
    calls = _needed(run)
    leaps = _leaps(run, calls)
    cuts = _cuts(run, calls, leaps)
    stages = [Stage(run.inputs[0].shape[1:], "input", 0)]
    where = {value.index: 0 for value in run.inputs}
    segment: list[Call] = []
    joined: set[int] = set()
    for at, (call, is_cut) in enumerate(zip(calls, cuts, strict=True)):
        segment.append(call)
        joined |= {where[v.index] for v in call.inputs if (v.index, at) in leaps}
        if is_cut and not _is_view(call):
            _extend(stages, call.outputs[0], segment, tuple(sorted(joined)))
            segment, joined = [], set()
        crossing = [where[v.index] for v in call.inputs if (v.index, at) in leaps]
        live = sum(v.live for v in call.inputs)
        for output in call.outputs:
            where[output.index] = (
                crossing[0] if crossing and live == 1 else len(stages) - (not segment)
            )
    return stages if len(stages) <= MOST else _merged(stages)


def _merged(stages: Sequence[Stage]) -> list[Stage]:
    """Neighbours of one size that both have layers as one stage: a box a block, where every layer has its own.

    What narrows a block, as a transition does, stays outside it.
    """
    found, where = [stages[0]], [0]
    for stage in stages[1:]:
        last, skips = found[-1], tuple(sorted({where[i] for i in stage.skips}))
        grows = stage.shape[0] >= last.shape[0] or not last.label.endswith("layers")
        both = stage.layers and last.layers and stage.shape[1:] == last.shape[1:]
        if both and grows and not skips:
            layers = last.layers + stage.layers
            found[-1] = Stage(stage.shape, f"{layers} layers", layers, last.skips)
        else:
            found.append(Stage(stage.shape, stage.label, stage.layers, skips))
        where.append(len(found) - 1)
    return found


def _needed(run: Trace) -> list[Call]:
    """The calls that the answer depends on, in order."""
    wanted = {value.index for value in run.outputs}
    kept: list[Call] = []
    for call in reversed(run.calls):
        if call.live and any(output.index in wanted for output in call.outputs):
            kept.append(call)
            wanted |= {value.index for value in call.inputs if value.live}
    return kept[::-1]


def _area(value: Value) -> int:
    return prod(value.shape[2:])


def _leaps(run: Trace, calls: Sequence[Call]) -> set[tuple[int, int]]:
    """Values, and the calls that join them to others after the maps had become smaller and have grown back.

    What is done to a value on its way across, such as cropping it, belongs to the leap. A product joins
    nothing: it gates.
    """
    born = {value.index: -1 for value in run.inputs}
    across: dict[int, set[tuple[int, int]]] = {}  # the way of a value that left the main path
    areas = [_area(call.outputs[0]) for call in calls]
    found: set[tuple[int, int]] = set()
    read: set[int] = set()
    for at, call in enumerate(calls):
        live = [value for value in call.inputs if value.live and value.index in born]
        born |= {output.index: at for output in call.outputs}
        if len(live) == 1 and (live[0].index in read or live[0].index in across):
            way = across.get(live[0].index, set()) | {(live[0].index, at)}
            across |= {output.index: way for output in call.outputs}
            born |= {output.index: born[live[0].index] for output in call.outputs}
        for value in live if len(live) > 1 and "mul" not in call.op else ():
            between = areas[born[value.index] + 1 : at]
            wide = min(value.shape[2:], default=1) > 1
            if wide and between and min(between) < min(_area(value), areas[at]):
                found |= {(value.index, at)} | across.get(value.index, set())
        read |= {value.index for value in live}
    return found


def _cuts(run: Trace, calls: Sequence[Call], leaps: set[tuple[int, int]]) -> list[bool]:
    """Whether everything that is used later, leaps aside, is what a call just gave."""
    last: dict[int, int] = {}
    for at, call in enumerate(calls):
        last |= {v.index: at for v in call.inputs if (v.index, at) not in leaps}
    cuts: list[bool] = []
    pending = {value.index: last[value.index] for value in run.inputs if value.index in last}
    for at, call in enumerate(calls):
        made = {output.index for output in call.outputs}
        pending |= {index: last[index] for index in made if index in last}
        pending = {index: end for index, end in pending.items() if end > at}
        cuts.append(set(pending) <= made and call.outputs[0].live)
    return cuts


def _is_view(call: Call) -> bool:
    return call.written == 0 and call.outputs[0].shape != call.inputs[0].shape


def _extend(
    stages: list[Stage], value: Value, segment: Sequence[Call], skips: tuple[int, ...]
) -> None:
    """Add a stage, or count its layers to the last one if the maps keep their shape."""
    weighted = [call for call in segment if call.op in WEIGHTED and call.params]
    last = stages[-1]
    if last.shape == value.shape[1:] and not (weighted and last.layers == 0):
        label = _again(last, weighted)
        stages[-1] = Stage(
            last.shape, label, last.layers + len(weighted), tuple(sorted({*last.skips, *skips}))
        )
        return
    stages.append(Stage(value.shape[1:], _label(segment, weighted), len(weighted), skips))


def _again(stage: Stage, weighted: Sequence[Call]) -> str:
    if not weighted:
        return stage.label
    names = {_named(call) for call in weighted}
    base, _, _ = stage.label.partition(" x")
    total = stage.layers + len(weighted)
    if len(names) == 1 and _kernel_of(base) == _kernel_of(next(iter(names))):
        return f"{base} x{total}"
    return f"{total} layers"


def _kernel_of(label: str) -> str:
    return label.split(" /", maxsplit=1)[0]


def _label(segment: Sequence[Call], weighted: Sequence[Call]) -> str:
    if len(weighted) == 1:
        return _named(weighted[0])
    if weighted:
        names = {_kernel_of(_named(call)) for call in weighted}
        return f"{names.pop()} x{len(weighted)}" if len(names) == 1 else f"{len(weighted)} layers"
    pools = [call for call in segment if "pool" in call.op]
    if pools:
        return _pooling(pools[-1])
    if any(call.op in ("mean", "sum") and _over_maps(call) for call in segment):
        return "global average"
    first, last = segment[0].inputs, segment[-1].outputs[0]
    if first and first[0].count == last.count:
        return "flatten" if len(last.shape) == 2 else "reshape"
    return segment[-1].op.rstrip("_").replace("_", " ")


def _over_maps(call: Call) -> bool:
    """Whether a reduction leaves one number a map."""
    before = call.inputs[0].shape
    return len(before) > (2 if call.op == "mean" else 3) and call.outputs[0].count == prod(
        before[:2]
    )


def _named(call: Call) -> str:
    if call.op == "linear":
        return "linear"
    weight = next(value for value in call.inputs if value.params)
    kind = "up-conv" if "transpose" in call.op else "conv"
    words = f"{kind} {boxes.times(weight.shape[2:])}"
    stride = _first(call.arg("stride", 3, 1))
    return f"{words} /{stride}" if stride > 1 and kind == "conv" else words


def _pooling(call: Call) -> str:
    kind = call.op.replace("_with_indices", "").rstrip("0123456789d").replace("_", " ").strip()
    if call.op.startswith("adaptive"):
        return kind.replace("adaptive avg pool", "global average").replace("adaptive ", "global ")
    kernel = _first(call.arg("kernel_size", 1, 0))
    stride = _first(call.arg("stride", 2) or kernel)
    return f"{kind} {kernel}x{kernel} /{stride}"


def _first(value: object) -> int:
    item = value[0] if isinstance(value, Sequence) and value else value
    return item if isinstance(item, int) else 1
