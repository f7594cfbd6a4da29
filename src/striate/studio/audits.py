"""Audits as the page shows them: what an audit of a run found, tables of it, and the items on which a cell is worst.

A cell of a table is one change of the pictures, such as noise of strength 3. Its items are made and answered again when
somebody asks for them; the record of the audit holds means alone. N items, C channels, H W pixels.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate.auditing import CHECKS, Case, Finding
from striate.auditing import audit as asked
from striate.auditing.attacks import Attack, attacked, noise
from striate.auditing.checks.adversarial import STEPS, logits_of
from striate.auditing.checks.equivariance import CHANGES, changed
from striate.auditing.corruptions import KINDS, STRENGTHS, corrupted
from striate.errors import ArgumentError, StriateError
from striate.probe import as_eval, frozen
from striate.runs import Run
from striate.runs.answering import Net
from striate.runs.folder import read_json
from striate.see import paint
from striate.studio import runs
from striate.studio.routes import Answer, Refusal, Request, Route
from striate.studio.session import Job, Session
from striate.studio.wire import array_answer, json_answer

MOST = 200  # items of a cell that are answered; of attacks a third, each of which takes many passes
WORST = 24  # items of a cell that are shown
SIDE = 96  # pixels of a picture in the list

Pixels = NDArray[np.generic]


@dataclass(frozen=True)
class Grid:
    """A table of an audit: one value a cell, with its 95 % interval where it has one.

    Attributes:
        check: whose it is.
        title: what its cells are.
        rows: names of the rows.
        columns: names of the columns.
        values: [rows][columns]; None where nothing was measured.
        low: of the intervals.
        high: of the intervals.
        clean: the same of the items as they are; None where that is not known.
        unit: of the values.
        opens: whether a cell's worst items can be asked for.
    """

    check: str
    title: str
    rows: list[str]
    columns: list[str]
    values: list[list[float | None]]
    low: list[list[float | None]]
    high: list[list[float | None]]
    clean: float | None
    unit: str
    opens: bool


@dataclass(frozen=True)
class AuditRecord:
    """What audits of a run found: findings by check in the order of the checks, and the tables that they hold."""

    checks: list[dict[str, Any]]
    grids: list[Grid]
    time: float | None
    file: str


def record(path: Path) -> AuditRecord:
    """The newest audit that a run folder holds: evaluations/audit-*.json, or an audit.json that somebody kept there."""
    files = [*path.glob("evaluations/audit-*.json"), *path.glob("audit.json")]
    for file in sorted(files, key=lambda each: -each.stat().st_mtime):
        try:
            found = read_json(file)
            by_check = _by_check(found)
        except (StriateError, KeyError, TypeError, ValueError):
            continue
        checks = [
            {
                "name": name,
                "asks": CHECKS[name].asks,
                "findings": [f.as_dict() for f in by_check[name]],
            }
            for name in CHECKS
            if name in by_check
        ]
        grids = [grid for each in by_check.values() for f in each for grid in grids_of(f)]
        return AuditRecord(checks, grids, file.stat().st_mtime, file.relative_to(path).as_posix())
    return AuditRecord([], [], None, "")


def _by_check(found: Mapping[str, Any]) -> dict[str, list[Finding]]:
    """Findings by their check, of the record beside the run and of `striate audit --json`."""
    if "findings" in found:
        every = [Finding.of(row) for row in found["findings"]]
        return {name: [f for f in every if f.check == name] for name in {f.check for f in every}}
    return {
        str(name): [Finding.of(row) for row in rows] for name, rows in dict(found["checks"]).items()
    }


def grids_of(finding: Finding) -> Iterator[Grid]:
    """The tables that a finding's evidence holds."""
    rows = finding.evidence
    if not rows:
        return
    if finding.check == "corruptions" and "at" in rows[0]:
        name = finding.unit
        yield _grid(
            finding,
            f"{name} by kind and strength",
            {str(row["kind"]): [{"value": v} for v in row["at"]] for row in rows},
            [str(s) for s in STRENGTHS],
        )
    elif finding.check == "adversarial" and "attack" in rows[0]:
        attacks = [row for row in rows if "attack" in row]
        strengths = list(dict.fromkeys(f"{row['strength']:g}" for row in attacks))
        names = dict.fromkeys(str(row["attack"]) for row in attacks)
        table = {name: [_attack(attacks, name, s) for s in strengths] for name in names}
        what = "answers that stay" if "unchanged" in attacks[0] else "accuracy"
        yield _grid(finding, f"{what} by attack and grey levels", table, strengths)
    elif finding.check == "equivariance" and "change" in rows[0]:
        right = "label_accuracy" if "label_accuracy" in rows[0] else "accuracy"
        table = {
            str(row["change"]): [
                {"value": row["agreement"], "low": row["low"], "high": row["high"]},
                {"value": row[right]},
            ]
            for row in rows
            if "change" in row
        }
        title = f"answers that stay, and {right.replace('_', ' ')}"
        yield _grid(finding, title, table, ["agreement", right])
    elif finding.check == "calibration" and "confidence" in rows[0]:
        table = {
            f"{row['confidence']:.2f}": [
                {"value": row["right"], "low": row["low"], "high": row["high"]},
                {"value": row["items"]},
            ]
            for row in rows
        }
        yield _grid(finding, "share that is right by confidence", table, ["right", "items"])


def _attack(rows: Sequence[Mapping[str, Any]], name: str, strength: str) -> dict[str, Any]:
    of = (r for r in rows if r["attack"] == name and f"{r['strength']:g}" == strength)
    row = next(of, {})
    return {
        "value": row.get("accuracy", row.get("unchanged")),
        "low": row.get("low"),
        "high": row.get("high"),
    }


def _grid(
    finding: Finding, title: str, table: Mapping[str, list[dict[str, Any]]], columns: list[str]
) -> Grid:
    values, low, high = (
        [[cell.get(key) for cell in cells] for cells in table.values()]
        for key in ("value", "low", "high")
    )
    clean = finding.limit if finding.check in ("corruptions", "adversarial") else None
    opens = finding.check in ("corruptions", "adversarial", "equivariance")
    return Grid(
        finding.check, title, list(table), columns, values, low, high, clean, finding.unit, opens
    )


class _Cancelled(Exception):  # noqa: N818 - no error: somebody asked for it
    pass


@dataclass(frozen=True)
class _Stoppable(Net):
    """A net whose answers end when somebody cancels, in the middle of a check."""

    stop: Callable[[], bool] = lambda: False

    def outputs(self, stored: NDArray[Any]) -> Any:
        if self.stop():
            raise _Cancelled
        return super().outputs(stored)


class _OwnCopy(Run):
    """A run with a net of its own, so that nothing it does meets what the page does with the net."""

    stop: Callable[[], bool] = staticmethod(lambda: False)

    @property
    def used(self) -> Net:
        return _Stoppable(
            self.net, self.task, self.config.preprocessing, self.plan, self.tiling, self.stop
        )


def auditing(
    run: _OwnCopy, only: Sequence[str], budget: float | None
) -> Iterator[tuple[str, object]]:
    """Ask checks of a run, a check after the other; what is found is kept beside the run as `striate audit` does.

    Args:
        run: the run.
        only: names of checks; all if there are none.
        budget: about how many seconds.

    Yields:
        ("check", its name and question), then ("finding", its findings and tables) of each.

    Raises:
        ArgumentError: a check that does not exist.
    """
    if unknown := [name for name in only if name not in CHECKS]:
        raise ArgumentError(f"no check is called {unknown[0]!r}; there are {', '.join(CHECKS)}")
    chosen = [check for name, check in CHECKS.items() if not only or name in only]
    yield "start", {"checks": [{"name": c.name, "asks": c.asks} for c in chosen]}
    data = run.opened()
    for i, check in enumerate(chosen):
        yield "check", {"name": check.name, "asks": check.asks, "done": i, "of": len(chosen)}
        try:
            found = asked(run, data, [check], budget=budget, seed=0).findings
        except _Cancelled:
            yield "stopped", {"name": check.name}
            return
        yield (
            "finding",
            {
                "name": check.name,
                "asks": check.asks,
                "findings": [each.as_dict() for each in found],
                "grids": [grid for each in found for grid in grids_of(each)],
            },
        )


def start(session: Session, path: Path, only: Sequence[str], budget: float | None) -> Job:
    """An audit as a job in a thread of its own: the model thread stays free for the page."""
    run = _OwnCopy(path, runs.own_net(session, path))
    job = Job(auditing(run, only, budget))  # pyright: ignore[reportArgumentType] - an iterator that ends alike
    run.stop = lambda: job.cancelled
    with session.lock:
        session.jobs[job.id] = job

    def work() -> None:
        while job.step():
            pass

    threading.Thread(target=work, name="striate-studio-audit", daemon=True).start()
    return job


@dataclass(frozen=True, eq=False)
class Cell:
    """The worst items of a cell.

    Attributes:
        pictures: uint8 [n, H, W, 3], as the net was given them.
        items: of each its number in the split, name, truth, answers before and after, and score.
        of: how many items were answered.
        wrong: how many of those are wrong, or changed their answer, or None of tasks without right and wrong.
        split: whose items.
        score: what they are sorted by.
    """

    pictures: NDArray[np.uint8]
    items: list[dict[str, Any]]
    of: int
    wrong: int | None
    split: str
    score: str


def cell(case: Case, check: str, row: str, column: str, *, side: int = SIDE) -> Cell:
    """The items on which a cell of an audit's table is worst.

    Args:
        case: the run and the data that it is judged on.
        check: corruptions, equivariance or adversarial.
        row: of the table: the kind, change or attack.
        column: of the table: the strength; of equivariance any.
        side: pixels to which pictures are reduced; 0 for their own size.

    Raises:
        ArgumentError: no such cell, or inputs that are no pictures of one size.
    """
    if not case.data.pictures or case.varied():
        raise ArgumentError(f"the items are {case.data.noun} of several sizes, or no pictures")
    index = case.sample(MOST // 3 if check == "adversarial" else MOST, check)
    stored = np.array(case.arrays.inputs[index])
    spoilt = _spoilt(case, stored, index, (check, row, column))
    if not case.has_labels:
        return _by_score(case, stored, spoilt, index, side)
    before, after = (
        torch.softmax(case.outputs(each).double(), 1).numpy() for each in (stored, spoilt)
    )
    labels = case.labels()[index]
    was, now = before.argmax(1), after.argmax(1)
    bad = (now != was) if check == "equivariance" else (now != labels)
    sure = after.max(1)
    order = np.lexsort((-np.where(bad, sure, -sure), ~bad))[:WORST]
    names = case.data.classes
    items = [
        {
            "index": int(case.arrays.numbers[index[i]]),
            "name": case.arrays.names[int(index[i])],
            "truth": names[int(labels[i])],
            "before": names[int(was[i])],
            "answer": names[int(now[i])],
            "p": float(sure[i]),
            "bad": bool(bad[i]),
        }
        for i in order.tolist()
    ]
    return Cell(
        _thumbs(spoilt[order], side), items, len(index), int(bad.sum()), case.split, "confidence"
    )


def _by_score(
    case: Case, stored: Pixels, spoilt: Pixels, index: NDArray[np.int64], side: int
) -> Cell:
    """The same of tasks whose items have a score each: those with the worst."""
    name, before = case.scored(stored, index)
    _, after = case.scored(spoilt, index)
    order = np.argsort(after, kind="stable")[:WORST]
    items = [
        {
            "index": int(case.arrays.numbers[index[i]]),
            "name": case.arrays.names[int(index[i])],
            "truth": "",
            "before": f"{abs(before[i]):.3g}",
            "answer": f"{abs(after[i]):.3g}",
            "p": float(abs(after[i])),
            "bad": bool(after[i] < before[i]),
        }
        for i in order.tolist()
    ]
    return Cell(_thumbs(spoilt[order], side), items, len(index), None, case.split, name)


def _spoilt(
    case: Case, stored: Pixels, index: NDArray[np.int64], at: tuple[str, str, str]
) -> Pixels:
    """Stored pictures [N, H, W, C] as the cell `at` (check, row, column) has them."""
    check, row, column = at
    if check == "equivariance":
        changes = {each.name: each for each in CHANGES}
        if row not in changes:
            raise ArgumentError(f"row={row}: expected one of {', '.join(changes)}")
        return changed(stored, changes[row].of)
    x = torch.from_numpy(np.asarray(stored, np.float32)).permute(0, 3, 1, 2).contiguous()
    if check == "corruptions":
        if row not in KINDS or column not in map(str, STRENGTHS):
            raise ArgumentError(f"{row} {column}: no such kind, or strength from 1 to 5")
        found = corrupted(x, row, int(column), case.generator(row, int(column)))
    elif check == "adversarial":
        found = _attacked(case, x, index, row, column)
    else:
        raise ArgumentError(f"check={check}: cells are of corruptions, equivariance, adversarial")
    pixels = found.permute(0, 2, 3, 1).numpy()
    return np.rint(pixels).astype(np.uint8) if stored.dtype == np.uint8 else pixels.copy()


def _attacked(
    case: Case, x: torch.Tensor, index: NDArray[np.int64], way: str, strength: str
) -> torch.Tensor:
    if not (case.has_labels or case.several):
        raise ArgumentError("attacks are on items of one label or several each")
    steps = {"noise": 0, "one step": 1, "pgd": STEPS}
    try:
        levels = float(strength)
    except ValueError:
        levels = -1.0
    if way not in steps or not 0 < levels <= 255:
        raise ArgumentError(f"{way} {strength}: no such attack, or grey levels from 0 to 255")
    generator, used = case.generator("adversarial"), case.used
    if not steps[way]:
        return noise(x, Attack("linf", levels), generator)

    logits = logits_of(used)
    with as_eval(used.net), frozen(used.net), used.plan.uncompiled():
        if case.several:
            with torch.no_grad():
                labels = logits(x) >= 0
        else:
            labels = torch.from_numpy(case.labels()[index])
        return attacked(logits, x, labels, Attack("linf", levels, steps[way]), generator)


def _thumbs(stored: Pixels, side: int) -> NDArray[np.uint8]:
    """Pictures [n, H, W, 3], reduced to at most `side` pixels; 0 leaves their size."""
    from PIL import Image

    pictures = [paint.as_rgb(each) for each in stored]
    if not pictures:
        return np.zeros((0, 1, 1, 3), np.uint8)
    height, width = pictures[0].shape[:2]
    if not side or max(height, width) <= side:
        return np.stack(pictures)
    size = max(1, width * side // max(height, width)), max(1, height * side // max(height, width))
    return np.stack([np.asarray(Image.fromarray(p).resize(size)) for p in pictures])


@lru_cache(maxsize=2)
def _opened(path: Path, own: torch.nn.Module | None, _changed: float) -> Case:
    """A run with a net of its own and its data, kept for the next cell."""
    run = _OwnCopy(path, own)
    data = run.opened()
    split = next(name for name in ("test", "val", *data.splits) if name in data.splits)
    return Case(run, run.prepared(data, split), split)


def _audit(session: Session, request: Request) -> Answer:
    return json_answer(record(runs.folder(session, request)[1]))


def _begin(session: Session, request: Request) -> Answer:
    _, path = runs.folder(session, request)
    body = request.json()
    only, budget = body.get("only") or [], body.get("budget", 60)
    if not isinstance(only, list) or not all(isinstance(name, str) for name in only):
        raise Refusal(400, "only: expected a list of names of checks", "only")
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget <= 3600:
        raise Refusal(400, "budget: expected seconds from 0 to 3,600", "budget")
    if unknown := [name for name in only if name not in CHECKS]:
        raise Refusal(400, f"no check is called {unknown[0]!r}", "only")
    if not (path / "model.safetensors").exists():
        raise Refusal(409, "the training did not end yet: there is no net to audit", "run")
    return json_answer({"id": start(session, path, only, float(budget)).id})


def _cell(session: Session, request: Request) -> Answer:
    _, path = runs.folder(session, request)
    at = request.text("check"), request.text("row"), request.text("column", "")
    which = request.whole("whole", -1)
    try:
        stamp = (path / "config.json").stat().st_mtime
    except OSError:
        stamp = 0.0
    own = runs.own_net(session, path)

    def work() -> Cell:
        return cell(_opened(path, own, stamp), *at, side=0 if which >= 0 else SIDE)

    found = session.on_model(work, view=request.view and f"cell {request.view}")
    if which >= len(found.items):
        raise Refusal(404, f"whole={which}: there are {len(found.items)} items", "whole")
    if which >= 0:
        one = slice(which, which + 1)
        found = replace(found, pictures=found.pictures[one], items=found.items[one])
    meta = {
        "check": at[0],
        "row": at[1],
        "column": at[2],
        "of": found.of,
        "wrong": found.wrong,
        "split": found.split,
        "score": found.score,
        "items": found.items,
    }
    return array_answer({"pictures": found.pictures}, meta, fixed=False)


ROUTES = [
    Route("GET", "api/runs/{run}/audit", _audit),
    Route("POST", "api/runs/{run}/audit", _begin),
    Route("GET", "api/runs/{run}/cell", _cell),
]
