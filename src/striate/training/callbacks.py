"""What is done after every step and every epoch of a training: progress, logs, checkpoints, the held-out items."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from striate.data import Arrays
from striate.errors import Terminated
from striate.text import rough
from striate.training.budget import Budget
from striate.training.distributed import Signals
from striate.training.epoch_table import EpochTable, loss_words
from striate.training.failures import Guard, catch_signals
from striate.training.logs import Health
from striate.training.loop import Setting
from striate.training.record import Job, Record
from striate.training.state import State


@dataclass(frozen=True)
class Callbacks:
    """The callbacks of one training, and the setting that its loop runs with."""

    job: Job
    record: Record
    setting: Setting
    signals: Signals
    held: Arrays
    table: EpochTable

    def step(self, state: State) -> None:
        """After a step: show how far the training is, save now and then, end it where a signal asks for that.

        Raises:
            Stopped: a signal came; a checkpoint was written.
        """
        job, recipe = self.job, self.job.recipe
        job.progress.note(self._note(state))
        if recipe.epochs:
            job.progress.bar("training", state.step, job.steps)
        else:
            job.progress.bar("training", int(self.setting.spent()), int(recipe.budget or 0))
        self.record.after_step(state, self.signals.signum)

    def _note(self, state: State) -> str:
        """The mean loss of the epoch so far, at its beginning of the last one, and the time that is left."""
        totals, left, rows = state.totals, self._left(state), self.record.rows
        loss = rows[-1]["train_loss"] if rows else None
        loss = totals.loss / totals.items if totals.items else loss
        words = "" if loss is None else f"loss {loss_words(loss)}  "
        return words + (f"{rough(left)} left" if left >= 1 else "")

    def _left(self, state: State) -> float:
        """Seconds that the training will still take, if it goes on as it went."""
        share = self.setting.place(state).share
        return self.record.spent() * (1 - share) / share if share > 0 else 0.0

    def begin(self, state: State) -> None:
        """Before the first step of a net whose last layer is a linear probe: the row of epoch 0."""
        row = self.record.after_epoch(state, -1, self.held, self.job)
        for line in self.table.lines(row, self._left(state)):
            self.job.progress.say(line)

    def epoch(self, state: State, epoch: int) -> bool:
        """After an epoch: answer the held-out items, write the row and a checkpoint, print a line; or none of it yet."""
        job = self.job
        if (epoch + 1) % (job.recipe.validation_freq or 1) and not self.setting.over(state):
            return False
        row = self.record.after_epoch(state, epoch, self.held, job)
        for line in self.table.lines(row, self._left(state)):
            job.progress.say(line)
        return True


@contextmanager
def of_training(job: Job, state: State, record: Record) -> Generator[Callbacks]:
    """Around the loop: signals are caught, and a broken step says where the last good weights are.

    Raises:
        NumericError: a step was broken; failure.json says how.
        UsageError: the user's own net raised something.
    """
    held = job.held_out()
    health, guard = _logs(job, state, record)
    with catch_signals() as interrupt:
        clock = record.spent
        if job.recipe.budget and job.ranks.first:
            clock = Budget(job, record).spent
        signals = job.ranks.listen(interrupt, clock)
        setting = Setting(
            job.batches, job.task, job.recipe, job.plan, health, signals.spent, guard, job.ranks
        )
        with record.explained(state, own=job.config.net.own):
            noun = job.task.noun or job.data.noun
            table = EpochTable(noun, job.data.held_out, job.recipe.epochs or 0, job.progress.width)
            after = Callbacks(job, record, setting, signals, held, table)
            if job.recipe.linear_probe != "none" and not (state.step or record.rows):
                after.begin(state)
            yield after
    if state.course.over(job.recipe):
        patience = job.recipe.patience
        job.progress.say(f"ended: no smaller loss for {patience} epoch{'s' * (patience != 1)}")
    elif job.recipe.linear_probe == "only":
        return
    elif job.recipe.epochs and state.step < job.batches.steps * job.recipe.epochs:
        done = state.step / job.batches.steps
        job.progress.say(
            f"ended: the time of budget= is over after {done:.1f} of {job.recipe.epochs} epochs"
        )


@contextmanager
def interruptible(state: State, record: Record) -> Generator[None]:
    """Say at Ctrl-C how to go on, before the loop and after it; within it a signal is waited for."""
    try:
        yield
    except KeyboardInterrupt as error:
        signum = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
        raise record.stopped(state, signum) from None


def _logs(job: Job, state: State, record: Record) -> tuple[Health, Guard]:
    """The log of all layers and the guard of the steps, both without what comes after the step of the state."""
    recipe, first, say = job.recipe, job.ranks.first, job.progress.say
    health = Health(job.path, recipe.health if first else 0, job.plan, say, record.board)

    def roll_back(state: State) -> None:
        record.back(state)
        if first:
            health.forget(state.step)

    guard = Guard(recipe.on_nan, recipe.oom, job.path if first else None, say, roll_back)
    guard.mishaps = job.ranks.broadcast(guard.mishaps)
    if first:
        health.forget(state.step)
    if recipe.on_nan == "rollback" and state.step == 0:
        record.save(state)  # what there is to go back to
    return health, guard
