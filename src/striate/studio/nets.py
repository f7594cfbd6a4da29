"""The nets that the page lists and opens: those of the catalogue, runs, and what was given by name or from Python.

A net is opened once, with an example computed at once, so that every screen has something to show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import striate
from striate import data as data_room
from striate.data import Data
from striate.errors import DataError, ShapeError, StriateError, UsageError
from striate.inputs import AsGiven, Pictures, Preprocessing
from striate.models import catalog
from striate.probe import Call, Recording, copied
from striate.runs import Run
from striate.studio import given, inputs, wire
from striate.studio.items import DataItems, Items, TensorItems
from striate.studio.routes import Answer, Refusal, Request, Route
from striate.studio.session import OpenNet, Session, Source, prepared
from striate.text import counted, times
from striate.workbench.nets import Named, find

FIRST = (
    "its first weights, drawn at random: it has learned nothing, so its answers mean nothing yet"
)
ZERO_TO_ONE = "pictures are given to it as 0 to 1: how its own training scaled them is not known"
# Functions that only say where values lie, and so show nothing new.
MOVES = frozenset(
    [
        "view",
        "reshape",
        "flatten",
        "permute",
        "transpose",
        "squeeze",
        "unsqueeze",
        "contiguous",
        "chunk",
        "split",
        "getitem",
        "expand",
        "to",
        "float",
        "detach",
        "clone",
        "size",
        "unflatten",
        "movedim",
        "swapaxes",
    ]
)
SHOWN = 16_384  # channels of a layer
LANGUAGES = ("en", "ru", "pl")


# ------------------------------------------------------------------------------------------- sources


@cache
def catalogue() -> dict[str, Source]:
    """Every net of the catalogue that reads one array."""
    return {
        row.name: Source(
            wire.NetItem(
                row.name,
                row.name,
                "catalogue",
                f"{row.family}, {row.year}",
                row.tasks[0] if row.tasks else None,
                list(row.input),
                row.params,
                row.macs,
                FIRST,
            ),
            lambda name=row.name: opened(name, find(name, init=True), "catalogue", None),
        )
        for row in catalog.CATALOG.values()
    }


def run_source(key: str, path: Path, data: Any = None, net: nn.Module | None = None) -> Source:
    """A run folder, its net built when it is opened."""
    name = path.name

    def make() -> OpenNet:
        run = Run.load(path, net=net if Run(path).config.net.own else None)
        return opened(
            key, Named(str(path), run.net, run.config.preprocessing.shape, run), "run", data
        )

    try:
        config = Run(path, net).config
        task, reads = config.task, list(config.preprocessing.shape)
        title = f"{config.net.name}, {task}"
    except StriateError:
        task, reads, title = None, None, "still training, or damaged"
    return Source(wire.NetItem(key, name, "run", title, task, reads), make)


def named_source(key: str, word: str, shape: tuple[int, ...] | None, data: Any) -> Source:
    """What a word on the command line names."""
    listed = catalogue().get(word)
    kind = "catalogue" if listed else "given"

    def make() -> OpenNet:
        return opened(key, find(word, shape, init=True), kind, data)

    item = wire.NetItem(key, word, kind, word, input=_list(shape))
    if listed:
        item = replace(listed.item, input=_list(shape) or listed.item.input)
    return Source(item, make)


def given_source(key: str, named: Named, data: Any, classes: Sequence[str] = ()) -> Source:
    """A net that somebody holds in Python; the page looks at a copy of it as it is now."""
    title = type(named.net).__name__
    params = sum(p.numel() for p in named.net.parameters())
    item = wire.NetItem(key, named.name, "given", title, None, _list(named.shape), params)
    held = replace(named, net=copied(named.net, "cpu"))
    return Source(item, lambda: opened(key, held, "given", data, classes))


def _list(shape: Sequence[int] | None) -> list[int] | None:
    return None if shape is None else list(shape)


# ------------------------------------------------------------------------------------------- opening


def opened(key: str, named: Named, kind: str, data: Any, classes: Sequence[str] = ()) -> OpenNet:
    """A net with its preprocessing and the items of its data; its card comes with the first input.

    Raises:
        UsageError: nobody says what its input looks like.
    """
    run, notes = named.run, []
    data, note = _data_of(run, data)
    if note:
        notes.append(note)
    row = catalog.CATALOG.get(named.name)
    if row is not None:
        notes.append(FIRST)
    pre = (
        run.config.preprocessing
        if run
        else _plain(named, data, [] if row else notes, row is None or row.kind == "picture")
    )
    net = named.net
    if any(t.device.type != "cpu" for t in net.state_dict().values()):
        net = copied(net, "cpu")
    if any(t.dtype in (torch.float16, torch.bfloat16, torch.float64) for t in net.parameters()):
        net = (copied(net, "cpu") if net is named.net else net).float()
        notes.append("its weights are read as float32")
    made = OpenNet(
        key,
        Path(named.name).name if run else named.name,
        kind,
        prepared(net, pictures=len(pre.shape) == 3),
        pre,
        list(run.config.classes if run else classes),
        _digest(net, pre),
        run.config.task if run else row.tasks[0] if row and row.tasks else "",
        row.macs if row and tuple(pre.shape) == tuple(row.input) else None,
        notes,
        data=data if isinstance(data, Data) else None,
        run=run,
    )
    made.items = _items_of(made, data)
    if not made.classes and made.items is not None and isinstance(data, Data):
        made.classes = list(data.classes)
    return made


def _data_of(run: Run | None, data: Any) -> tuple[Any, str]:
    """The data that are given, or those of the run where they still lie as they did; with a line where they do not."""
    if run is None:
        return (data_room.open(data) if isinstance(data, str | Path) else data), ""
    if isinstance(data, tuple | Tensor):
        return data, ""
    try:
        opened = run.opened(data)
        return opened, "; ".join(opened.since)
    except (DataError, OSError) as error:
        if data is not None:
            raise
        return None, f"its data cannot be opened, name them with --data: {error}"


def _plain(named: Named, data: Any, notes: list[str], pictures: bool) -> Preprocessing:
    """For a net whose preprocessing nobody knows: pictures as 0 to 1, all else as it is."""
    shape = named.shape or _shape_of(data)
    if shape is None:
        raise UsageError(
            f"{named.name}: how large is its input? Add --input such as 3x224x224, or data"
        )
    if pictures and len(shape) == 3 and shape[0] in (1, 3):
        notes.append(ZERO_TO_ONE)
        planes, size = shape[0], shape[1:]
        color = "grey" if planes == 1 else "rgb"
        return Pictures(size, size, color, (0.0,) * planes, (255.0,) * planes)
    return AsGiven(tuple(shape), (0.0,) * shape[0], (1.0,) * shape[0])


def _shape_of(data: Any) -> tuple[int, ...] | None:
    if isinstance(data, Data):
        return data.shape(data.native_size, None) if data.pictures else data.shape(None, None)
    x = data[0] if isinstance(data, tuple) else data
    return tuple(x.shape[1:]) if isinstance(x, Tensor) else None


def _items_of(made: OpenNet, data: Any) -> Items | None:
    """The items: of a run the split that it is judged on, of other data that which choices are made on."""
    if data is None:
        return None
    if isinstance(data, Data):
        split = next(n for n in ("test", "val", *data.splits) if n in data.splits)
        fitting = made.run.prepared(data, split) if made.run else made.pre.matched(data)
        if fitting.modality != made.pre.modality:
            raise DataError(f"{made.name} reads {made.pre.noun()}, {data.path} holds {data.noun}")
        return DataItems(fitting, split, made.pre)
    x, labels = data if isinstance(data, tuple) else (data, None)
    if tuple(x.shape[1:]) != tuple(made.pre.shape):
        raise ShapeError(
            f"data: items of {times(x.shape[1:])}, {made.name} reads {times(made.pre.shape)}"
        )
    return TensorItems(x, None if labels is None else [int(v) for v in labels], made.classes)


def _digest(net: nn.Module, pre: Preprocessing) -> str:
    """Of all weights and of the preprocessing."""
    found = blake2b(repr(pre).encode(), digest_size=16)
    found.update(repr(net).encode())
    for name, tensor in net.state_dict().items():
        found.update(name.encode())
        found.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return found.hexdigest()


def open_net(session: Session, key: str) -> OpenNet:
    """Open a net that is listed, with its example; on the model thread, once.

    Raises:
        Refusal: 404, it is not listed.
    """
    source = session.sources.get(key)
    if source is None:
        raise Refusal(404, f"there is no net {key!r}", "net")

    def work() -> OpenNet:
        with session.lock:
            if key in session.nets:
                return session.nets[key]
        made = source.open()
        one = inputs.run(session, made, example(made))
        made.card = card(made, one.answer, session.recording(one.id))
        with session.lock:
            session.nets[key] = made
        return made

    return session.on_model(work)


# ------------------------------------------------------------------------------------------ the card


def example(made: OpenNet) -> given.Given:
    """What a net is shown first: an item of its data, else a photograph, a digit, a made-up sound or noise."""
    if made.items is not None and len(made.items):
        return given.from_item(made, 0)
    if isinstance(made.pre, Pictures):
        pixels, text = _photograph() if made.pre.color != "grey" else _digit()
        found = given.from_pixels(made, pixels)
        return replace(found, note=text)
    generator = torch.Generator().manual_seed(0)
    shape = made.pre.form.samples if hasattr(made.pre.form, "samples") else None
    if shape is not None:
        t = np.arange(shape) / made.pre.rate  # pyright: ignore[reportAttributeAccessIssue] - of sounds
        wave = np.sin(2 * np.pi * (200 + 800 * t) * t) * 12_000
        stored = made.pre.centre(torch.from_numpy(wave.astype(np.int16))[None])[0].numpy()
        step = wire.Step("example", "a rising tone", {})
        return given.Given(
            stored, [step], [given.wave_picture(stored)], note="a rising tone, made up"
        )
    noise = torch.randn(made.pre.shape, generator=generator).numpy()
    step = wire.Step("example", "noise", {})
    return given.Given(
        noise, [step], [inputs.plane(noise)], note="noise: this net came without data"
    )


def _photograph() -> tuple[np.ndarray, str]:
    from sklearn.datasets import load_sample_image

    return load_sample_image("flower.jpg"), "flower.jpg, a photograph that scikit-learn brings"


def _digit() -> tuple[np.ndarray, str]:
    from sklearn.datasets import load_digits

    digit = np.kron(load_digits(return_X_y=True)[0][0].reshape(8, 8), np.ones((4, 4))) * (255 / 16)
    return digit.round().astype(np.uint8)[..., None], "a handwritten digit that scikit-learn brings"


def card(made: OpenNet, answer: wire.Run, recording: Recording) -> wire.NetCard:
    """All that the page shows of a net."""
    pre = made.pre
    params = sum(p.numel() for p in made.net.parameters())
    kind = inputs.KINDS.get(pre.modality, pre.modality)
    planes = len(pre.mean) if isinstance(pre, Pictures) else 0
    sentences = [
        f"it reads {pre.noun()} of {times(answer.input.shape)}",
        inputs.scaling_words(made),
        *made.notes,
    ]
    if made.items is not None:
        sentences.append(f"{counted(len(made.items), 'item')} of its data can be shown to it")
    return wire.NetCard(
        made.id,
        made.name,
        made.kind,
        wire.InputInfo(kind, answer.input.shape, planes),
        made.classes,
        params,
        sentences,
        layers(made.net, recording),
        answer,
        0 if made.items is None else len(made.items),
        made.task or None,
        made.macs,
    )


def layers(net: nn.Module, recording: Recording) -> list[wire.Layer]:
    """Every call of a layer, and every function that a forward calls between them, in the order of the calls."""
    modules = dict(net.named_modules(remove_duplicate=False))
    of_layer: dict[int, list[str]] = {}
    for path, calls in recording.returned.items():
        if path in modules and not any(modules[path].children()):
            for number, values in enumerate(calls):
                for value in values[:1]:
                    of_layer.setdefault(value.index, []).append(f"{path}@{number}")
    found: dict[str, wire.Layer] = {}
    for i, call in enumerate(recording.calls):
        for value in call.outputs[:1]:
            if not value.dtype.is_floating_point or len(value.shape) < 2 or value.shape[0] != 1:
                continue
            names = of_layer.get(value.index) or _own(call, i, modules)
            for name in names:
                found[name] = _layer(name, call, value.shape[1:], modules)
    return list(found.values())


def _own(call: Call, index: int, modules: Mapping[str, nn.Module]) -> list[str]:
    """The id of a function that no layer stands for: one that changes values, called by a module with parts, or by the net."""
    alone = call.path in modules and call.path and not any(modules[call.path].children())
    return [f"#{index}"] if call.live and not alone and call.op not in MOVES else []


def _layer(
    name: str, call: Call, shape: Sequence[int], modules: Mapping[str, nn.Module]
) -> wire.Layer:
    path, _, number = name.rpartition("@")
    own = None if name.startswith("#") else modules[path]
    params = 0 if own is None else sum(p.numel() for p in own.parameters(recurse=False))
    weight = getattr(own, "weight", None)
    windowed = [_list_of(getattr(own, key, None)) for key in ("kernel_size", "stride")]
    return wire.Layer(
        name,
        path if own is not None else call.path,
        int(number) if own is not None else 0,
        call.op if own is None else type(own).__name__,
        list(shape),
        KIND.get(len(shape), "volume"),
        params,
        min(shape[0], SHOWN),
        *windowed,
        kernels=isinstance(weight, Tensor) and weight.ndim >= 2,
    )


KIND = {1: "vector", 2: "series", 3: "maps"}


def _list_of(value: object) -> list[int] | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, tuple | list) and all(isinstance(v, int) for v in value):
        return list(value)
    return None


# ------------------------------------------------------------------------------------------ handlers


def items(session: Session) -> list[wire.NetItem]:
    """What can be opened, what is open marked."""
    with session.lock:
        return [replace(s.item, open=key in session.nets) for key, s in session.sources.items()]


def _session(session: Session, request: Request) -> Answer:
    with session.lock:
        nets = list(session.nets.values())
    known = wire.SessionInfo(
        session.token,
        striate.__version__,
        [each.id for each in nets],
        any(each.items is not None for each in nets),
        _language(request.headers.get("accept-language", "")),
    )
    return wire.json_answer(known)


def _language(accepted: str) -> str:
    """The first of our languages that the browser asks for."""
    asked = (part.split(";")[0].strip()[:2].lower() for part in accepted.split(","))
    return next((word for word in asked if word in LANGUAGES), "en")


def _nets(session: Session, _request: Request) -> Answer:
    return wire.json_answer(wire.NetList(items(session)))


def _open(session: Session, request: Request) -> Answer:
    key = request.json().get("net")
    if not isinstance(key, str):
        raise Refusal(400, "net: expected the id of a net", "net")
    return wire.json_answer(open_net(session, key).card)


def _card(session: Session, request: Request) -> Answer:
    return wire.json_answer(session.net(request.params["net"]).card)


ROUTES = [
    Route("GET", "api/session", _session),
    Route("GET", "api/nets", _nets),
    Route("POST", "api/open", _open),
    Route("GET", "api/net/{net}", _card),
]
