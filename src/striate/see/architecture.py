"""A net as the papers draw it: one box a stage, to scale. C channels, H W pixels.

The net is traced without numbers. A stage is a value that everything passes through: where branches part
and meet again (Inception, residual, highway and dense blocks) the meeting point is a box, with the layers it
stands for, and an arc for each way beside the first. Connections that leap over smaller maps, as in U-Net,
are arcs from box to box.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from torch import Tensor, nn

from striate.errors import ShapeError
from striate.probe import Call, trace
from striate.probe.calls import Trace, Value
from striate.result import Result, text_table
from striate.see import architecture_svg as drawing
from striate.text import times

JOINS = {"add": "add", "cat": "cat", "concat": "cat", "lerp": "gate", "max_unpool2d": "indices"}
MOST = 24  # stages drawn one by one


@dataclass(frozen=True)
class Join:
    """Where ways meet that parted.

    Attributes:
        kind: add, cat (channels one after another), gate (a mixture), or indices (of a pooling).
        ways: values that meet at one point.
        times: how many such points follow one another.
    """

    kind: str
    ways: int
    times: int = 1

    def __str__(self) -> str:
        """Such as "add", "cat of 4" or "add x3"."""
        of = "" if self.ways == 2 or self.kind == "gate" else f" of {self.ways}"
        return self.kind + of + (f" x{self.times}" if self.times > 1 else "")


@dataclass(frozen=True)
class Stage:
    """Maps of one shape.

    Attributes:
        shape: (C, H, W), or (units,).
        label: what made them, such as "conv 3x3 x2" or "9 layers of layer1".
        layers: layers with weights among it.
        skips: indices of earlier stages that are joined here over smaller maps.
        join: how these, or the ways from the stage before, meet here; None in a chain.
    """

    shape: tuple[int, ...]
    label: str
    layers: int
    skips: tuple[int, ...] = ()
    join: Join | None = None


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
            [i, times(stage.shape), stage.layers, stage.label, _joined(stage)]
            for i, stage in enumerate(self.stages)
        ]
        return f"{self.net}\n" + text_table(["stage", "maps", "layers", "made by", "ways"], rows)

    def as_svg(self) -> str:
        """The picture: one file that needs nothing else, in light and dark."""
        return drawing.draw(
            self.net,
            [
                drawing.Box(stage.shape, stage.label, self._arcs(index))
                for index, stage in enumerate(self.stages)
            ],
        )

    def _arcs(self, index: int) -> tuple[drawing.Arc, ...]:
        stage = self.stages[index]
        if stage.skips:
            return tuple(drawing.Arc(i, _carried(self.stages[i], stage)) for i in stage.skips)
        if stage.join is None:
            return ()
        beside = min(stage.join.ways, 5) - 1  # more would be a blot; the words above say how many
        return tuple(
            drawing.Arc(index - 1, str(stage.join) if way == beside else "", way)
            for way in range(1, beside + 1)
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


def _joined(stage: Stage) -> str:
    if stage.join is None:
        return ""
    return str(stage.join) + "".join(f" with stage {i}" for i in stage.skips)


def _kind(stage: Stage) -> str:
    return stage.join.kind if stage.join else ""


def _carried(source: Stage, target: Stage) -> str:
    """What an arc over smaller maps does, as the papers say it."""
    kind = _kind(target)
    cropped = kind != "indices" and source.shape[1:] > target.shape[1:]
    if kind == "cat":
        return "copy and crop" if cropped else "copy"
    return f"crop and {kind}" if cropped else kind


def _stages(run: Trace) -> list[Stage]:
    calls = _needed(run)
    leaps = _leaps(run, calls)
    stages = [Stage(run.inputs[0].shape[1:], "input", 0)]
    where = {value.index: 0 for value in run.inputs}
    segment: list[Call] = []
    joined: set[int] = set()
    for at, (call, is_cut) in enumerate(zip(calls, _cuts(run, calls, leaps), strict=True)):
        segment.append(call)
        crossing = [where[v.index] for v in call.inputs if (v.index, at) in leaps]
        live = sum(v.live for v in call.inputs)
        joined |= set(crossing if live > 1 else ())
        if is_cut and not _is_view(call) and _per_item(run, call):
            _extend(stages, _stage(segment, tuple(sorted(joined))))
            segment, joined = [], set()
        for output in call.outputs:
            where[output.index] = (
                crossing[0] if crossing and live == 1 else len(stages) - (not segment)
            )
    return stages if len(stages) <= MOST else _merged(stages)


def _stage(segment: Sequence[Call], skips: tuple[int, ...]) -> Stage:
    weighted = sum(_is_weighted(call) for call in segment)
    joins = [join for call in segment if (join := _join(call))] if weighted or skips else []
    alike = [join for join in joins if join.kind == joins[-1].kind]
    found = replace(joins[-1], times=len(alike)) if joins else None
    shape = segment[-1].outputs[0].shape[1:]
    return Stage(shape, _label(segment), weighted, skips, found)


def _join(call: Call) -> Join | None:
    kind = JOINS.get(call.op.rstrip("_"))
    ways = len({value.index for value in call.inputs if value.live})
    return Join(kind, ways) if kind and ways > 1 else None


def _both(a: Join | None, b: Join | None) -> Join | None:
    if a is None or b is None:
        return a or b
    return Join(a.kind, max(a.ways, b.ways), a.times + b.times)


def _merged(stages: Sequence[Stage]) -> list[Stage]:
    """Neighbours of one size that both have layers as one stage: a box a block, where every layer has its own.

    What narrows a block, as a transition does, stays outside it.
    """
    found, where = [stages[0]], [0]
    for stage in stages[1:]:
        last, skips = found[-1], tuple(sorted({where[i] for i in stage.skips}))
        grows = stage.shape[0] >= last.shape[0] or not last.label.endswith("layers")
        both = stage.layers and last.layers and stage.shape[1:] == last.shape[1:]
        if both and grows and not skips and _kind(stage) == _kind(last):
            layers = last.layers + stage.layers
            join = _both(last.join, stage.join)
            found[-1] = Stage(stage.shape, f"{layers} layers", layers, last.skips, join)
        else:
            found.append(replace(stage, skips=skips))
        where.append(len(found) - 1)
    return found


def _needed(run: Trace) -> list[Call]:
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
            smaller = between and min(between) < min(_area(value), areas[at])
            if wide and (smaller or not value.dtype.is_floating_point):  # or indices of a pooling
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


def _per_item(run: Trace, call: Call) -> bool:
    """Whether the first axis is still that of the batch."""
    return call.outputs[0].shape[0] == run.inputs[0].shape[0]


def _extend(stages: list[Stage], new: Stage) -> None:
    last = stages[-1]
    block = new.join is not None and new.layers > 0
    begins = new.layers and (last.layers == 0 or last.join is not None)
    if last.shape != new.shape or block or begins:
        stages.append(new)
        return
    layers, skips = last.layers + new.layers, tuple(sorted({*last.skips, *new.skips}))
    label, join = _again(last, new), _both(last.join, new.join)
    stages[-1] = Stage(last.shape, label, layers, skips, join)


def _again(last: Stage, new: Stage) -> str:
    if not new.layers:
        return last.label
    base, total = last.label.partition(" x")[0], last.layers + new.layers
    same = _kernel_of(base) == _kernel_of(new.label.partition(" x")[0])
    return f"{base} x{total}" if same else f"{total} layers"


WEIGHTED = (
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "bmm",
)  # fmt: skip


def _is_weighted(call: Call) -> bool:
    return call.op in WEIGHTED and bool(call.params)


def _kernel_of(words: str) -> str:
    return words.split(" /", maxsplit=1)[0]


def _label(segment: Sequence[Call]) -> str:
    """What made the last value of a segment of calls."""
    weighted = [call for call in segment if _is_weighted(call)]
    if len(weighted) == 1:
        return _named(weighted[0])
    if weighted:
        names = {_kernel_of(_named(call)) for call in weighted}
        return f"{names.pop()} x{len(weighted)}" if len(names) == 1 else f"{len(weighted)} layers"
    pools = [call for call in segment if "pool" in call.op and "unpool" not in call.op]
    if pools:
        return _pooling(pools[-1])
    if any(call.op in ("mean", "sum") and _over_maps(call) for call in segment):
        return "global average"
    first, last = segment[0].inputs, segment[-1].outputs[0]
    if first and first[0].count == last.count:
        return "flatten" if len(last.shape) == 2 else "reshape"
    return re.sub("[123]d$", "", segment[-1].op.rstrip("_")).replace("_", " ")


def _over_maps(call: Call) -> bool:
    before = call.inputs[0].shape
    return len(before) > (2 if call.op == "mean" else 3) and call.outputs[0].count == prod(
        before[:2]
    )


def _named(call: Call) -> str:
    if call.op in ("linear", "bmm"):
        return "linear"
    weight = next(value for value in call.inputs if value.params)
    kind = "up-conv" if "transpose" in call.op else "conv"
    words = f"{kind} {times(weight.shape[2:])}"
    stride = _first(call.arg("stride", 1))
    return f"{words} /{stride}" if stride > 1 and kind == "conv" else words


def _pooling(call: Call) -> str:
    kind = call.op.replace("_with_indices", "").rstrip("0123456789d").replace("_", " ").strip()
    if call.op.startswith("adaptive"):
        return kind.replace("adaptive avg pool", "global average").replace("adaptive ", "global ")
    kernel = _first(call.arg("kernel_size", 0))
    stride = _first(call.arg("stride") or kernel)
    return f"{kind} {kernel}x{kernel} /{stride}"


def _first(value: object) -> int:
    item = value[0] if isinstance(value, Sequence) and value else value
    return item if isinstance(item, int) else 1
