"""What a cell of a layer reads of the input, and which channels fire in a region of it (screen 6).

The box and the cone follow from the net's structure (`measuring.fields`), strengths are gradients on the input that is
shown (`measuring.effective_field`). An axis is one of the input's space: y, x of a picture, time of a sound.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from striate.measuring.effective_field import effective
from striate.measuring.fields import Field as Reads
from striate.measuring.fields import Fields, fields
from striate.probe import Trace, Value
from striate.studio import saliency_maps
from striate.studio.graph import NetGraph
from striate.studio.map_routes import traced
from striate.studio.number import value_of
from striate.studio.routes import Answer, Refusal, Request, Route
from striate.studio.session import Session, layer_parts
from striate.studio.wire import (
    ConeLayer,
    Field,
    FiringUnit,
    Region,
    array_answer,
    json_answer,
)

STEPS = 12  # layers of a cone, at most
UNITS = 48  # channels that are named for a region
CONED = ("input", "conv", "up", "pool", "join")


# ------------------------------------------------------------------------------------------- field and cone


def field_of(run: Trace, value: Value, layer: str, at: Sequence[int]) -> Field:
    """What one cell of a value reads of the input.

    Args:
        run: a trace of the net.
        value: what the layer gave.
        layer: its id, which the answer repeats.
        at: the cell, a number an axis of its space; nothing for a vector.
    """
    found = fields(run)
    space = list(found.picture.shape[2:]) if found.picture else []
    if len(at) != max(0, len(value.shape) - 2):
        raise Refusal(400, f"{layer} has {max(0, len(value.shape) - 2)} axes of space, got {len(at)} numbers", "at")  # fmt: skip
    outside = any(not 0 <= i < n for i, n in zip(at, value.shape[2:], strict=True))
    if outside:
        raise Refusal(400, f"at={list(at)}: {layer} has cells {list(value.shape[2:])}", "at")
    box = _box(found, value, at)
    reads = found.of(value)
    why = "" if reads else "unbounded" if value.index not in found.state.unsure else "unknown"
    ends = _theoretical(reads, at) if reads and len(at) == len(space) else None
    clipped = ends is not None and any(
        low < 0 or high >= n for (low, high), n in zip(ends, space, strict=True)
    )
    return Field(
        layer,
        list(value.shape[2:]),
        list(at),
        space,
        box,
        reads and list(reads.size),
        reads and [float(step) for step in reads.stride],
        ends,
        clipped,
        why,
    )


def _theoretical(reads: Reads, at: Sequence[int]) -> list[list[int]]:
    """First and last place an axis, those in the padding too."""
    found: list[list[int]] = []
    for start, step, size, i in zip(reads.start, reads.stride, reads.size, at, strict=True):
        first = round(start + step * i)
        found.append([first, first + size - 1])
    return found


def _box(found: Fields, value: Value, at: Sequence[int]) -> list[list[int] | None]:
    axes = len(found.picture.shape) - 2 if found.picture else 0
    places = [*at, *[0] * axes][:axes]
    return [span and list(span) for span in found.box(value, places)]


def cone_of(run: Trace, graph: NetGraph, value: Value, at: Sequence[int]) -> list[ConeLayer]:
    """The layers between the input and a cell, and which of their cells it reads; the input first.

    Args:
        run: a trace of the net.
        graph: of that trace.
        value: what the cell's layer gave.
        at: the cell.
    """
    maker = {v.index: i for i, v in enumerate(run.inputs)}
    maker |= {v.index: graph.places[f"#{i}"] for i, call in enumerate(run.calls) if f"#{i}" in graph.places for v in call.outputs}  # fmt: skip
    here = maker[value.index]
    before = sorted(_ancestors(graph, here))
    wanted = [i for i in before if graph.nodes[i].kind in CONED and len(graph.nodes[i].shape) > 1]
    steps = [*_spread(wanted, STEPS - 1), here] if len(graph.nodes[here].shape) > 1 else _spread(wanted, STEPS)  # fmt: skip
    found: list[ConeLayer] = []
    for i in steps:
        node = graph.nodes[i]
        made = value if i == here else run.inputs[i] if node.call < 0 else run.calls[node.call].outputs[0]  # fmt: skip
        box = [[n, n] for n in at] if i == here else _box(fields(run, made), value, at)
        found.append(
            ConeLayer(node.id, node.layer, node.label, node.path, list(made.shape[2:]), [*box])
        )
    return found


def _ancestors(graph: NetGraph, here: int) -> set[int]:
    reads: dict[int, list[int]] = {}
    for source, target, _ in graph.edges:
        reads.setdefault(target, []).append(source)
    found: set[int] = set()
    waiting = [here]
    while waiting:
        for source in reads.get(waiting.pop(), ()):
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def _spread(values: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


# ------------------------------------------------------------------------------------------- region


def firing(
    maps: Tensor, reads: Reads | None, space: Sequence[int], region: Sequence[Sequence[int]]
) -> tuple[list[list[int]], int, list[FiringUnit]]:
    """How many channels of maps [C, *cells] have a larger mean in a region than outside, and the first of them.

    Args:
        maps: what a layer gave.
        reads: the field of its cells; None: cells are taken to be spread evenly.
        space: places of the input.
        region: first and last place an axis.
    """
    cells = [
        _cells(reads, axis, n, whole, ends)
        for axis, (n, whole, ends) in enumerate(zip(maps.shape[1:], space, region, strict=True))
    ]
    inside = torch.zeros(maps.shape[1:], dtype=torch.bool)
    inside[tuple(slice(first, last + 1) for first, last in cells)] = True
    values = maps.float().flatten(1)
    mask = inside.flatten()
    within = values[:, mask].mean(1)
    outside = values[:, ~mask].mean(1) if not bool(mask.all()) else torch.zeros_like(within)
    score = (within - outside) / values.std(1, correction=0).clamp_min(1e-12)
    score = torch.where(score.isfinite(), score, -torch.inf)
    larger = int((score > 0).sum())
    order = score.argsort(descending=True, stable=True)[: min(UNITS, larger)].tolist()
    units = [FiringUnit(c, float(within[c]), float(outside[c]), float(score[c])) for c in order]
    return cells, larger, units


def _cells(reads: Reads | None, axis: int, n: int, whole: int, ends: Sequence[int]) -> list[int]:
    """First and last cell whose middle lies in the region, or the one nearest to it."""
    if reads is None:
        middles = (np.arange(n) + 0.5) * whole / n - 0.5
    else:
        middles = reads.start[axis] + np.arange(n) * float(reads.stride[axis]) + (reads.size[axis] - 1) / 2  # fmt: skip
    within = np.flatnonzero((middles >= ends[0]) & (middles <= ends[1]))
    if within.size:
        return [int(within[0]), int(within[-1])]
    nearest = int(np.abs(middles - (ends[0] + ends[1]) / 2).argmin())
    return [nearest, nearest]


# ------------------------------------------------------------------------------------------- handlers


def _value(run: Trace, graph: NetGraph, layer: str) -> Value:
    """What a layer gave, in the trace: "#N" counts the calls of a run with numbers, of which there may be more or fewer."""
    node = next((each for each in graph.nodes if each.layer == layer), None)
    if node is None:
        if layer.startswith("#"):
            raise Refusal(404, f"the map has no call {layer[:20]}", "layer")
        return value_of(run, layer)
    if node.call < 0:
        return run.inputs[graph.places[node.id]]  # the first nodes are the inputs
    given = run.calls[node.call].outputs
    return next((value for value in given if value.dtype.is_floating_point), given[0])


def _at(request: Request) -> list[int]:
    return [request.whole(name) for name in ("z", "y", "x") if request.has(name)]


def field(session: Session, request: Request) -> Answer:
    """GET api/run/RUN/field?layer=&y=&x=: what one cell reads."""
    run, graph = traced(session, session.run(request.params["run"]).open)
    layer = request.text("layer")
    return json_answer(field_of(run, _value(run, graph, layer), layer, _at(request)), fixed=True)


def cone(session: Session, request: Request) -> Answer:
    """GET api/run/RUN/cone?layer=&y=&x=: the same through the layers before it."""
    run, graph = traced(session, session.run(request.params["run"]).open)
    layer, at = request.text("layer"), _at(request)
    value = _value(run, graph, layer)
    field_of(run, value, layer, at)  # refuses a cell that there is not
    return json_answer({"layers": cone_of(run, graph, value, at)}, fixed=True)


def strengths(session: Session, request: Request) -> Answer:
    """GET api/run/RUN/effective?layer=&y=&x=: how strongly each place of the input moves one cell."""
    one = session.run(request.params["run"])
    layer, at = request.text("layer"), _at(request)
    if layer.startswith("#"):
        raise Refusal(400, "an effective field is of a module's output; choose a layer with a name", "layer")  # fmt: skip
    path, call = layer_parts(layer)

    def work() -> Answer:
        found = effective(one.open.net, one.x, path, at or None, call=call)
        meta = {"layer": layer, "at": list(found.at), "centre": found.centre, "width": found.width}
        return array_answer({"map": found.map.float().numpy()}, meta)

    return session.on_model(work, request.view and f"effective {request.view}")


def units(session: Session, request: Request) -> Answer:
    """GET api/run/RUN/units?layer=&y0=&y1=&x0=&x1=: the channels that fire in a region of the input."""
    one = session.run(request.params["run"])
    run, graph = traced(session, one.open)
    layer = request.text("layer")
    given = session.output(one, layer)
    space = list(one.x.shape[2:])
    if not space:
        raise Refusal(400, "the input is a vector: it has no regions", "layer")
    if given.ndim != one.x.ndim:
        raise Refusal(400, f"{layer} gives no maps; choose a layer before it", "layer")
    maps = given[0]
    region = [
        sorted(min(n - 1, max(0, request.whole(f"{axis}{end}"))) for end in (0, 1))
        for axis, n in zip(("z", "y", "x")[-len(space) :], space, strict=True)
    ]
    cells, larger, found = firing(maps, fields(run).of(_value(run, graph, layer)), space, region)
    return json_answer(Region(layer, cells, maps.shape[0], larger, found), fixed=True)


JOBS = {"looking": saliency_maps.job}
ROUTES = [
    Route("GET", "api/run/{run}/field", field),
    Route("GET", "api/run/{run}/cone", cone),
    Route("GET", "api/run/{run}/effective", strengths),
    Route("GET", "api/run/{run}/units", units),
    Route("GET", "api/run/{run}/looking", saliency_maps.looking),
    Route("GET", "api/looking/methods", saliency_maps.methods),
]
