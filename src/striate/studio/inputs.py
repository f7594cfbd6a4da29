"""What the page gives a net to read: pixels, files, items of the data, one value changed; and what the net says of it.

Every input goes through the preprocessing of the net or of the run, each step of which is named and shown.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import unquote

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import DataError, ShapeError
from striate.inputs import Pictures, Sounds
from striate.studio import wire
from striate.studio.items import TensorItems, picture_of, plane, png, thumb
from striate.studio.routes import Answer, Refusal, Request, Route, whole
from striate.studio.session import OpenNet, Pass, Session
from striate.tasks import TASKS, named
from striate.tasks.explained import numbers_of, probabilities

MOST_PIXELS = 40_000_000
MOST_SECONDS = 60.0
MOST_ITEMS = 200  # of one answer
TOP = 10
SUFFIX = 10  # letters of a file's ending
KINDS = {"picture": "image", "sound": "audio", "window": "series"}
# Files of weights as PyTorch and others pickle them.
MODEL_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib", ".model")
U8 = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Given:
    """An input on its way to a net.

    Attributes:
        stored: as evaluation sees it, before its values are scaled.
        steps: what was done to it, before that.
        previews: uint8 [h, w, 3] after each of these.
        item: its number in the data.
        truth: what belongs to it, in words.
        note: what is to be said of it.
        raw: whether it stands there as the net reads it, so that nothing is scaled.
    """

    stored: NDArray[Any]
    steps: Sequence[wire.Step] = ()
    previews: Sequence[U8] = ()
    item: int | None = None
    truth: str | None = None
    note: str | None = None
    raw: bool = False


# ------------------------------------------------------------------------------- from what is given


def from_file(opened: OpenNet, file: Path) -> Given:
    """A file, read as a run reads it in evaluation.

    Raises:
        DataError: it cannot be read; with the reason.
    """
    pre = opened.pre
    try:
        read = pre.read(file, max_pixels=MOST_PIXELS)
    except DataError as error:
        raise DataError(f"{_readable(opened)}: {error}") from error
    _short_enough(read.windows)
    whole_ = read.stored if read.windows else read.stored[None]
    first = torch.from_numpy(np.array(whole_[:1]))
    stored = pre.centre(first)[0].numpy()
    note = read.note
    if read.windows:
        start, end = read.windows[0]
        note = f"{start:g} to {end:g} s, the first of {len(read.windows)} windows"
    steps, previews = _steps(opened, file, first[0].numpy(), stored, read.size)
    return Given(stored, steps, previews, note=note or None)


def _readable(opened: OpenNet) -> str:
    return f"{opened.name} reads {opened.pre.noun()}"


def _short_enough(windows: Sequence[tuple[float, float]]) -> None:
    if windows and windows[-1][1] > MOST_SECONDS:
        raise Refusal(413, f"{windows[-1][1]:.0f} s of sound: at most {MOST_SECONDS:.0f} s")


def _steps(
    opened: OpenNet, file: Path, kept: NDArray[Any], stored: NDArray[Any], size: Sequence[int]
) -> tuple[list[wire.Step], list[U8]]:
    pre = opened.pre
    if isinstance(pre, Pictures):
        see = pre.picture(file, max_pixels=MOST_PIXELS)
        assert see is not None  # noqa: S101 - pictures have one
        return _picture_steps(pre, see(), kept, stored)
    if isinstance(pre, Sounds):
        return _sound_steps(pre, kept, stored)
    del size
    shape = " x ".join(map(str, stored.shape))
    step = wire.Step("read", f"an array of {shape} is read", {})
    return [step], [picture_of(stored, pre)]


def _picture_steps(
    pre: Pictures, own: U8, kept: NDArray[Any], stored: NDArray[Any]
) -> tuple[list[wire.Step], list[U8]]:
    (h, w), (kh, kw), (sh, sw) = own.shape[:2], kept.shape[:2], stored.shape[:2]
    steps = [
        wire.Step("read", f"a picture of {w} x {h} pixels is read", _numbers(width=w, height=h))
    ]
    previews = [own]
    if (kh, kw) != (h, w):
        cover = "until it covers them, the middle cut out"
        how = "each side by itself" if pre.fit == "stretch" else cover
        text = f"scaled to {kw} x {kh} pixels ({how})"
        steps.append(wire.Step("resize", text, _numbers(width=kw, height=kh)))
        previews.append(picture_of(kept, pre))
    if pre.color != "rgb":
        steps.append(wire.Step("color", f"turned {pre.color}", {}))
        previews.append(picture_of(kept, pre))
    if (sh, sw) != (kh, kw):
        text = f"the middle {sw} x {sh} pixels are taken"
        steps.append(wire.Step("crop", text, _numbers(width=sw, height=sh)))
        previews.append(picture_of(stored, pre))
    return steps, previews


def _sound_steps(
    pre: Sounds, kept: NDArray[Any], stored: NDArray[Any]
) -> tuple[list[wire.Step], list[U8]]:
    seconds, rate = len(stored) / pre.rate, pre.rate
    text = f"a sound is read at {rate:,} Hz, one channel"
    steps = [wire.Step("read", text, _numbers(rate=rate, seconds=len(kept) / rate))]
    previews = [wave_picture(kept)]
    if len(kept) != len(stored):
        text = f"the middle {seconds:g} s are taken"
        steps.append(wire.Step("crop", text, _numbers(seconds=seconds)))
        previews.append(wave_picture(stored))
    if pre.representation != "wave":
        text = f"{pre.mels} mel bands of windows of {pre.windows[0] / rate * 1000:g} ms every {pre.hop / rate * 1000:g} ms"
        numbers = _numbers(mels=pre.mels, window=pre.windows[0] / rate, hop=pre.hop / rate)
        steps.append(wire.Step("spectrum", text, numbers))
        previews.append(picture_of(stored, pre))
    return steps, previews


def wave_picture(wave: NDArray[Any], wide: int = 384, high: int = 64) -> U8:
    """The least and the greatest value of a wave over time, black on white, uint8 [high, wide, 3]."""
    wave = np.asarray(wave, np.float64)
    peak = float(np.abs(wave).max()) if wave.size else 0.0
    parts = np.array_split(wave / peak if peak else wave, wide)
    picture = np.full((high, wide, 3), 255, np.uint8)
    for x, part in enumerate(parts):
        if part.size:
            top, low = (round((1 - v) / 2 * (high - 1)) for v in (part.max(), part.min()))
            picture[top : low + 1, x] = 32
    return picture


def _numbers(**values: float) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def from_item(opened: OpenNet, index: int) -> Given:
    """An item of the data.

    Raises:
        Refusal: 404, there are no data or no such item.
    """
    items = opened.items
    if items is None:
        raise Refusal(404, f"{opened.name} was opened without data; see --data", "item")
    stored = items.stored(items.check(index))
    step = wire.Step("item", f"item {index}, {items.name(index)}", {"index": float(index)})
    raw = isinstance(items, TensorItems)
    shown = plane(stored) if raw else picture_of(stored, opened.pre)
    return Given(stored, [step], [shown], index, items.label(index), raw=raw)


def from_body(opened: OpenNet, request: Request) -> Given:
    """What the page sent: pixels as it holds them, or a file as it lies.

    Raises:
        Refusal: headers or bytes that say nothing, or a file of a kind that is not read.
    """
    kind = request.headers.get("x-kind", "")
    if kind == "file":
        return _from_upload(opened, unquote(request.headers.get("x-name", "")), request.body)
    if kind not in ("u8", "f32"):
        raise Refusal(400, f"X-Kind: {kind or 'missing'}: expected u8, f32 or file", "x-kind")
    shape = [
        whole(side.strip(), "x-shape") for side in request.headers.get("x-shape", "").split(",")
    ]
    size = 1 if kind == "u8" else 4
    if min(shape) < 1 or len(shape) > 4 or prod(shape) * size != len(request.body):
        raise Refusal(
            400,
            f"X-Shape {shape} of {kind} is not the {len(request.body):,} bytes that came",
            "x-shape",
        )
    array = np.frombuffer(request.body, np.uint8 if kind == "u8" else "<f4").reshape(shape)
    if isinstance(opened.pre, Pictures):
        return from_pixels(opened, array)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", array, allow_pickle=False)
        return from_file(opened, Path(folder) / "x.npy")


def from_pixels(opened: OpenNet, array: NDArray[Any]) -> Given:
    """Pixels [H, W, C] of 0 to 255, or as floats 0 to 1, by way of a file, so that they are read as any picture."""
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise Refusal(
            400, f"pixels {list(array.shape)}: expected height, width and 1, 3 or 4", "x-shape"
        )
    if array.shape[0] * array.shape[1] > MOST_PIXELS:
        raise Refusal(413, f"a picture has at most {MOST_PIXELS // 10**6} Mpx", "x-shape")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.npy"
        if array.dtype == np.uint8:
            from PIL import Image

            file = file.with_suffix(".png")
            flat = array[..., 0] if array.shape[2] == 1 else array
            Image.fromarray(np.ascontiguousarray(flat)).save(file, compress_level=0)
        else:
            np.save(file, array, allow_pickle=False)
        return from_file(opened, file)


def _from_upload(opened: OpenNet, name: str, body: bytes) -> Given:
    suffix = PurePosixPath(PureWindowsPath(name).name).suffix.lower()
    if suffix in MODEL_SUFFIXES:
        raise Refusal(
            415,
            f"a file {suffix} may hold code that runs when it is opened, and is not read here",
            "x-name",
        )
    if not suffix.isascii() or not suffix[1:].isalnum() or len(suffix) > SUFFIX:
        suffix = ""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"upload{suffix}"
        file.write_bytes(body)
        return from_file(opened, file)


def edited(one: Pass, place: Sequence[int], values: Sequence[float]) -> Given:
    """An input with one pixel changed: of a picture all its channels, of 0 to 255; else one place of what the net reads.

    Raises:
        Refusal: a place or a number of values that does not fit.
    """
    picture = _in_levels(one)
    stored = np.array(one.stored if picture else one.x[0].numpy())
    if isinstance(one.open.pre, Sounds):
        raise Refusal(400, "a sound has no pixels to edit: edit the file", "y")
    view = stored if picture else np.moveaxis(stored, 0, -1) if stored.ndim > 1 else stored[:, None]
    if len(place) != view.ndim - 1 or not all(
        0 <= at < side for at, side in zip(place, view.shape, strict=False)
    ):
        raise Refusal(400, f"place {list(place)} is not within {list(view.shape[:-1])}", "y")
    if len(values) != view.shape[-1]:
        raise Refusal(
            400, f"{len(values)} values: expected {view.shape[-1]}, one a channel", "values"
        )
    most = 255 if picture else float("inf")
    if not all(-most * (not picture) <= v <= most and np.isfinite(v) for v in values):
        raise Refusal(
            400,
            f"values {list(values)}: expected 0 to 255" if picture else "values are no numbers",
            "values",
        )
    view[tuple(place)] = values
    old = one.answer.input.steps
    steps = [s for s in old if s.name not in ("scale", "edit")]
    place_words = ", ".join(map(str, place))
    steps.append(wire.Step("edit", f"the pixel at {place_words} is changed", {}))
    previews = [
        *one.previews[: len(steps) - 1],
        picture_of(stored, one.open.pre) if picture else plane(stored),
    ]
    return Given(stored, steps, previews, one.answer.item, one.answer.truth, raw=not picture)


# --------------------------------------------------------------------------------- to what it says


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


def _in_levels(one: Pass) -> bool:
    """Whether its values are edited as a picture's, 0 to 255; else as the net reads them."""
    return isinstance(one.open.pre, Pictures) and not one.raw


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
        wire.RunInput(
            kind, list(one.x.shape[1:]), shown, "levels" if _in_levels(one) else "values"
        ),
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
