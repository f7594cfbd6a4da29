"""What a net says of an input that the page gives it, and the items of the data that it may be given."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import ShapeError
from striate.inputs import Pictures
from striate.studio import wire
from striate.studio.given import Given, edited, from_body, from_item, in_levels
from striate.studio.items import TensorItems, picture_of, plane, png, thumb
from striate.studio.routes import Answer, Refusal, Request, Route, whole
from striate.studio.session import OpenNet, Pass, Session
from striate.tasks import TASKS, named
from striate.tasks.explained import numbers_of, probabilities

MOST_ITEMS = 200  # of one answer
TOP = 10
KINDS = {"picture": "image", "sound": "audio", "window": "series"}


def run(session: Session, opened: OpenNet, given: Given) -> Pass:
    """Let a net read an input, on the model thread; the same input again is not computed again."""
    one = passed(opened, given)
    with session.lock:
        held = session.passes.get(one.id)
    if held is not None:
        held.answer = replace(held.answer, item=given.item, truth=given.truth)
        session.hold(held)
        return held
    start = time.perf_counter()
    said = session.outputs(one).answer
    seconds = time.perf_counter() - start
    one.answer = _told(one, given, said, seconds)
    session.hold(one)
    return one


def passed(opened: OpenNet, given: Given) -> Pass:
    """An input as the net reads it, before it does."""
    x = torch.from_numpy(np.array(given.stored))[None]
    x = x.float() if given.raw else opened.pre.normalise(x).float()
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    digest = blake2b(opened.weights.encode(), digest_size=12)
    digest.update(repr((opened.id, tuple(x.shape))).encode())
    digest.update(x.contiguous().numpy().tobytes())
    shown = plane(x[0].numpy()) if given.raw else picture_of(given.stored, opened.pre)
    previews = [thumb(picture, 384) for picture in given.previews]
    previews.append(plane(x[0].numpy()))
    return Pass(digest.hexdigest(), opened, x, given.stored, shown, previews, given.raw)


def _told(one: Pass, given: Given, said: object, seconds: float) -> wire.Run:
    opened = one.open
    steps = [*given.steps, _scaling(opened, given)]
    shown = [replace(s, preview=f"api/run/{one.id}/step/{i}.png") for i, s in enumerate(steps)]
    kind = KINDS.get(opened.pre.modality, opened.pre.modality)
    answer, top = answers(opened, said)
    return wire.Run(
        one.id,
        opened.id,
        wire.RunInput(kind, list(one.x.shape[1:]), shown, "levels" if in_levels(one) else "values"),
        top,
        answer,
        round(seconds * 1000, 2),
        given.item,
        given.truth,
        given.note,
    )


def _scaling(opened: OpenNet, given: Given) -> wire.Step:
    if given.raw:
        return wire.Step("scale", "values are read as they are", {})
    return wire.Step("scale", scaling_words(opened), {})


def scaling_words(opened: OpenNet) -> str:
    """How values are scaled, in words."""
    pre = opened.pre
    mean, std = (tuple(dict.fromkeys(f"{v:.4g}" for v in each)) for each in (pre.mean, pre.std))
    if isinstance(pre, Pictures) and set(pre.mean) == {0.0} and set(pre.std) == {255.0}:
        return "values of 0 to 255 become 0 to 1"
    if len(mean) > 4:
        return (
            f"the mean of each of {len(pre.mean)} bands is subtracted, and divided by its deviation"
        )
    return f"minus the mean {', '.join(mean)}, divided by the deviation {', '.join(std)}, channel by channel"


def answers(opened: OpenNet, said: object) -> tuple[str, list[wire.Class]]:
    """What a net said: what kind of answer it is, and the leading ones."""
    task = None if opened.run is None else opened.run.task
    try:
        values = numbers_of(said, 1) if task is None else task.explained(said, 1)
    except ShapeError:
        return "none", []
    values = values.detach().float()
    if task is None:
        if not _scores_classes(opened.task) or values.ndim not in (2, 4):
            return "none", []
        kind = "classes" if values.ndim == 2 else "places"
        shares = probabilities(values)[0] if values.ndim == 2 and values.shape[1] > 1 else None
    elif values.ndim > 2:
        kind, shares = "places", None
    else:
        kind, shares = _shares(task, said, values)
    if kind == "places":
        return kind, _of_places(values, opened.classes)
    flat = values.flatten()
    order = flat if shares is None else shares
    ranked = range(len(flat)) if kind == "values" else order.argsort(descending=True).tolist()
    top = [
        wire.Class(
            i, name_of(opened, i), float(flat[i]), None if shares is None else float(shares[i])
        )
        for i in list(ranked)[:TOP]
    ]
    return kind, top


def _scores_classes(task: str) -> bool:
    """Whether a net made for a task answers with a score a class, of an input or of each place; so if nobody knows."""
    return not task or (task in TASKS and not {"label", "mask"}.isdisjoint(named(task).kinds))


def _shares(task: Any, said: object, values: Tensor) -> tuple[str, Tensor | None]:
    """Probabilities, where the task's answers have such, as its own arithmetic makes them."""
    if not task.classes or not task.has_mean:
        return "values", None
    shares = task.to_mean(said)[0].detach().float().flatten()
    if len(shares) != values[0].numel():
        return "values", None
    return ("classes" if abs(float(shares.sum()) - 1) < 1e-3 else "labels"), shares


def _of_places(values: Tensor, classes: Sequence[str]) -> list[wire.Class]:
    """Of maps [1, K, ...] the mean score of each class, and the share of the places where it is the likeliest."""
    maps = values[0].flatten(1)
    if len(maps) == 1:
        share = (maps > 0).float().mean(1)
    else:
        share = torch.bincount(maps.argmax(0), minlength=len(maps)) / maps.shape[1]
    name = dict(enumerate(classes))
    order = share.argsort(descending=True).tolist()[:TOP]
    return [
        wire.Class(i, name.get(i, f"class {i}"), float(maps[i].mean()), float(share[i]))
        for i in order
    ]


def name_of(opened: OpenNet, index: int) -> str:
    """The name of an output, or its number."""
    known = opened.classes
    return known[index] if index < len(known) else f"class {index}"


# ------------------------------------------------------------------------------------------ handlers


def _let(session: Session, request: Request, given: Callable[[], Given], opened: OpenNet) -> Answer:
    """Compute on the model thread; a later input of the same view takes the place of one that waits."""
    view = request.view and f"input {request.view}"
    found: Pass = session.on_model(lambda: run(session, opened, given()), view=view)
    return wire.json_answer(found.answer)


def _input(session: Session, request: Request) -> Answer:
    opened = session.net(request.params["net"])
    return _let(session, request, lambda: from_body(opened, request), opened)


def _item(session: Session, request: Request) -> Answer:
    opened = session.net(request.params["net"])
    index = whole(request.json().get("index"), "index")
    return _let(session, request, lambda: from_item(opened, index), opened)


def _edit(session: Session, request: Request) -> Answer:
    opened, body = session.net(request.params["net"]), request.json()
    one = session.run(str(body.get("run_id", "")))
    if one.open is not opened:
        raise Refusal(400, "this run is of another net", "run_id")
    place = [whole(body[key], key) for key in ("z", "y", "x") if body.get(key) is not None]
    values = body.get("values")
    if not isinstance(values, list) or not all(type(v) in (int, float) for v in values):
        raise Refusal(400, "values: expected a list of numbers, one a channel", "values")
    return _let(session, request, lambda: edited(one, place, values), opened)


def _items(session: Session, request: Request) -> Answer:
    opened = session.net(request.params["net"])
    first, count = request.whole("from", 0), request.whole("count", 50)
    if first < 0 or not 0 < count <= MOST_ITEMS:
        raise Refusal(
            400, f"count={count}: expected 1 to {MOST_ITEMS}, from={first}: 0 or more", "count"
        )
    items = opened.items
    if items is None:
        return wire.json_answer(wire.ItemList(0, []))
    rows = [
        wire.Item(i, items.name(i), f"api/net/{opened.id}/items/{i}.png", items.label(i))
        for i in range(first, min(len(items), first + count))
        if items.readable(i)
    ]
    return wire.json_answer(wire.ItemList(len(items), rows))


def _item_picture(session: Session, request: Request) -> Answer:
    opened = session.net(request.params["net"])
    index = whole(request.params["index"].removesuffix(".png"), "index")
    if opened.items is None:
        raise Refusal(404, f"{opened.name} was opened without data", "net")
    stored = opened.items.stored(opened.items.check(index))
    whole_ = (
        plane(stored) if isinstance(opened.items, TensorItems) else picture_of(stored, opened.pre)
    )
    return Answer(png(thumb(whole_)), "image/png", fixed=False)


def _run(session: Session, request: Request) -> Answer:
    return wire.json_answer(session.run(request.params["run"]).answer)


def _step(session: Session, request: Request) -> Answer:
    one = session.run(request.params["run"])
    index = whole(request.params["step"].removesuffix(".png"), "step")
    if not 0 <= index < len(one.previews):
        raise Refusal(404, f"step {index}: there are {len(one.previews)}", "step")
    return Answer(png(one.previews[index]), "image/png", fixed=True)


def _read(session: Session, request: Request) -> Answer:
    one = session.run(request.params["run"])
    meta = {"run_id": one.id, "shape": list(one.x.shape[1:]), "kind": one.answer.input.kind}
    arrays = {"x": one.x[0].contiguous().numpy(), "picture": one.shown}
    return wire.array_answer(arrays, meta)


ROUTES = [
    Route("POST", "api/net/{net}/input", _input),
    Route("POST", "api/net/{net}/item", _item),
    Route("POST", "api/net/{net}/edit", _edit),
    Route("GET", "api/net/{net}/items", _items),
    Route("GET", "api/net/{net}/items/{index}", _item_picture),
    Route("GET", "api/run/{run}", _run),
    Route("GET", "api/run/{run}/step/{step}", _step),
    Route("GET", "api/run/{run}/input", _read),
]
