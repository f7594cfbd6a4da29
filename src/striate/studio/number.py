"""One number of a run: what it was made of, in the form that the page reads, and where each term stands.

The arithmetic is `striate.measuring.explain`'s; here it is put on the wire. A place is named by its layer: "PATH@CALL" is
what a module gave, "#N" what the N-th call gave (an addition in a forward, say), "#N.K" its K-th output, "#input" the
input of the net.
"""

import math
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from torch import float32

from striate.measuring.explain import Explanation, explained, misplaced
from striate.measuring.operations.arguments import setting
from striate.measuring.operations.number_terms import Arithmetic, Place, Term, total
from striate.measuring.operations.windows import before_of
from striate.probe import Call, Recording, Trace, Value
from striate.studio import formulas
from striate.studio.routes import Answer, Refusal, Request, Route, whole
from striate.studio.wire import (
    Number,
    NumberPlace,
    NumberStage,
    NumberTerm,
    array_answer,
    json_answer,
)

if TYPE_CHECKING:
    from striate.studio.session import Session

SHOWN = 64  # terms in the first answer; all of them on request
ROUNDINGS = 16  # the bound of a sum in unit roundoffs; the worst of 4,240 draws over 53 convolutions was 2.8
HELD = 4  # numbers of a run that stay in memory, for its further answers
MARKS = ("", "padding", "gap", "taken")
AXES = {1: ("c",), 2: ("c", "x"), 3: ("c", "y", "x"), 4: ("c", "z", "y", "x")}
SUMS = frozenset({*formulas.SUMS, "addition"})
ADDING = SUMS | {"average", "maximum", "moved", "multiplication", "batch normalisation"}

# Without a way back to the recording, so that it goes when nobody else holds it.
_done: "WeakKeyDictionary[Recording, OrderedDict[Place, Arithmetic]]" = WeakKeyDictionary()
_lock = threading.Lock()  # requests come on many threads
_layers: "WeakKeyDictionary[Recording, dict[int, str]]" = WeakKeyDictionary()


# Names of places.


def value_of(recording: Recording | Trace, layer: str) -> Value:
    """The tensor that a layer id names.

    Raises:
        Refusal: there is none (404).
    """
    if found := re.fullmatch(r"#input(\d{0,4})", layer, re.ASCII):
        given: Sequence[Value] = recording.inputs
        at = int(found[1] or 0)
    elif found := re.fullmatch(r"#(\d{1,6})(?:\.(\d{1,4}))?", layer, re.ASCII):
        calls = recording.calls
        given = calls[int(found[1])].outputs if int(found[1]) < len(calls) else ()
        at = int(found[2] or 0)
    else:
        path, at_sign, call = layer.rpartition("@")
        numbered = at_sign and re.fullmatch(r"\d{1,6}", call, re.ASCII)
        runs = recording.returned.get(path, ()) if numbered else ()
        given, at = runs[int(call)] if runs and int(call) < len(runs) else (), 0
    if at >= len(given):
        raise Refusal(404, f"the net has no layer {layer[:80]!r} that ran", "layer")
    return given[at]


def layer_of(recording: Recording, value: Value) -> str:
    """The layer id of a tensor; "" for weights and constants."""
    if recording not in _layers:
        _layers[recording] = _named(recording)
    return _layers[recording].get(value.index, "")


def _named(recording: Recording) -> dict[int, str]:
    names: dict[int, str] = {}
    for i, value in enumerate(recording.inputs):
        names[value.index] = f"#input{i or ''}"
    for path, runs in recording.returned.items():  # inner modules return first
        for call, values in enumerate(runs):
            if values:
                names.setdefault(values[0].index, f"{path}@{call}")
    for i, call in enumerate(recording.calls):
        for k, value in enumerate(call.outputs):
            if value.live:
                names.setdefault(value.index, f"#{i}" if k == 0 else f"#{i}.{k}")
    return names


def title_of(recording: Recording, value: Value) -> str:
    """A tensor in words that need no language: the path of its module, or that of the caller and the function."""
    if value in recording.inputs:
        return "input"
    maker = recording.maker(value)
    if maker is None:
        return value.params[0] if value.params else "constant"
    call = recording.calls[maker]
    path = layer_of(recording, value).rpartition("@")[0]
    # A module may hand on what another made, as an identity does; then the name is that of the maker.
    return path if path and path == call.path else f"{call.path} {call.op}".strip()


# One number on the wire.


def number_of(recording: Recording, place: Place) -> Number:
    """One number and its largest terms.

    Raises:
        Refusal: it is a number of the input, which nothing was made of (400).
    """
    told = _explained(recording, place)
    done, call = told.done, recording.calls[recording.maker(place.value) or 0]
    main = told.main
    order = sorted(range(len(done.terms)), key=lambda i: (i != main, -_rank(done.terms[i]), i))
    window = _window(recording, call, told)
    shown = [
        _term(recording, i, done.terms[i], window.get("source")) for i in sorted(order[:SHOWN])
    ]
    guaranteed, bound = done.bound, _bound(told)
    formula, symbols = formulas.of(call, told)
    return Number(
        layer=layer_of(recording, place.value),
        name=title_of(recording, place.value),
        op=told.op,
        kind=done.kind,
        at=list(told.at),
        item=place.at[0] if place.at else 0,
        shape=list(told.shape),
        dtype=told.dtype,
        value=told.value,
        sum64=done.exact,
        difference=told.difference,
        constant=_constant(told),
        adds=done.kind in ADDING,
        facts=dict(done.facts),
        total=len(done.terms),
        terms=shown,
        others=total(done.terms[i].product for i in order[SHOWN:]),
        pad_terms=sum(term.mark == "padding" for term in done.terms),
        gap_terms=sum(term.mark == "gap" for term in done.terms),
        channel_sums=_channel_sums(done.terms) if math.prod(done.kernel) > 1 else [],
        kernel=list(done.kernel),
        dilation=list(done.dilation),
        formula=formula,
        symbols=symbols,
        after=[_stage(recording, each) for each in told.following()],
        rule=done.rule,
        bound=bound,
        guaranteed=guaranteed,
        within=_within(told, bound),
        main=main,
        **window,
    )


def _rank(term: Term) -> float:
    """Terms in the order of their weight: what a maximum took first, what is not a number before all."""
    if math.isnan(term.product) or term.mark == "taken":
        return math.inf
    return abs(term.product)


def _explained(recording: Recording, place: Place) -> Explanation:
    """An explanation, its arithmetic kept for the further answers about the same number."""
    with _lock:
        known = _done.setdefault(recording, OrderedDict()).get(place)
    told = explained(recording, place, known)
    if told is None:
        layer = layer_of(recording, place.value)
        raise Refusal(
            400, f"{layer or 'a constant'} was given to the net: it is made of nothing", "layer"
        )
    with _lock:
        held = _done[recording]
        held[place] = told.done
        held.move_to_end(place)
        while len(held) > HELD:
            held.popitem(last=False)
    return told


def _term(recording: Recording, index: int, term: Term, common: NumberPlace | None) -> NumberTerm:
    source, by = term.source, term.by
    layer = layer_of(recording, source.value) if source else ""
    factor = layer_of(recording, by.value) if by else ""
    name = title_of(recording, source.value) if source else ""
    shared = common is not None and common.layer == layer
    return NumberTerm(
        index=index,
        a=term.input,
        w=term.factor,
        p=term.product,
        mark=term.mark or None,
        tap=list(term.tap) or None,
        ci=term.channel,
        layer=None if shared else layer or None,
        at=list(source.at[1:]) if source and layer else None,
        item=source.at[0] if source and layer and source.at and source.at[0] else None,
        name=None if shared else name or None,
        by=factor or None,
        by_at=list(by.at[1:]) if by and factor else None,
    )


def _stage(recording: Recording, told: Explanation) -> NumberStage:
    value = told.place.value
    formula, symbols = formulas.of(recording.calls[recording.maker(value) or 0], told)
    return NumberStage(
        layer=layer_of(recording, value),
        name=title_of(recording, value),
        op=told.op,
        kind=told.done.kind,
        value=told.value,
        sum64=told.done.exact,
        formula=formula,
        symbols=symbols,
        within=_within(told, told.done.bound),
    )


# Sums and bounds.


def _constant(told: Explanation) -> float:
    """What is added beside the terms: a bias, the shift of a normalisation."""
    facts = told.done.facts
    if told.done.kind == "batch normalisation":
        return facts["bias"] - facts["mean"] * told.done.terms[0].factor
    return facts.get("bias", 0.0)


def _bound(told: Explanation) -> float | None:
    if told.done.kind not in SUMS:
        return told.done.bound
    sizes = total(abs(term.product) for term in told.done.terms) + abs(_constant(told))
    return ROUNDINGS * formulas.unit(told.dtype) * sizes


def _within(told: Explanation, bound: float | None) -> bool | None:
    """Whether rounding explains the difference; None if nobody knows, or there is no finite number to compare."""
    if bound is None or not math.isfinite(told.value):
        return None
    return told.difference <= bound


def _channel_sums(terms: Sequence[Term]) -> list[float]:
    found: dict[int | None, list[float]] = {}
    for term in terms:
        found.setdefault(term.channel, []).append(term.product)
    return [float(f"{total(each):.9g}") for each in found.values()]  # nine digits: a float32


# The window.


def _window(recording: Recording, call: Call, told: Explanation) -> dict[str, Any]:
    """Where the terms were read, and for a window its settings and the cells that it covers."""
    done = told.done
    source = next((term.source for term in done.terms if term.source), None)
    found: dict[str, Any] = {}
    if source is not None and (layer := layer_of(recording, source.value)):
        name = title_of(recording, source.value)
        found["source"] = NumberPlace(layer, name, list(source.value.shape[1:]))
    if not done.kernel:
        return found
    shape, axes = call.inputs[0].shape, len(done.kernel)
    read = [term.channel for term in done.terms if term.channel is not None]
    pooled, convolved = call.arg("kernel_size") is not None, "convolution" in done.kind
    transposed = done.kind == "transposed convolution"
    if read and len(shape) > axes:
        found["channels"] = [min(read), max(read) + 1, shape[-axes - 1]]
    if pooled or convolved:
        stride, sides = call.arg("stride"), done.kernel if pooled else (1,) * axes
        found["stride"] = [setting(stride, a, side) for a, side in enumerate(sides)]
        found["padding"] = [before_of(call, a) for a in range(axes)]
    if convolved:
        found["groups"] = setting(call.arg("groups"), 0)
    return found | {"transposed": transposed, "window": _covered(done, spread=transposed)}


def _covered(done: Arithmetic, *, spread: bool) -> list[list[int | None]]:
    """The input cell of each cell of the kernel, an axis; beyond the edge too, unless inputs are spread out."""
    axes = len(done.kernel)
    cells: list[list[int | None]] = [[None] * side for side in done.kernel]
    for term in done.terms[: math.prod(done.kernel)]:
        if term.source:
            for axis, tap in enumerate(term.tap):
                cells[axis][tap] = term.source.at[axis - axes]
    if spread:
        return cells
    for line, step in zip(cells, done.dilation, strict=True):
        known = next(((k, cell) for k, cell in enumerate(line) if cell is not None), None)
        if known:
            line[:] = [known[1] + (k - known[0]) * step for k in range(len(line))]
    return cells


# Answers.


def _place(recording: Recording, request: Request) -> Place:
    """The place that a request names: layer, and c, z, y, x as far as its output has them, or at=1,2,3; item=0."""
    value = value_of(recording, request.text("layer"))
    sides = value.shape
    if request.has("at"):
        texts = request.text("at").split(",")
        at = [whole(text, "at") for text in texts if text]
    else:
        at = [request.whole(name) for name in AXES.get(len(sides) - 1, ())]
    full = (request.whole("item", 0), *at) if sides else ()
    if len(full) != len(sides) or not all(0 <= i < n for i, n in zip(full, sides, strict=True)):
        raise Refusal(
            400, misplaced(sides, at, full[0] if full else 0, request.text("layer")), "at"
        )
    return Place(value, full)


def number(session: "Session", request: Request) -> Answer:
    """GET api/run/RUN/number?layer=&c=&y=&x= : one number and its largest terms."""
    recording = session.recording(request.params["run"])
    return json_answer(number_of(recording, _place(recording, request)), fixed=True)


def terms(session: "Session", request: Request) -> Answer:
    """GET api/run/RUN/terms?... : all terms, a row each, in the order of the channels and of the cells of the kernel.

    a w f64[n]; mark u8[n] (see MARKS in the meta); channel i32[n], -1 for none; at i32[n, axes], -1 for none; source i32[n]:
    which of the layers in the meta.
    """
    recording = session.recording(request.params["run"])
    told = _explained(recording, _place(recording, request))
    done = told.done
    layers = list(dict.fromkeys(_source(recording, term) for term in done.terms))
    rank = max((len(term.source.at) - 1 for term in done.terms if term.source), default=0)
    arrays = {
        "a": np.array([term.input for term in done.terms], np.float64),
        "w": np.array([term.factor for term in done.terms], np.float64),
        "mark": np.array([MARKS.index(term.mark) for term in done.terms], np.uint8),
        "channel": np.array([-1 if t.channel is None else t.channel for t in done.terms], np.int32),
        "at": np.array([_cells(term, rank) for term in done.terms], np.int32).reshape(
            len(done.terms), rank
        ),
        "source": np.array([layers.index(_source(recording, t)) for t in done.terms], np.int32),
    }
    return array_answer(arrays, {"kernel": done.kernel, "layers": layers, "marks": MARKS})


def _source(recording: Recording, term: Term) -> str:
    return layer_of(recording, term.source.value) if term.source else ""


def _cells(term: Term, rank: int) -> list[int]:
    found = list(term.source.at[1:]) if term.source else []
    return found + [-1] * (rank - len(found))


def plane(session: "Session", request: Request) -> Answer:
    """GET api/run/RUN/plane?layer=&c= : the map f32[H, W] (series: [1, T]) that numbers of a channel stand in.

    Of a volume the slice z; of a vector the whole of it as one row.
    """
    recording = session.recording(request.params["run"])
    value = value_of(recording, request.text("layer"))
    whole_map = recording.numbers[value.index]
    lead = [
        request.whole("item", 0),
        *(request.whole(n, 0) for n in ("c", "z")[: max(0, len(value.shape) - 3)]),
    ]
    lead = lead if len(value.shape) != 3 else [lead[0], request.whole("c", 0)]
    for i, n in zip(lead, value.shape, strict=False):
        if not 0 <= i < n:
            raise Refusal(400, f"{request.text('layer')} gives {list(value.shape)}: no {lead}", "c")
    found = whole_map[tuple(lead[: max(0, len(value.shape) - 1)])]
    array = np.atleast_2d(found.detach().to(dtype=float32).numpy())
    return array_answer(
        {"map": array}, {"layer": request.text("layer"), "shape": list(value.shape[1:])}
    )


ROUTES = [
    Route("GET", "api/run/{run}/number", number),
    Route("GET", "api/run/{run}/terms", terms),
    Route("GET", "api/run/{run}/plane", plane),
]
