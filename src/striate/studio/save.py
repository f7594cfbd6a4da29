"""One HTML file with the Studio's own screens, that works without a server and without a network.

The page's modules become one script, and what the server would answer is written beside it as text; the policy of the file
allows that one script and that one sheet by their hashes, and nothing else. Any net is saved with some inputs and as many of
its layers as fit; a small one (see `lowering`) also with its weights, so that the page runs it on what somebody draws.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import numpy as np
import torch

from striate.errors import StriateError, UsageError
from striate.files import write_whole
from striate.inputs import Pictures
from striate.studio import nets
from striate.studio.items import TensorItems
from striate.studio.layer_index import indexing
from striate.studio.lowering import NotLiveError, Program, program
from striate.studio.routes import Refusal, Request
from striate.studio.runs import item
from striate.studio.server import PAGE, routes
from striate.studio.session import OpenNet, Pass, Session
from striate.studio.wire import plain

MOST = 10 * 10**6  # bytes of the file
INPUTS = 8  # that are saved beside the example
NUMBERS = 3  # channels of each layer of whose largest value the arithmetic is saved
INDEXED = 2_000  # items up to which neighbours are found while saving
METHODS = ("gradient-x-input", "grad-cam", "gradient")  # of saliency, those that take one pass
ROOTS = ("saved.js", "main.js")  # modules that do something when they are loaded, in this order
IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"(\.[^"]+)";[^\n]*\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?function|const |let |class )", re.MULTILINE)
NAME = re.compile(
    r"^(?:async )?(?:function\*?|const|let|class)\s+(?:([\w$]+)|\{([^}]*)\})", re.MULTILINE
)


def flattened(folder: Path, roots: Sequence[str] = ROOTS) -> str:
    """Modules as one script: each after those that it imports from, without `import` and `export`.

    Args:
        folder: of the modules.
        roots: those to begin with.

    Raises:
        UsageError: two modules have one name at their top, or import or export in another form.
    """
    parts: dict[Path, str] = {}
    owners: dict[str, str] = {}

    def add(path: Path) -> None:
        if path in parts:
            return
        text = path.read_text(encoding="utf-8")
        parts[path] = ""  # so that modules that import each other end
        for found in IMPORT.finditer(text):
            add((path.parent / found[1]).resolve())
        text = EXPORT.sub("", IMPORT.sub("", text))
        if left := re.search(r"^(?:import|export)\b.*", text, re.MULTILINE):
            raise UsageError(f"{path.name}: {left[0][:60]!r} cannot be made part of one script")
        for single, several in NAME.findall(text):
            for name in [single] if single else re.findall(r"(\w+)\s*(?:,|$)", several):
                if name in owners:
                    raise UsageError(f"{path.name} and {owners[name]} both have a top-level {name}")
                owners[name] = path.name
        del parts[path]  # those it needs come first
        parts[path] = text

    for root in roots:
        add((folder / root).resolve())
    return "\n".join(parts.values())


def canonical(path: str, query: Mapping[str, object]) -> str:
    """The name of an answer: its path and its query in one order; the width of a window is left out."""
    rest = sorted(f"{key}={value}" for key, value in query.items() if key != "width")
    return "?".join([path, "&".join(rest)]) if rest else path


@dataclass
class _Answers:
    """What a server answers, as text, within a number of bytes."""

    session: Session
    room: int = MOST
    kept: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def ask(self, path: str, **query: object) -> Any:
        """The answer to a request, kept if there is room for it; its JSON, or its bytes; None where it is refused.

        A query's name may end in "_", as `from_` and `class_` have to.
        """
        words = {key.rstrip("_"): str(value) for key, value in query.items()}
        for row in routes():
            params = row.match(f"api/{path}")
            if params is None or row.method != "GET":
                continue
            key = canonical(unquote(path), words)
            for kind, held in self.kept.get(key, {}).items():
                return held if kind == "json" else base64.b64decode(held)
            try:
                answer = row.handler(self.session, Request("GET", f"api/{path}", params, words))
            except (Refusal, StriateError, RuntimeError):
                return None
            if "json" in answer.kind:
                said = json.loads(answer.body)
                return said if self._keep(key, {"json": said}, len(answer.body)) else None
            text = base64.b64encode(answer.body).decode()
            kind = "png" if answer.kind == "image/png" else "bytes"
            return answer.body if self._keep(key, {kind: text}, len(text)) else None
        raise LookupError(path)

    def put(self, key: str, said: Any) -> None:
        """An answer of our own."""
        self._keep(key, {"json": said}, len(json.dumps(said)))

    def _keep(self, key: str, said: dict[str, Any], size: int) -> bool:
        if key in self.kept:
            return True
        if size + len(key) + 24 > self.room:
            return False
        self.kept[key] = said
        self.room -= size + len(key) + 24
        return True


def saved(session: Session, file: Path) -> None:
    """Write the page of the one net that is open.

    Args:
        session: with the net, and its data if it has some.
        file: an HTML file; one that is there is replaced.

    Raises:
        UsageError: the file's name does not end in .html, or the net alone is too large.
    """
    if file.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--save {file}: expected a file that ends in .html")
    write_whole(file, page(session).encode())


def page(session: Session, most: int = MOST) -> str:
    """The file's text, of at most so many bytes.

    Raises:
        UsageError: what has to be there does not fit.
    """
    opened = next(iter(session.nets.values()))
    script, sheet = flattened(PAGE), (PAGE / "studio.css").read_text(encoding="utf-8")
    words = {
        name: json.loads((PAGE / "words" / f"{name}.json").read_text(encoding="utf-8"))
        for name in nets.LANGUAGES
    }
    if re.search(r"</script|<!--", script, re.IGNORECASE) or "</style" in sheet:
        raise UsageError("a module of the page holds an end of a script")
    shell = len(script.encode()) + len(sheet.encode()) + len(_text(words).encode())
    answers = _Answers(session, most - shell - 4096)
    told, why = _live(session, opened, answers)
    _gathered(session, opened, answers)
    data = {"words": words, "answers": answers.kept, "live": told, "why": why, "net": opened.id}
    return _html(opened.name, script, sheet, _text(data))


def _text(data: object) -> str:
    """JSON that may stand between tags."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _html(title: str, script: str, sheet: str, data: str) -> str:
    hashes = [
        "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (script, sheet)
    ]
    policy = (
        f"default-src 'none'; script-src '{hashes[0]}'; style-src '{hashes[1]}'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)} · Striate Studio</title>\n<style>{sheet}</style>\n</head>\n<body>\n"
        f'<script type="text/plain" id="saved">{data}</script>\n<script>{script}</script>\n</body>\n</html>\n'
    )


def _live(
    session: Session, opened: OpenNet, answers: _Answers
) -> tuple[dict[str, Any] | None, str]:
    """The net in steps with its weights as text; None, and why, where the page cannot run it."""
    one = session.run(opened.card.example.run_id)
    try:
        scale, shift = _scaling(opened, one)
        made = program(session.recording(one.id), [layer.id for layer in opened.card.layers])
        _check_shares(made, session, one)
    except NotLiveError as error:
        return None, str(error)
    arrays = {
        name: {"data": base64.b64encode(array.tobytes()).decode(), "shape": list(array.shape)}
        for name, array in made.arrays.items()
    }
    told = {
        "program": {
            key: getattr(made, key) for key in ("steps", "layers", "input", "output", "macs")
        },
        "arrays": arrays,
        "scale": scale,
        "shift": shift,
        "picture": [int(n) for n in one.stored.shape],
    }
    size = len(_text(told))
    if size > answers.room // 2:
        return None, f"its weights are {size / 1e6:.1f} MB as text"
    answers.room -= size
    return told, ""


def _scaling(opened: OpenNet, one: Pass) -> tuple[list[float], list[float]]:
    """What a stored value is multiplied by, and what is added, a channel.

    Raises:
        NotLiveError: it is done in another way.
    """
    if not isinstance(opened.pre, Pictures) or isinstance(opened.items, TensorItems):
        raise NotLiveError("it does not read pictures of 0 to 255")
    shape = one.stored.shape
    low, high = (
        opened.pre.normalise(torch.full((1, *shape), value, dtype=torch.uint8)).double()
        for value in (0, 255)
    )
    if tuple(low.shape[1:]) != tuple(one.x.shape[1:]):
        raise NotLiveError("its preprocessing changes the size of a picture")
    shift = low[0, :, 0, 0]
    scale = (high[0, :, 0, 0] - shift) / 255
    planes = torch.from_numpy(np.array(one.stored)).permute(2, 0, 1).double()
    if len(planes) != len(scale):
        raise NotLiveError("its preprocessing changes the channels of a picture")
    again = planes * scale[:, None, None] + shift[:, None, None]
    if not torch.allclose(again.float(), one.x[0].float(), atol=1e-4):
        raise NotLiveError("its preprocessing is no scale and shift a channel")
    return scale.tolist(), shift.tolist()


def _check_shares(made: Program, session: Session, one: Pass) -> None:
    """Raises NotLiveError unless the answers are the softmax of the outputs, as the page makes them."""
    recording = session.recording(one.id)
    outputs = recording.numbers[made.output][0].double()
    shares = outputs.softmax(0)
    if any(
        each.p is None or abs(float(shares[each.index]) - each.p) > 1e-3 for each in one.answer.top
    ):
        raise NotLiveError("its answers are no softmax of its outputs")


def _gathered(session: Session, opened: OpenNet, answers: _Answers) -> None:
    """Everything that the page may ask, what matters most first."""
    net, card = opened.id, opened.card
    answers.put(
        "session", {"token": "", "version": "", "open": [net], "data": False, "saved": True}
    )
    if answers.ask(f"net/{net}/graph") is None:
        answers.put(f"net/{net}/graph", {"nodes": []})
    answers.ask("looking/methods")
    chosen = [card.example.run_id, *_some_items(session, opened, answers)]
    layers = _layers(session, card.example.run_id)
    held = [layer for layer in layers if _maps(answers, chosen, layer)]
    for run in chosen:
        answers.ask(f"run/{run}/ranges")
        answers.ask(f"run/{run}/thumbs", layers=",".join(held))
    shown = _plain_card(opened, held)
    if shown is None:
        raise UsageError(f"{opened.name}: not one layer fits into {MOST / 1e6:.0f} MB")
    answers.put(f"net/{net}", shown)
    answers.put("nets", {"items": [_listed(session, net)]})
    _run_folder(session, opened, answers)
    _beside(opened, answers, chosen)
    example = session.run(chosen[0])
    for layer in held:  # exact values of what is small, whatever the rest fills
        if session.output(example, layer)[0].numel() * 4 < MOST // 100:
            answers.ask(f"run/{chosen[0]}/channel", layer=layer)
    _cells(session, answers, chosen, held)
    for run in chosen:
        for layer in held:
            answers.ask(f"run/{run}/channel", layer=layer)


def _listed(session: Session, net: str) -> Any:
    return plain(session.sources[net].item) | {"open": True}


def _plain_card(opened: OpenNet, held: Sequence[str]) -> dict[str, Any] | None:
    """The card with the layers that are saved, and a sentence that says how many those are."""
    card = cast(dict[str, Any], plain(opened.card))
    every = card["layers"]
    card["layers"] = [layer for layer in every if layer["id"] in set(held)]
    said = f"this saved page holds {len(held):,} of {len(every):,} layers"
    card["sentences"] = [*card["sentences"], said]
    return card if held else None


def _some_items(session: Session, opened: OpenNet, answers: _Answers) -> list[str]:
    """Runs of items spread over the data, with the list of those."""
    items, net = opened.items, opened.id
    total = 0 if items is None else len(items)
    places = sorted(
        {round(k * (total - 1) / max(1, INPUTS - 1)) for k in range(min(total, INPUTS))}
    )
    found: list[str] = []
    rows: list[dict[str, Any]] = []
    for index in places:
        listing = answers.ask(f"net/{net}/items", from_=index, count=1)
        answers.kept.pop(canonical(f"net/{net}/items", {"from": index, "count": 1}), None)
        said = _run_of(session, net, index)
        if said is None or not listing or not listing["items"]:
            continue
        rows += listing["items"]
        answers.ask(f"net/{net}/items/{index}.png")
        found.append(said)
        answers.put(f"net/{net}/item {index}", session.run(said).id)
    answers.put(f"net/{net}/items", {"total": len(rows), "items": rows})
    return list(dict.fromkeys(found))


def _run_of(session: Session, net: str, index: int) -> str | None:
    """The run of an item; None where it cannot be read."""
    body = json.dumps({"index": index}).encode()
    path, headers = f"api/net/{net}/item", {"content-type": "application/json"}
    for row in routes():
        params = row.match(path)
        if params is not None and row.method == "POST":
            try:
                answer = row.handler(session, Request("POST", path, params, {}, headers, body))
            except (Refusal, StriateError, RuntimeError):
                return None
            return str(json.loads(answer.body)["run_id"])
    return None


def _layers(session: Session, run: str) -> list[str]:
    """Layers by what they are worth: those after which the maps get smaller or the net ends, then the smallest."""
    one = session.run(run)
    layers = one.open.card.layers
    last: dict[tuple[int, ...], str] = {}
    for layer in layers:
        last[tuple(layer.shape[1:])] = layer.id
    first = [layers[0].id, *last.values()] if layers else []
    rest = sorted(layers, key=lambda layer: int(np.prod(layer.shape)))
    return list(dict.fromkeys([*first, *(layer.id for layer in rest)]))


def _maps(answers: _Answers, runs: Sequence[str], layer: str) -> bool:
    """Whether there was room for the maps of a layer, of all inputs; half of what is left is kept for the rest."""
    before, room = dict(answers.kept), answers.room
    if all(
        answers.ask(
            f"run/{run}",
        )
        is not None
        and answers.ask(f"run/{run}/input") is not None
        for run in runs
    ):
        asked = [answers.ask(f"run/{run}/maps", layer=layer) for run in runs]
        if all(each is not None for each in asked) and answers.room > MOST // 8:
            return True
    answers.kept, answers.room = before, room
    return False


def _run_folder(session: Session, opened: OpenNet, answers: _Answers) -> None:
    """The history of the run, its first kernels over the checkpoints, and its audit."""
    net = opened.id
    known = net in session.folders
    answers.put("runs", {"items": [plain(item(net, session.folders[net]))] if known else []})
    if not known:
        return
    history = answers.ask(f"runs/{net}/history")
    for step in history["checkpoints"] if history else []:
        answers.ask(f"runs/{net}/kernels", step=step)
    answers.ask(f"runs/{net}/audit")


def _beside(opened: OpenNet, answers: _Answers, runs: Sequence[str]) -> None:
    """Kernels, saliency, and neighbours at the last layer but one."""
    net, layers = opened.id, opened.card.layers
    for layer in layers:
        if layer.kernels:
            answers.ask(f"net/{net}/kernels", layer=layer.id, from_=0, count=65536)
            break
    for run in runs:
        for method in METHODS:
            answers.ask(f"run/{run}/looking", method=method)
    if opened.items is None or len(opened.items) > INDEXED or not layers:
        return
    layer = layers[max(0, len(layers) - 2)].id
    try:
        for _ in indexing(opened, layer):
            pass
    except (Refusal, StriateError, RuntimeError):
        return
    answers.ask(f"net/{net}/index", layer=layer)
    for run in runs:
        answers.ask(f"run/{run}/near", layer=layer, k=18)
    answers.ask(f"net/{net}/mistakes", layer=layer, order="sure")
    answers.ask(f"net/{net}/scatter", layer=layer, method="pca")


def _cells(session: Session, answers: _Answers, runs: Sequence[str], layers: Sequence[str]) -> None:
    """What the other screens ask first: of every layer the cell in the middle, then the largest of the first channels."""
    for run in runs:
        one = session.run(run)
        for layer in layers:
            values = session.output(one, layer)[0].float()
            middle = [side // 2 for side in values.shape[1:]]
            names = dict(zip(("y", "x") if len(middle) > 1 else ("x",), middle, strict=False))
            answers.ask(f"run/{run}/fan", layer=layer, c=0)
            if values[0].numel() * 4 < answers.room // 20:
                answers.ask(f"run/{run}/channel", layer=layer, c=0)
            if names and len(middle) < 3:
                for what in ("field", "cone", "effective"):
                    answers.ask(f"run/{run}/{what}", layer=layer, **names)
            tops = [np.unravel_index(int(v.argmax()), tuple(v.shape)) for v in values[:NUMBERS]]
            places = [(0, *middle), *((c, *map(int, at)) for c, at in enumerate(tops))]
            for at in dict.fromkeys(
                places if middle else ((c,) for c in range(min(16, len(values))))
            ):
                text = ",".join(map(str, at))
                if answers.ask(f"run/{run}/number", layer=layer, at=text, item=0) is None:
                    return
                answers.ask(f"run/{run}/terms", layer=layer, at=text, item=0)
