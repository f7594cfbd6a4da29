"""What screen 3 asks for: the graph of a net, its drawing while some groups are open, the fan of one channel."""

from collections import OrderedDict
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from striate.probe import Call, Trace, record, trace
from striate.studio.fan_out import fan
from striate.studio.graph import NetGraph, counted, graph_of, kinds_of, numbered
from striate.studio.map_layout import layout
from striate.studio.number import value_of
from striate.studio.routes import Answer, Refusal, Request, Route
from striate.studio.session import OpenNet, Session
from striate.studio.wire import Graph, MapLayout, json_answer

LAYOUTS = 64  # that are held of a net
STEP = 40.0  # pixels to which the width of a page is rounded down, so that few layouts serve all
WIDEST = 6000
GRAPHS: WeakKeyDictionary[OpenNet, tuple[Trace, NetGraph]] = WeakKeyDictionary()
DRAWN: WeakKeyDictionary[OpenNet, OrderedDict[object, MapLayout]] = WeakKeyDictionary()


def traced(session: Session, open_: OpenNet) -> tuple[Trace, NetGraph]:
    """The trace of an open net and its graph, made once."""
    if open_ not in GRAPHS:
        calls = _calls(session, open_)
        GRAPHS[open_] = session.on_model(lambda: GRAPHS.get(open_) or _traced(open_, calls))
    return GRAPHS[open_]


def _traced(open_: OpenNet, calls: Sequence[Call]) -> tuple[Trace, NetGraph]:
    run = trace(open_.net, [_like(open_, "meta")])
    found = graph_of(run, counted(open_.net), kinds_of(open_.net))
    return run, numbered(found, run, calls)


def _calls(session: Session, open_: OpenNet) -> Sequence[Call]:
    """The calls of a run with numbers: of its example, whose maps are wanted next, or of zeros if that is not held."""
    try:
        return session.recording(open_.card.example.run_id).calls
    except Refusal:
        pass
    try:
        return session.on_model(lambda: record(open_.net, [_like(open_, "cpu")], shared=True).calls)
    except Exception:  # noqa: BLE001 - whatever a net raises on zeros: then only modules have maps
        return ()


def _like(open_: OpenNet, device: str) -> Tensor:
    kind = next((p.dtype for p in open_.net.parameters() if p.is_floating_point()), torch.float32)
    return torch.zeros([1, *open_.card.input.shape], dtype=kind, device=device)


def drawing(session: Session, open_: OpenNet, graph: NetGraph, request: Request) -> MapLayout:
    """The layout that a request asks for: `open` holds ids of groups, those open at first if there is none."""
    asked = request.text("open", "") if request.has("open") else None
    opened = graph.opened() if asked is None else frozenset(filter(None, asked.split(",")))
    unknown = next((each for each in sorted(opened) if each not in graph.groups), None)
    if unknown is not None:
        raise Refusal(400, f"open={unknown[:40]}: the map has no such group", "open")
    width = min(WIDEST, max(240, request.whole("width", 1200))) // STEP * STEP
    key = (opened, width)
    found = DRAWN.get(open_, {}).get(key) or layout(graph, opened, width)
    with session.lock:
        held = DRAWN.setdefault(open_, OrderedDict())
        held[key] = found
        while len(held) > LAYOUTS:
            held.popitem(last=False)
    return found


def graph(session: Session, request: Request) -> Answer:
    """GET api/net/ID/graph?open=&width=: all nodes, edges and groups, and a drawing."""
    open_ = session.net(request.params["net"])
    found = traced(session, open_)[1]
    return json_answer(
        Graph(
            open_.id,
            list(found.nodes),
            [list(edge) for edge in found.edges],
            list(found.groups.values()),
            list(found.root),
            drawing(session, open_, found, request),
            found.note,
        )
    )


def redrawn(session: Session, request: Request) -> Answer:
    """GET api/net/ID/graph/layout?open=&width=: the drawing alone."""
    open_ = session.net(request.params["net"])
    return json_answer(drawing(session, open_, traced(session, open_)[1], request))


def fanned(session: Session, request: Request) -> Answer:
    """GET api/run/RUN/fan?layer=&c=: what one channel is made of."""
    layer, c = request.text("layer"), request.whole("c")
    recording = session.recording(request.params["run"])
    _, found = traced(session, session.run(request.params["run"]).open)

    def work() -> Answer:
        value = value_of(recording, layer)
        return json_answer(fan(recording, value, layer, c, found.recorded), fixed=True)

    return session.on_model(work, request.view and f"fan {request.view}")


ROUTES = [
    Route("GET", "api/net/{net}/graph", graph),
    Route("GET", "api/net/{net}/graph/layout", redrawn),
    Route("GET", "api/run/{run}/fan", fanned),
]
