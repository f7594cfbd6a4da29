"""What screen 3 asks for: the graph of a net, its drawing while some groups are open, the fan of one channel."""

from collections import OrderedDict
from weakref import WeakKeyDictionary

import torch

from striate.probe import Recording, Value
from striate.studio.fan_out import fan
from striate.studio.graph import NetGraph, net_graph
from striate.studio.map_layout import layout
from striate.studio.routes import Answer, Refusal, Request, Route
from striate.studio.session import OpenNet, Session
from striate.studio.wire import Graph, MapLayout, json_answer

LAYOUTS = 64  # that are held of a net
STEP = 40.0  # pixels to which the width of a page is rounded down, so that few layouts serve all
WIDEST = 6000
GRAPHS: WeakKeyDictionary[OpenNet, NetGraph] = WeakKeyDictionary()
DRAWN: WeakKeyDictionary[OpenNet, OrderedDict[object, MapLayout]] = WeakKeyDictionary()


def graph_of_net(session: Session, open_: OpenNet) -> NetGraph:
    """The graph of an open net, made once."""
    if open_ not in GRAPHS:
        shape = [1, *open_.card.input.shape]
        kind = next((p.dtype for p in open_.net.parameters()), torch.float32)
        like = torch.empty(shape, dtype=kind, device="meta")
        GRAPHS[open_] = session.on_model(lambda: GRAPHS.get(open_) or net_graph(open_.net, like))
    return GRAPHS[open_]


def drawing(open_: OpenNet, graph: NetGraph, request: Request) -> MapLayout:
    """The layout that a request asks for: `open` holds ids of groups, those open at first if there is none."""
    asked = request.text("open", "") if request.has("open") else None
    opened = graph.opened() if asked is None else frozenset(filter(None, asked.split(",")))
    unknown = next((each for each in sorted(opened) if each not in graph.groups), None)
    if unknown is not None:
        raise Refusal(400, f"open={unknown[:40]}: the map has no such group", "open")
    width = min(WIDEST, max(240, request.whole("width", 1200))) // STEP * STEP
    held = DRAWN.setdefault(open_, OrderedDict())
    key = (opened, width)
    if key not in held:
        held[key] = layout(graph, opened, width)
        while len(held) > LAYOUTS:
            held.popitem(last=False)
    return held[key]


def graph(session: Session, request: Request) -> Answer:
    """GET api/net/ID/graph?open=&width=: all nodes, edges and groups, and a drawing."""
    open_ = session.net(request.params["net"])
    found = graph_of_net(session, open_)
    return json_answer(
        Graph(
            open_.id,
            list(found.nodes),
            [list(edge) for edge in found.edges],
            list(found.groups.values()),
            list(found.root),
            drawing(open_, found, request),
            found.note,
        )
    )


def redrawn(session: Session, request: Request) -> Answer:
    """GET api/net/ID/graph/layout?open=&width=: the drawing alone."""
    open_ = session.net(request.params["net"])
    return json_answer(drawing(open_, graph_of_net(session, open_), request))


def fanned(session: Session, request: Request) -> Answer:
    """GET api/run/RUN/fan?layer=&c=: what one channel is made of."""
    layer, c = request.text("layer"), request.whole("c")

    def work() -> Answer:
        recording = session.recording(request.params["run"])
        return json_answer(fan(recording, value_of(recording, layer), layer, c), fixed=True)

    return session.on_model(work, request.view and f"fan {request.view}")


def value_of(recording: Recording, layer: str) -> Value:
    """What a layer gave: PATH@CALL, or #N for the N-th call of the net."""
    if layer.startswith("#") and layer[1:].isdecimal():
        at = int(layer[1:])
        if at < len(recording.calls) and recording.calls[at].outputs:
            return recording.calls[at].outputs[0]
    path, _, call = layer.rpartition("@")
    given = recording.returned.get(path, ()) if call.isdecimal() else ()
    if given and int(call) < len(given) and given[int(call)]:
        return given[int(call)][0]
    raise Refusal(404, f"layer={layer[:80]}: the net gave nothing under that name", "layer")


ROUTES = [
    Route("GET", "api/net/{net}/graph", graph),
    Route("GET", "api/net/{net}/graph/layout", redrawn),
    Route("GET", "api/run/{run}/fan", fanned),
]
