"""The data beside a net: items that a layer takes for alike, patches that excite a channel, mistakes, and a plane of items.

All of it reads one index of a layer; see `layer_index`. N items, C channels, H W pixels, K answers.
"""

import time
from collections import OrderedDict
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.measuring.fields import fields
from striate.probe import trace
from striate.see.pictures.neighbours import nearest
from striate.studio.layer_index import (
    INDEXES,
    NO_DATA,
    Index,
    indexing,
    items_of,
    layer_of,
    place_of,
)
from striate.studio.routes import Answer, Refusal, Request, Route
from striate.studio.session import OpenNet, Session
from striate.studio.wire import array_answer, json_answer

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
SIDE = 64  # pixels of a picture
POINTS = 1000  # of the plane


def _index(session: Session, net: str, layer: str) -> Index:
    found = INDEXES.get(session.net(net), OrderedDict[str, Index]()).get(layer)
    if found is None:
        raise Refusal(409, f"{layer} has no index yet: start the job index", "index")
    return found


def near(index: Index, asked: F32, count: int) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The items nearest to features [C]: facts, the nearest first, and their pictures [n, H, W, 3].

    Distances are Euclidean, of the means over places.
    """
    begun = time.perf_counter()
    order, far = nearest(asked[None], index.features, count)
    taken = time.perf_counter() - begun
    rows = [{**_facts(index, int(i)), "d": float(d)} for i, d in zip(order[0], far[0], strict=True)]
    facts = {
        "layer": index.layer,
        "metric": "euclidean",
        "n": len(index.features),
        "of": len(index.items),
        "dim": index.features.shape[1],
        "split": index.items.split,
        "ms": taken * 1000,
        "items": rows,
    }
    return facts, stacked(index.items.pictures(order[0]))


def _facts(index: Index, i: int) -> dict[str, Any]:
    """What is told of an item."""
    items = index.items
    told = items.facts(i)
    if index.answers is None:
        return told
    answer, share = index.answers
    return told | {"pred": items.classes[int(answer[i])], "p": float(share[i])}


def stacked(pictures: Sequence[NDArray[np.uint8]], side: int = SIDE) -> NDArray[np.uint8]:
    """Pictures in one array [n, H, W, 3]: reduced to at most `side` pixels, the smaller ones in the middle of black."""
    from PIL import Image

    small: list[NDArray[np.uint8]] = []
    for each in pictures:
        image = Image.fromarray(each if each.shape[-1] == 3 else each[..., :1].repeat(3, axis=-1))
        if max(image.size) > side:
            image.thumbnail((side, side))
        small.append(np.asarray(image))
    height, width = (max((each.shape[a] for each in small), default=1) for a in (0, 1))
    found = np.zeros((len(small), height, width, 3), np.uint8)
    for out, each in zip(found, small, strict=True):
        top, left = (height - each.shape[0]) // 2, (width - each.shape[1]) // 2
        out[top : top + each.shape[0], left : left + each.shape[1]] = each
    return found


def patches(
    opened: OpenNet, index: Index, channel: int
) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The patches that excite a channel most, no two of one item: facts and pictures [n, H, W, 3].

    A patch is what the value can depend on, its receptive field; the whole picture where that is not known.

    Raises:
        Refusal: no such channel.
    """
    count = len(index.values)
    if not 0 <= channel < count:
        raise Refusal(400, f"c={channel}: there are channels 0 to {count - 1}", "c")
    owners = index.owners[channel]
    pictures = index.items.pictures(owners)
    boxes = _boxes(opened, index, channel)
    cut: list[NDArray[np.uint8]] = []
    rows: list[dict[str, Any]] = []
    for k, (picture, box) in enumerate(zip(pictures, boxes, strict=True)):
        whole = (0, picture.shape[0] - 1, 0, picture.shape[1] - 1)
        y0, y1, x0, x1 = box or whole
        cut.append(picture[y0 : y1 + 1, x0 : x1 + 1])
        rows.append(
            {
                **_facts(index, int(owners[k])),
                "value": float(index.values[channel, k]),
                "at": _at(int(index.places[channel, k]), index.size),
                "box": [y0, y1, x0, x1],
                "whole": box is None,
            }
        )
    facts = {"layer": index.layer, "c": channel, "split": index.items.split, "items": rows}
    return facts | {"n": len(index.features), "of": len(index.items)}, stacked(cut, 128)


def _at(place: int, size: tuple[int, ...]) -> list[int]:
    """A place in a map as a number an axis."""
    return [int(i) for i in np.unravel_index(place, size or (1,))]


def _boxes(opened: OpenNet, index: Index, channel: int) -> list[tuple[int, int, int, int] | None]:
    """First and last row and column that each strongest value of a channel reads; None where that is not known."""
    owners, places = index.owners[channel], index.places[channel]
    none: list[tuple[int, int, int, int] | None] = [None] * len(owners)
    if len(index.size) != 2:
        return none
    x = index.items.read(0, 1)
    path, call = place_of(index.layer)
    followed = trace(opened.net, [x])
    given = followed.returned.get(path, ())
    if x.ndim != 4 or call >= len(given) or not given[call]:
        return none
    reads, value = fields(followed), given[call][0]
    found: list[tuple[int, int, int, int] | None] = []
    for place in places.tolist():
        ends = reads.box(value, divmod(place, index.size[1])) if reads.picture else ()
        known = [end for end in ends if end is not None]
        if len(known) != 2:
            found.append(None)
            continue
        (y0, y1), (x0, x1) = known
        box = max(0, y0), min(x.shape[2] - 1, y1), max(0, x0), min(x.shape[3] - 1, x1)
        found.append(box if box[0] <= box[1] and box[2] <= box[3] else None)
    return found


def mistakes(index: Index, order: str, count: int) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Items whose answer is wrong, the surest first, and the pairs of classes that were confused most.

    Args:
        index: of any layer.
        order: "sure" has the most confident errors first, "pairs" those of the most frequent confusion.
        count: items at most.

    Raises:
        Refusal: answers or items without one class each.
    """
    items = index.items
    if index.answers is None or items.labels is None:
        raise Refusal(409, "mistakes are of items with one class each", "net")
    answer, share = index.answers
    truth = items.labels[: len(answer)]
    wrong = np.flatnonzero(answer != truth)
    pairs: dict[tuple[int, int], int] = {}
    for i in wrong.tolist():
        key = int(truth[i]), int(answer[i])
        pairs[key] = pairs.get(key, 0) + 1
    often = sorted(pairs.items(), key=lambda each: -each[1])
    rank = {key: place for place, (key, _) in enumerate(often)}
    if order == "pairs":
        wrong = np.array(
            sorted(wrong, key=lambda i: (rank[int(truth[i]), int(answer[i])], -share[i])), np.int64
        )
    else:
        wrong = wrong[np.argsort(-share[wrong], kind="stable")]
    shown = wrong[:count]
    facts = {
        "split": items.split,
        "n": len(answer),
        "wrong": len(wrong),
        "pairs": [
            {"truth": items.classes[t], "answer": items.classes[a], "count": n}
            for (t, a), n in often[:12]
        ],
        "items": [_facts(index, int(i)) for i in shown],
    }
    return facts, stacked(items.pictures(shown))


def scatter(index: Index, method: str) -> dict[str, NDArray[Any]]:
    """Items as points of a plane: `points` [n, 2], the number of each in the split, its label and answer, or -1.

    Args:
        index: of the layer by which they are placed.
        method: "pca", principal components; "tsne", van der Maaten and Hinton 2008.
    """
    if method not in ("pca", "tsne"):
        raise Refusal(400, f"method={method[:20]}: expected pca or tsne", "method")
    if len(index.features) < 5:
        raise Refusal(409, f"{len(index.features)} items: expected at least 5", "net")
    if method not in index.plane:
        index.plane[method] = _plane(index.features, method)
    points, which, kept = index.plane[method]
    none = np.full(len(which), -1, np.int32)
    labels, answer = index.items.labels, index.answers
    return {
        "points": points,
        "items": index.items.numbers[which].astype(np.int32),
        "labels": none if labels is None else labels[which].astype(np.int32),
        "answers": none if answer is None else answer[0][which].astype(np.int32),
        "kept": np.array([kept], np.float32),
    }


def _plane(features: F32, method: str) -> tuple[F32, I64, float]:
    """Points, their items, and the share of the variance that they keep (nan of t-SNE)."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    which = np.arange(len(features))
    if len(which) > POINTS:
        which = np.sort(np.random.default_rng(0).choice(which, POINTS, replace=False))
    x = features[which].astype(np.float64)
    model = PCA(min(50, *x.shape), random_state=0)
    low = model.fit_transform(x)
    if method == "pca":
        pair = low[:, :2] if low.shape[1] > 1 else np.pad(low, ((0, 0), (0, 1)))
        total = float(x.var(0, ddof=1).sum())
        kept = float(pair.var(0, ddof=1).sum()) / total if total else float("nan")
        return pair.astype(np.float32), which, kept
    plane = TSNE(perplexity=min(30.0, (len(x) - 1) / 3), random_state=0, init="pca")
    return plane.fit_transform(low).astype(np.float32), which, float("nan")


def _near(session: Session, request: Request) -> Answer:
    one = session.run(request.params["run"])
    layer, count = request.text("layer"), request.whole("k", 12)
    if not 1 <= count <= 48:
        raise Refusal(400, f"k={count}: expected 1 to 48", "k")
    index = _index(session, one.open.id, layer)

    def work() -> F32:
        given, _ = layer_of(one.open, one.x, *place_of(layer))
        return (given.flatten(2).mean(2) if given.ndim > 2 else given)[0].numpy()

    asked = session.on_model(work, view=request.view and f"near {request.view}")
    facts, thumbs = near(index, asked, count)
    return array_answer({"thumbs": thumbs}, facts, fixed=False)


def _patches(session: Session, request: Request) -> Answer:
    net = request.params["net"]
    index = _index(session, net, request.text("layer"))
    facts, thumbs = patches(session.net(net), index, request.whole("c"))
    return array_answer({"patches": thumbs}, facts, fixed=False)


def _mistakes(session: Session, request: Request) -> Answer:
    index = _index(session, request.params["net"], request.text("layer"))
    count = min(96, max(1, request.whole("count", 24)))
    facts, thumbs = mistakes(index, request.text("order", "sure"), count)
    return array_answer({"thumbs": thumbs}, facts, fixed=False)


def _scatter(session: Session, request: Request) -> Answer:
    index = _index(session, request.params["net"], request.text("layer"))
    method = request.text("method", "pca")
    arrays = scatter(index, method)
    kept = float(arrays.pop("kept")[0])
    facts = {
        "layer": index.layer,
        "method": method,
        "kept": None if np.isnan(kept) else kept,
        "n": len(arrays["points"]),
        "of": len(index.features),
        "classes": list(index.items.classes),
        "split": index.items.split,
    }
    return array_answer(arrays, facts, fixed=False)


def _state(session: Session, request: Request) -> Answer:
    """Whether a layer has an index; of how many items it is or would be."""
    opened, layer = session.net(request.params["net"]), request.text("layer")
    place_of(layer)
    index = INDEXES.get(opened, OrderedDict[str, Index]()).get(layer)
    if opened.items is None:
        return json_answer({"ready": False, "items": 0, "why": NO_DATA})
    return json_answer({"ready": index is not None, "items": len(opened.items), "why": ""})


def _job(session: Session, body: dict[str, Any]) -> Generator[tuple[str, object], None, None]:
    net, layer = body.get("net"), body.get("layer")
    if not isinstance(net, str) or not isinstance(layer, str):
        raise Refusal(400, "index: expected net and layer", "net")
    opened = session.net(net)
    place_of(layer)
    items_of(opened)
    return indexing(opened, layer)


JOBS = {"index": _job}

ROUTES = [
    Route("GET", "api/run/{run}/near", _near),
    Route("GET", "api/net/{net}/index", _state),
    Route("GET", "api/net/{net}/patches", _patches),
    Route("GET", "api/net/{net}/mistakes", _mistakes),
    Route("GET", "api/net/{net}/scatter", _scatter),
]
