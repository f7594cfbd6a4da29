"""The shapes of all answers: a dataclass for each JSON object, and arrays in the safetensors layout.

`page/wire.d.ts` is made of these classes by `declarations`; a test fails when it is older than they are.
A number that JSON has no word for goes as the text "NaN", "Infinity" or "-Infinity": unknown is never zero.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from striate.studio.routes import Answer

if TYPE_CHECKING:
    import numpy as np


def plain(value: object) -> Any:
    """A dataclass, or anything made of them, as values that strict JSON takes; fields that are None are left out."""
    if isinstance(value, float):
        return value if math.isfinite(value) else _no_number(value)
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in fields(value))
        return {name.rstrip("_"): plain(each) for name, each in pairs if each is not None}
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


def _no_number(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def as_json(value: object) -> bytes:
    """Strict JSON in UTF-8."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False).encode()


def json_answer(value: object, *, fixed: bool = False) -> Answer:
    """A dataclass of this file, or plain values, as an answer."""
    return Answer(as_json(value), "application/json; charset=utf-8", fixed=fixed)


def packed(arrays: Mapping[str, "np.ndarray"], meta: Mapping[str, object]) -> bytes:
    """Arrays in the safetensors layout; `meta` stands as JSON under "meta" in its `__metadata__`."""
    import numpy as np
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(whole, {"meta": as_json(meta).decode()})


def array_answer(
    arrays: Mapping[str, "np.ndarray"], meta: Mapping[str, object], *, fixed: bool = True
) -> Answer:
    """Arrays as an answer; the browser may keep it unless `fixed` is off."""
    return Answer(packed(arrays, meta), "application/octet-stream", fixed=fixed)


# ------------------------------------------------------------------------------------------- the map (graph.py, looking.py)


@dataclass(frozen=True)
class MapNode:
    """One call of a net: `layer` is its id for maps and numbers, `passing` that it hands on what it reads."""

    id: str
    op: str
    kind: str
    label: str
    path: str
    call: int
    layer: str
    shape: list[int]
    params: int
    macs: int | None
    passing: bool
    opaque: bool
    used: bool


@dataclass(frozen=True)
class MapGroup:
    """Calls below one module: `children` are ids of nodes and groups; `repeat` groups that are alike, if more than one."""

    id: str
    path: str
    label: str
    name: str
    layer: str
    shape: list[int]
    children: list[str]
    calls: int
    params: int
    macs: int | None
    repeat: int


@dataclass(frozen=True)
class MapBox:
    """A box of the drawing, in pixels."""

    id: str
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class MapLine:
    """A line from box to box by their places; `edges` it stands for, and the corners it goes through."""

    from_: int
    to: int
    edges: int
    points: list[list[float]]


@dataclass(frozen=True)
class MapLayout:
    """Where the boxes stand while some groups are open; `listed` where they are too many to be drawn."""

    w: float
    h: float
    open: list[str]
    boxes: list[MapBox]
    lines: list[MapLine]
    listed: bool


@dataclass(frozen=True)
class Graph:
    """The map of a net; edges are [from, to, port] by the places of nodes."""

    net: str
    nodes: list[MapNode]
    edges: list[list[int]]
    groups: list[MapGroup]
    root: list[str]
    layout: MapLayout
    note: str


# One number.


@dataclass(frozen=True)
class NumberTerm:
    """One number that went in: `index` among all terms; `a` read, `w` its factor, `p` their product.

    `at` is where it stands, without the item; absent for padding, gaps, weights and plain numbers, from which no step
    leads back. `layer` and `name` are absent where they are those of the number's `source`. `by`, `by_at`: where the factor
    stands, if it depends on the input too.
    """

    index: int
    a: float
    w: float
    p: float
    mark: str | None = None
    tap: list[int] | None = None
    ci: int | None = None
    layer: str | None = None
    at: list[int] | None = None
    item: int | None = None
    name: str | None = None
    by: str | None = None
    by_at: list[int] | None = None


@dataclass(frozen=True)
class NumberStage:
    """What the next normalisation or activation makes of the number; `symbols`: what stands for each {name} of `formula`."""

    layer: str
    name: str
    op: str
    kind: str
    value: float
    sum64: float
    formula: str
    symbols: dict[str, float]
    within: bool | None = None


@dataclass(frozen=True)
class NumberPlace:
    """A map that a number stands in or is read from: its layer, size without the items, and the channel of the number."""

    layer: str
    name: str
    shape: list[int]


@dataclass(frozen=True)
class Number:
    """One number of a run: what PyTorch gave, the same in float64, the terms.

    `terms` holds the largest, `others` the sum of the rest; where `adds`, terms, others and `constant` make up `sum64`.
    `bound` is 16 unit roundoffs times the sum of all magnitudes for sums, else what is known of the function;
    `guaranteed` what no order of adding can exceed. `window`: the input cells that the window covers, an axis (null: a gap).
    `channels`: first, end and count of the input channels that are read. `main`: index of the term that is followed back.
    """

    layer: str
    name: str
    op: str
    kind: str
    at: list[int]
    item: int
    shape: list[int]
    dtype: str
    value: float
    sum64: float
    difference: float
    constant: float
    adds: bool
    facts: dict[str, float]
    total: int
    terms: list[NumberTerm]
    others: float
    pad_terms: int
    gap_terms: int
    channel_sums: list[float]
    kernel: list[int]
    dilation: list[int]
    formula: str
    symbols: dict[str, float]
    after: list[NumberStage]
    rule: str
    bound: float | None = None
    guaranteed: float | None = None
    within: bool | None = None
    main: int | None = None
    stride: list[int] | None = None
    padding: list[int] | None = None
    groups: int | None = None
    transposed: bool | None = None
    channels: list[int] | None = None
    window: list[list[int | None]] | None = None
    source: NumberPlace | None = None


@dataclass(frozen=True)
class FanEdge:
    """A map that a unit reads: its layer and channel, and its share of all that the unit was given."""

    layer: str
    c: int
    share: float


@dataclass(frozen=True)
class Fan:
    """What one channel of a layer was made of; `more` and `rest` are how many other maps and their share together.

    `rule`: "products" (a share is that of the mean size of weight times input), "parts" (of values that are added or
    joined), "same" (one map, channel by channel), "unknown".
    """

    layer: str
    c: int
    op: str
    rule: str
    edges: list[FanEdge]
    more: int
    rest: float
    bias: float | None


# ---------------------------------------------------------------------------------- nets and inputs


@dataclass(frozen=True)
class NetItem:
    """A net that can be opened; of what is None nothing is known before it is."""

    id: str
    name: str
    kind: str
    """catalogue, run or given"""
    title: str
    task: str | None = None
    input: list[int] | None = None
    params: int | None = None
    macs: int | None = None
    note: str | None = None
    open: bool = False


@dataclass(frozen=True)
class NetList:
    """Of GET api/nets."""

    items: list[NetItem]


@dataclass(frozen=True)
class SessionInfo:
    """Of GET api/session: what every request that changes something needs, and what is open."""

    token: str
    version: str
    open: list[str]
    data: bool
    lang: str


@dataclass(frozen=True)
class Layer:
    """One call of a layer, or of a function in a forward. `shape` is without the batch axis, `shown` counts its channels."""

    id: str
    path: str
    call: int
    op: str
    shape: list[int]
    kind: str
    """maps, series, vector or volume"""
    params: int
    shown: int
    kernel: list[int] | None = None
    stride: list[int] | None = None
    kernels: bool = False
    """whether net/ID/kernels gives its weights"""


@dataclass(frozen=True)
class InputInfo:
    """What a net reads. `channels` are those that the page draws and edits: 1 grey, 3 colour; 0 where it is no picture."""

    kind: str
    """image, audio, series, volume or array"""
    shape: list[int]
    channels: int


@dataclass(frozen=True)
class Step:
    """One step of the preprocessing: its name, a sentence, its numbers, and where a picture after it lies."""

    name: str
    text: str
    params: dict[str, float]
    preview: str | None = None


@dataclass(frozen=True)
class RunInput:
    """An input as it was given and prepared."""

    kind: str
    shape: list[int]
    steps: list[Step]
    unit: str
    """of the values that are edited: levels of 0 to 255 of the picture, or values as the net reads them"""


@dataclass(frozen=True)
class Class:
    """One of the answers; `p` is None where it is no probability, or share of the places."""

    index: int
    class_: str
    logit: float
    p: float | None = None


@dataclass(frozen=True)
class Run:
    """What a net said of one input."""

    run_id: str
    net: str
    input: RunInput
    top: list[Class]
    answer: str
    """classes, labels, places, values or none"""
    ms: float
    item: int | None = None
    truth: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class NetCard:
    """All that the page shows of an open net."""

    id: str
    name: str
    kind: str
    input: InputInfo
    classes: list[str]
    params: int
    sentences: list[str]
    layers: list[Layer]
    example: Run
    items: int
    """of the data; 0 without"""
    task: str | None = None
    macs: int | None = None


@dataclass(frozen=True)
class Item:
    """One item of the data."""

    index: int
    name: str
    thumb: str
    label: str | None = None


@dataclass(frozen=True)
class ItemList:
    """Of GET api/net/ID/items."""

    total: int
    items: list[Item]


@dataclass(frozen=True)
class Ranges:
    """Of GET api/run/RUN/ranges: least and greatest finite value of each layer of the card."""

    layers: list[str]
    lo: list[float]
    hi: list[float]


@dataclass(frozen=True)
class Field:
    """What one cell of a layer reads of the input, an axis each: `box` the places that it really reads, first and last.

    `size`, `stride` and `theoretical` count padding as places; they are left out where the field has no bound or could
    not be followed, and `why` says which.
    """

    layer: str
    cells: list[int]
    at: list[int]
    space: list[int]
    box: list[list[int] | None]
    size: list[int] | None
    stride: list[float] | None
    theoretical: list[list[int]] | None
    clipped: bool
    why: str


@dataclass(frozen=True)
class ConeLayer:
    """An earlier layer that a cell depends on, and of its cells those that the cell reads, first and last an axis."""

    node: str
    layer: str
    label: str
    path: str
    cells: list[int]
    box: list[list[int] | None]


@dataclass(frozen=True)
class FiringUnit:
    """A channel by its mean within a region and outside of it; `score` is their difference in standard deviations."""

    c: int
    inside: float
    outside: float
    score: float


@dataclass(frozen=True)
class Region:
    """The channels that fire in a region of the input, the first of `larger`, and the cells of the layer taken for it."""

    layer: str
    cells: list[list[int]]
    total: int
    larger: int
    units: list[FiringUnit]


@dataclass(frozen=True)
class SaliencyMethod:
    """A method by its name: the unit of its values, whether it is made at a layer, whether it is long and so a job."""

    name: str
    unit: str
    at_layer: bool
    number: str
    usual: int
    long: bool
