"""Run folders as the page shows them: curves, the state of a training as it changes, runs beside each other.

All of it is read from the files that a training writes anyway (results.csv, health.csv, checkpoints): the training does
not know that it is watched.
"""

import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from striate.errors import ArgumentError, CheckpointError, StriateError
from striate.metrics.scores import number
from striate.runs import Run
from striate.runs.config import Config
from striate.runs.folder import read_bytes, read_json
from striate.runs.split_answers import read_table
from striate.studio.checkpoints import kernels, maps, steps_of
from striate.studio.routes import Answer, Refusal, Request, Route
from striate.studio.session import Session
from striate.studio.wire import array_answer, json_answer, plain

EVERY = 0.25  # seconds between two looks at a folder: at most four events a second
HEALTH = ("output", "dead", "weight", "gradient")
MOST_LAYERS = 64  # of health.csv that are sent; how many there are is sent beside them

Column = list[float | None]


@dataclass(frozen=True)
class RunItem:
    """A run folder in the list of them.

    Attributes:
        id: its place in the list, and in addresses.
        name: its folder's name.
        path: of the folder.
        state: "training", "stopped" (no end, nobody writes), or "finished".
        task: what it learns; "" where config.json is not written yet.
        net: its name.
        epochs: rows of results.csv.
        score: the name of the first score of the held-out items; "" of none.
        value: that score in the last row.
    """

    id: str
    name: str
    path: str
    state: str
    task: str = ""
    net: str = ""
    epochs: int = 0
    score: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Health:
    """The layers' statistics by step: a list a layer of values as long as `steps`."""

    steps: list[int]
    layers: list[str]
    of: int
    values: dict[str, list[Column]]


@dataclass(frozen=True)
class History:
    """All that is known of a run's course.

    Attributes:
        run: the run.
        columns: of results.csv, a value an epoch; None where a cell is empty.
        planned: epochs of the recipe; None where the clock ends it.
        kept: the epoch whose weights are the result; None before the end.
        steps: an epoch; None before the end.
        recipe: settings by name.
        scores: at the end, with intervals, by split.
        checkpoints: their steps.
        health: of the layers.
        failure: why a training ended early; "" of none.
    """

    run: RunItem
    columns: dict[str, Column]
    planned: int | None = None
    kept: int | None = None
    steps: int | None = None
    recipe: dict[str, str] = field(default_factory=dict[str, str])
    scores: dict[str, dict[str, dict[str, float | None]]] = field(
        default_factory=dict[str, dict[str, dict[str, float | None]]]
    )
    checkpoints: list[int] = field(default_factory=list[int])
    health: Health | None = None
    failure: str = ""


def listed(paths: Sequence[Path]) -> dict[str, Path]:
    """Run folders by an id that is safe in an address, run-TASK-NAME, numbered where several have it.

    Args:
        paths: run folders; of a folder of runs those in it and below its tasks are taken.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for folder in [path] if is_run(path) else sorted([*path.glob("*"), *path.glob("*/*")]):
            if is_run(folder) and folder.resolve() not in {p.resolve() for p in found.values()}:
                named = f"run-{folder.absolute().parent.name}-{folder.name}"
                stem = re.sub(r"[^A-Za-z0-9_-]+", "-", named)[:100]
                names = [stem, *(f"{stem}-{i}" for i in range(2, len(found) + 3))]
                found[next(name for name in names if name not in found)] = folder
    return found


def is_run(path: Path) -> bool:
    """Whether a folder is a run's, also of one whose training has only begun."""
    return path.is_dir() and any((path / name).exists() for name in ("config.json", "args.yaml"))


def item(key: str, path: Path) -> RunItem:
    """What the list says of a folder; what cannot be read is left out."""
    columns = _columns(path)
    found = RunItem(key, path.name, str(path), state(path), epochs=len(columns.get("epoch", [])))
    score = next((name for name in columns if name.startswith("val_") and name != "val_loss"), "")
    value = columns[score][-1] if score else None
    try:
        config = Config.read(path)
    except StriateError:
        return replace(found, score=score, value=value)
    return replace(found, score=score, value=value, task=config.task, net=config.net.name)


def state(path: Path) -> str:
    """training, stopped or finished. The lock is read, never taken: taking it could stop a training that begins."""
    if (path / "summary.json").exists():
        return "finished"
    try:
        words = (path / ".lock").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return "stopped"
    told = re.fullmatch(r"process (\d+) on (\S+)\s*", words)
    if not told:
        return "training"  # the lock is just being written
    if told[2] != socket.gethostname():
        return "training"  # on another machine: its lock is all that can be seen
    return "training" if _alive(int(told[1])) else "stopped"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def history(key: str, path: Path) -> History:
    """All that a folder tells now.

    Raises:
        CheckpointError: it is no run folder.
    """
    if not is_run(path):
        raise CheckpointError(f"{path} is no run folder; `striate train` makes one")
    found = History(
        item(key, path),
        _columns(path),
        recipe=_recipe(path),
        checkpoints=steps_of(path),
        health=_health(path),
        failure=_failure(path),
    )
    planned = found.recipe.get("epochs", "")
    found = replace(found, planned=int(planned) if planned.isdecimal() else None)
    try:
        done = Run(path).summary
    except StriateError:
        return found
    parts = {done["split"]: done["scores"]}
    parts |= {"test": done["test"]["scores"]} if done.get("test") else {}
    return replace(found, kept=done["kept"], steps=done.get("steps"), scores=parts)


def events(
    key: str,
    path: Path,
    *,
    every: float = EVERY,
    ended: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Any] | None]:
    """What changes in a folder from now on; None where nothing did, so that a stream notices that nobody listens.

    Each event is one object: `from` is the row of results.csv from which `columns` are given (a training that went back
    begins there again), `state`, `checkpoints`, and `health` where it changed. The first has everything; the last is of a
    finished run.

    Args:
        key: the run's id.
        path: its folder.
        every: seconds between two looks.
        ended: whether to stop looking.
        sleep: waits.
    """
    seen: dict[str, Column] = {}
    marks: Any = None
    while not ended():
        now = _marks(path)
        if now == marks:
            yield None
        else:
            changed = {name for name, mark in now.items() if marks is None or mark != marks[name]}
            columns = _columns(path) if "results.csv" in changed else seen
            start = _alike(seen, columns)
            told: dict[str, Any] = {
                "run": key,
                "state": now["state"],
                "from": start,
                "columns": {name: values[start:] for name, values in columns.items()},
                "checkpoints": now["checkpoints"],
            }
            if "health.csv" in changed:
                told["health"] = _health(path)
            seen, marks = columns, now
            yield told
            if now["state"] == "finished":
                return
        sleep(every)


def _marks(path: Path) -> dict[str, Any]:
    """What tells, without reading them, whether files of a run changed."""
    found: dict[str, Any] = {"state": state(path), "checkpoints": steps_of(path)}
    for name in ("results.csv", "health.csv"):
        try:
            told = (path / name).stat()
            found[name] = (told.st_mtime_ns, told.st_size, told.st_ino)
        except OSError:
            found[name] = None
    return found


def _alike(before: Mapping[str, Column], now: Mapping[str, Column]) -> int:
    """How many first rows are as they were."""
    if list(before) != list(now):
        return 0
    pairs = zip(zip(*before.values(), strict=False), zip(*now.values(), strict=False), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(_rows(before), _rows(now)))


def _rows(columns: Mapping[str, Column]) -> int:
    return max(map(len, columns.values()), default=0)


def _columns(path: Path) -> dict[str, Column]:
    """results.csv; nothing where it is missing, or damaged."""
    try:
        rows = read_table(path / "results.csv")
    except CheckpointError:
        return {}
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: [None if row.get(name) is None else number(row[name]) for row in rows]
        for name in names
    }


def _health(path: Path) -> Health | None:
    """health.csv; a line that is just being written is left for the next look."""
    try:
        text = read_bytes(path / "health.csv").decode("utf-8", "replace")
    except CheckpointError:
        return None
    whole = text[: text.rfind("\n") + 1].splitlines()[1:]
    rows = [cells for line in whole if len(cells := line.split(",")) == 2 + len(HEALTH)]
    rows = [cells for cells in rows if cells[0].isdecimal()]
    steps = sorted({int(cells[0]) for cells in rows})
    layers = list(dict.fromkeys(cells[1] for cells in rows))
    places = {step: i for i, step in enumerate(steps)}
    shown = {layer: i for i, layer in enumerate(layers[:MOST_LAYERS])}
    values: dict[str, list[Column]] = {
        name: [[None] * len(steps) for _ in shown] for name in HEALTH
    }
    for cells in rows:
        if cells[1] in shown:
            for name, cell in zip(HEALTH, cells[2:], strict=True):
                values[name][shown[cells[1]]][places[int(cells[0])]] = _cell(cell)
    return Health(steps, list(shown), len(layers), values)


def _cell(text: str) -> float | None:
    try:
        return number(float(text))
    except ValueError:
        return None


def _recipe(path: Path) -> dict[str, str]:
    """Settings of args.yaml as words."""
    try:
        found = yaml.safe_load(read_bytes(path / "args.yaml").decode("utf-8"))
    except (CheckpointError, ValueError, yaml.YAMLError):
        return {}
    if not isinstance(found, dict):
        return {}
    settings = {**found, **(found.get("options") or {})}
    return {str(k): str(v) for k, v in settings.items() if k != "options" and v is not None}


def _failure(path: Path) -> str:
    try:
        told = read_json(path / "failure.json")
    except CheckpointError:
        return ""
    return ", ".join(f"{key} {value}" for key, value in told.items())[:400]


def compared(paths: Mapping[str, Path]) -> dict[str, Any]:
    """Runs beside the first: the settings that differ, and the paired differences of their scores where they have items in common.

    Raises:
        ArgumentError: fewer than two runs.
    """
    from striate.workbench import compare

    if len(paths) < 2:
        raise ArgumentError("name at least two runs to compare")
    recipes = {key: _recipe(path) for key, path in paths.items()}
    names = dict.fromkeys(name for recipe in recipes.values() for name in recipe)
    differ = {
        name: {key: recipe.get(name, "") for key, recipe in recipes.items()}
        for name in names
        if len({recipe.get(name) for recipe in recipes.values()}) > 1
    }
    keys = {str(path): key for key, path in paths.items()}
    try:
        found = compare(list(paths.values())).as_dict()
        rows = [
            {**row, "a": keys.get(row["a"], row["a"]), "b": keys.get(row["b"], row["b"])}
            for row in found["differences"]
        ]
        told = {"split": found["split"], "items": found["items"], "note": found["note"]}
    except StriateError as error:
        rows, told = [], {"split": "", "items": 0, "note": str(error)}
    return {"runs": list(paths), "settings": differ, "differences": rows, **told}


def folders(session: Session) -> dict[str, Path]:
    """The run folders that this page may look into, by their ids."""
    return session.folders


def folder(session: Session, request: Request) -> tuple[str, Path]:
    """The run that an address names; 404 of one that is not in the list."""
    key = request.params["run"]
    found = folders(session)
    if key not in found:
        raise Refusal(404, f"no run {key!r} is known", "run")
    return key, found[key]


def own_net(session: Session, path: Path) -> nn.Module | None:
    """The user's own net of a run, where it was named with the run."""
    for each in session.nets.values():
        if each.run is not None and each.run.path == path and each.run.config.net.own:
            return each.net
    return None


def _runs(session: Session, _request: Request) -> Answer:
    return json_answer({"items": [item(key, path) for key, path in folders(session).items()]})


def _history(session: Session, request: Request) -> Answer:
    return json_answer(history(*folder(session, request)))


def _events(session: Session, request: Request) -> Answer:
    key, path = folder(session, request)
    return Answer(
        kind="text/event-stream",
        events=(
            ("still", {}) if told is None else ("change", plain(told)) for told in events(key, path)
        ),
    )


def _kernels(session: Session, request: Request) -> Answer:
    _, path = folder(session, request)
    step = request.whole("step") if request.has("step") else None
    layer = request.text("layer") if request.has("layer") else None
    found = kernels(path, step, layer, own_net(session, path))
    meta = {
        "step": found.step,
        "layer": found.layer,
        "layers": found.layers,
        "correlation": found.correlation,
        "shown": len(found.weights),
        "total": found.of,
    }
    return array_answer({"kernels": found.weights}, meta, fixed=False)


def _maps(session: Session, request: Request) -> Answer:
    _, path = folder(session, request)
    step = request.whole("step") if request.has("step") else None
    layer = request.text("layer")
    found = maps(path, layer, request.whole("item", 0), step, own_net(session, path))
    meta = {"layer": layer, "step": step, "shown": len(found), "total": len(found)}
    return array_answer({"maps": found}, meta, fixed=False)


def _compare(session: Session, request: Request) -> Answer:
    known, keys = folders(session), request.text("runs").split(",")
    if missing := [key for key in keys if key not in known]:
        raise Refusal(404, f"no run {missing[0]!r} is known", "runs")
    return json_answer(compared({key: known[key] for key in keys[:8]}))


ROUTES = [
    Route("GET", "api/runs", _runs),
    Route("GET", "api/runs/{run}/history", _history),
    Route("GET", "api/runs/{run}/events", _events),
    Route("GET", "api/runs/{run}/kernels", _kernels),
    Route("GET", "api/runs/{run}/maps", _maps),
    Route("GET", "api/compare", _compare),
]
