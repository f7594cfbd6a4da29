"""What a training writes down: checkpoints, one row an epoch, and at the end the finished run folder."""

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from striate.data import Arrays, Data
from striate.errors import CheckpointError, NumericError, Stopped, StriateError, UsageError
from striate.plan import Plan
from striate.plan.tiles import Tiling
from striate.runs import Run, checkpoint, folder
from striate.runs.answering import Answered, Net, answered
from striate.runs.checkpoint import Checkpoint
from striate.runs.config import Config
from striate.runs.split_answers import Held, natural_sizes, write_items, write_table
from striate.tasks import Task
from striate.training import optimizers
from striate.training.batches import Batches
from striate.training.distributed import ALONE, Alone
from striate.training.failures import before_update, check_weights, failed_layer
from striate.training.logs import Board
from striate.training.recipe import Recipe
from striate.training.state import BrokenStepError, State, Totals, kept

FAILURES = 3  # checkpoints in a row that may fail to be written
SUMS = "sums"  # the name of loss and items beside the state of a meter
PARTS = ("items", "scores", "notes")  # of scores that summary.json keeps
SAVE_EVERY = 300.0  # seconds between checkpoints within a long epoch

Row = dict[str, float]


@dataclass(frozen=True)
class Progress:
    """Who is told how a training goes, and when it began.

    Attributes:
        say: gets lines.
        bar: gets a name, what is done and of how much.
        note: gets what is to be read beside the bar, before the bar moves: the loss, the time that is left.
        width: the most letters of a row of figures.
        began: when the command did, by `time.monotonic`; a `budget=` is counted from there.
    """

    say: Callable[[str], None] = lambda _line: None
    bar: Callable[[str, int, int], None] = lambda _name, _done, _total: None
    note: Callable[[str], None] = lambda _words: None
    width: int = 80
    began: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Job:
    """All that a training needs besides its changing state."""

    path: Path
    data: Data
    recipe: Recipe
    config: Config
    plan: Plan
    batches: Batches
    task: Task
    progress: Progress
    ranks: Alone = ALONE

    @property
    def steps(self) -> int:
        """Steps of the whole training, unless the clock or patience ends it sooner."""
        return self.batches.steps * self.recipe.most_epochs

    def of_all(self) -> str:
        """The end of a sentence about a step, where their number is known."""
        return f" of {self.steps:,}" if self.recipe.epochs else ""

    def held_out(self) -> Arrays:
        """The items that are answered after every epoch."""
        return self.data.arrays(self.data.held_out, form=self.config.preprocessing.form)


@dataclass(frozen=True)
class Fitted:
    """A finished training: its run, the answers to the held-out items, and to a test split beside them.

    `start` is the net with its first weights, where those are still to be had.
    """

    run: Run
    data: Data
    held: Held
    test: Held | None
    start: nn.Module | None = None


@dataclass
class Record:
    """The memory of a training besides weights and optimiser: rows of results.csv, and the time."""

    path: Path
    rows: list[Row] = field(default_factory=list[Row])
    seconds: float = 0.0  # spent before `started`
    ended: float = 0.0  # what had been spent when the last epoch ended
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)
    saved_step: int = -1
    board: Board | None = None
    say: Callable[[str], None] = lambda _line: None
    failed: int = 0  # checkpoints in a row that could not be written
    deaf: bool = False  # the table could not be written, which was said
    ranks: Alone = ALONE  # of which the first writes
    merit: float | None = None  # of the last epoch
    keep: int = 2  # checkpoints, the newest ones
    answering: float = 0.0  # seconds in which the held-out items were answered last
    stepped: float = 0.0  # seconds of steps since the training was begun or resumed:
    prepared: float = 0.0  # those in which batches were made of items that were there

    def spent(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return self.seconds + time.monotonic() - self.started

    def save(self, state: State, merit: float | None = None, *, last: bool = False) -> None:
        """Write a checkpoint, in the first process; one that cannot be written is said, and tried again when the next is due.

        Args:
            state: of the training.
            merit: what "best" is judged by.
            last: nothing comes after it, so that it must be written.

        Raises:
            BrokenStepError: the weights are no numbers; nothing is written.
            CheckpointError: it cannot be written and must be, or could not be three times in a row.
        """
        if not self.ranks.first:
            return
        check_weights(state)
        memory = {
            **state.memory(), "rows": self.rows, "seconds": self.spent(), "ended": self.ended,
        }  # fmt: skip
        self.saved = time.monotonic()
        try:
            found = Checkpoint(state.step, state.tensors(), memory, merit)
            checkpoint.save(self.path, found, keep=self.keep)
        except CheckpointError as error:
            self.failed += 1
            if last or self.failed == FAILURES:
                raise
            self.say(f"{error}; tried again at the next ({self.failed} of {FAILURES})")
            return
        self.saved_step, self.failed = state.step, 0

    @classmethod
    def restore(cls, path: Path, found: Checkpoint, state: State, ranks: Alone) -> "Record":
        """Put a checkpoint back into a training's state, and give the record that goes with it."""
        memory = state.go_back(path, found)
        record = cls(path, memory.rows, memory.seconds, ranks=ranks, ended=memory.epochs_ended)
        record.saved_step = found.step
        if record.rows and ranks.first:  # a crash between checkpoint and table leaves it short
            with contextlib.suppress(CheckpointError):  # it is said when the next row is due
                write_results(path / "results.csv", record.rows)
        return record

    def back(self, state: State) -> None:
        """Put a state, and the rows, back to the last whole checkpoint.

        Raises:
            CheckpointError: there is none.
        """
        found = checkpoint.newest(self.path)[0] if self.ranks.first else None
        found = self.ranks.same(found, state.net)
        if found is None:
            raise CheckpointError(f"{self.path}: its checkpoints are gone; train anew")
        memory = state.go_back(self.path, found)
        self.rows, self.saved_step, self.ended = memory.rows, found.step, memory.epochs_ended
        if self.rows:
            self._write_table()

    def _write_table(self) -> None:
        """Write results.csv, in the first process; a disk that is full is said once, and costs no training."""
        if not self.ranks.first:
            return
        try:
            write_results(self.path / "results.csv", self.rows)
        except CheckpointError as error:
            if not self.deaf:
                self.say(
                    f"{error}; the training goes on without it, its rows are in the checkpoints"
                )
            self.deaf = True

    def after_step(self, state: State, signum: int | None) -> None:
        """Save now and then within a long epoch, and before a signal ends the training.

        Raises:
            Stopped: a signal came.
        """
        if signum is None and time.monotonic() - self.saved < SAVE_EVERY:
            return
        if state.step != self.saved_step:
            self.save(state, last=signum is not None)
        if signum is not None:
            self.ranks.meet("stopped")  # nobody leaves while the first still writes
            raise self.stopped(state, signum)

    def stopped(self, state: State, signum: int) -> Stopped:
        """The words with which a signal ends the training, and the way on."""
        return Stopped(
            f"stopped after step {state.step:,}; everything so far is kept. "
            f"Go on with: striate train --resume {self.path}",
            signum,
        )

    def after_epoch(self, state: State, epoch: int, held: Arrays, job: Job) -> Row:
        """Answer the held-out items, add a row to results.csv, write a checkpoint."""
        before = self.spent()
        found = _answered(state, held, job)
        spent = self.spent()
        self.answering = spent - before
        values = found.meter.values()
        totals, items = (
            state.totals,
            max(1, state.totals.items),
        )  # of none where every step was left out
        since = epoch + 1 - (int(self.rows[-1]["epoch"]) if self.rows else 0)
        row = {
            "epoch": epoch + 1,
            "lr": optimizers.recipe_rate(state.opt),
            "train_loss": totals.loss / items,
            **{f"train_{name}": value / items for name, value in totals.counts.items()},
            **{f"train_{name}": value / items for name, value in totals.parts.items()},
            **({"val_loss": found.loss / found.items} if job.task.held_loss else {}),
            **{f"val_{name}": value for name, value in values.items()},
            "seconds": spent - self.ended,
            "items_per_second": totals.items / max(totals.seconds, 1e-9),
            "waiting": totals.waited / max(totals.seconds, 1e-9),
            **({"skipped": state.scale.skipped} if state.scale else {}),
        }
        self.rows.append(row)
        if epoch >= 0:  # a linear probe comes before the first
            self.stepped, self.prepared = (
                self.stepped + totals.seconds,
                self.prepared + totals.prepared,
            )
        self.ended = spent
        # A test split is watched, never chosen by: without a validation split there is no merit, and what
        # waits for a smaller loss looks at the training's own.
        chosen_by = job.data.held_out == "val"
        state.course.judge(row.get("val_loss" if chosen_by else "train_loss"), job.recipe, since)
        state.totals = Totals()
        self.merit = found.meter.merit
        self.save(state, self.merit if chosen_by else None)
        self._write_table()
        if self.board:
            self.board.epoch(row, state.step)
        return row

    @contextlib.contextmanager
    def explained(self, state: State, *, own: bool) -> Generator[None]:
        """Say of a step that fails within the block which it was, and keep what was learned before it.

        Args:
            state: of the training.
            own: whether the net is the user's own; what another raises is a fault of this package, and stays.

        Raises:
            NumericError: a loss, a gradient or a weight is no number.
            UsageError: the user's own net raised something.
        """
        try:
            yield
        except BrokenStepError as error:
            raise self.broken(error) from error
        except StriateError:
            raise
        except Exception as error:
            ended = self._kept_before(state, error)
            if not own:
                raise
            layer = failed_layer(error, state.net)
            reason = " ".join(str(error).split())[:300]
            raise UsageError(
                f"step {state.step + 1}: the net fails{f' in {layer}' if layer else ''}: {type(error).__name__}: {reason}; "
                f"{ended}. Mend the net, then go on with: striate train --resume {self.path} --net package.module:factory"
            ) from error

    def _kept_before(self, state: State, error: Exception) -> str:
        """Keep what was learned before a step that failed, and say whether it is kept."""
        if not before_update(error):  # half of the weights may have been changed
            return "the last checkpoint is kept"
        if state.step != self.saved_step:
            try:
                self.save(state, last=True)
            except (CheckpointError, NumericError) as lost:
                return f"the steps before it could not be kept ({lost})"
        return "the steps before it are kept"

    def broken(self, error: BrokenStepError) -> NumericError:
        """Write failure.json, and say where the last good weights are."""
        if self.ranks.first:
            with contextlib.suppress(CheckpointError):  # a full disk must not hide what went wrong
                folder.write_json(self.path / "failure.json", error.details)
        good = sorted((self.path / "checkpoints").glob("step-*"))
        kept = f"the last good checkpoint is {good[-1]}" if good else "no epoch had ended before"
        return NumericError(f"{error}; {kept}")

    def finish(self, state: State, job: Job) -> Fitted:
        """Write the best weights, the answers and the summary, and open the finished run."""
        if self.saved_step != state.step:
            merit = self.merit if job.data.held_out == "val" else None
            self.save(state, merit, last=True)
        write_results(self.path / "results.csv", self.rows)
        best, warnings = checkpoint.best(self.path)
        for line in warnings:
            job.progress.say(line)
        net = state.answering
        if best is not None:
            net.load_state_dict(kept(best.tensors))
        epoch = -(-(best.step if best else state.step) // job.batches.steps)
        if not epoch and state.step:
            job.progress.say(
                f"the linear probe is kept: no epoch after it answered {job.data.held_out} items better"
            )
        content = checkpoint.pack(net.state_dict())
        folder.write_bytes(self.path / "model.safetensors", content)
        settings = _chosen(job, net).config()
        replace(job.config, weights=sha256(content).hexdigest(), task_settings=settings).write(
            self.path
        )
        run = Run(self.path, net if job.config.net.own else None)
        held = run.held(job.data, job.data.held_out)
        test = run.held(job.data, "test") if {"val", "test"} <= set(job.data.splits) else None
        digest = write_items(self.path / "items.csv", held)
        summary = {**self._summary(job, epoch, held, test), "items_sha256": digest}
        folder.write_sealed(self.path / "summary.json", summary)
        return Fitted(run, job.data, held, test)

    def _summary(self, job: Job, epoch: int, held: Held, test: Held | None) -> dict[str, Any]:
        """The JSON shape `train`."""
        scored = held.scores.as_dict()
        summary: dict[str, Any] = {
            "format": 2,
            "run": str(self.path.absolute()),
            "task": job.task.name,
            "net": job.config.net.name,
            "epochs": int(self.rows[-1]["epoch"]),  # a linear probe comes before the first
            "steps": job.batches.steps,  # of an epoch
            "kept": epoch,  # the epoch whose weights these are
            "seconds": round(self.spent(), 3),
            # Views, spectra and scaling: of the time of the steps.
            **({"preparing": round(self.prepared / self.stepped, 4)} if self.stepped else {}),
            "split": job.data.held_out,
            "items": scored["items"],
            **{key: scored[key] for key in PARTS[1:] if key in scored},
        }
        if test is not None:
            tested = test.scores.as_dict()
            summary["test"] = {key: tested[key] for key in PARTS if key in tested}
        return summary


def write_results(path: Path, rows: list[Row]) -> None:
    """Write results.csv whole: one row an epoch."""
    cells = [[f"{value:.6g}" for value in row.values()] for row in rows]
    write_table(path, list(rows[0]), cells)


def _chosen(job: Job, net: nn.Module) -> Task:
    """The task with what the answers of the trained net to the validation items decide; a test split decides nothing."""
    if not job.task.unsettled or job.data.held_out != "val":
        return job.task
    split = job.data.splits["val"]
    used = Net(
        net, job.task, job.config.preprocessing, job.plan, Tiling.from_dict(job.config.tiling)
    )
    found = answered(used, job.held_out(), split.targets, natural_sizes(split), quick=True)
    task, said = job.task.settled_by(found.meter)
    job.progress.say(said)
    return task


def _answered(state: State, held: Arrays, job: Job) -> Answered:
    """Count the answers to the held-out items, each process its own part of them."""
    job.ranks.level(state.answering)  # statistics of batches differ between processes
    split = job.data.splits[job.data.held_out]
    tiling = Tiling.from_dict(job.config.tiling)
    used = Net(state.answering, job.task, job.config.preprocessing, job.plan, tiling)
    part = job.ranks.part(len(held))
    mine = answered(used, held, split.targets, natural_sizes(split), part=part, quick=True)
    sums = np.array([mine.loss, mine.items], np.float64)
    whole = Answered(job.task.meter())
    for theirs in job.ranks.gathered({**mine.meter.state(), SUMS: sums}):
        whole.loss += float(theirs[SUMS][0])
        whole.items += int(theirs[SUMS][1])
        whole.meter.merge({name: array for name, array in theirs.items() if name != SUMS})
    return whole
