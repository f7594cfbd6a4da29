"""`striate audit`: what a run is judged on is opened as `evaluate` opens it, then every check is asked."""

from collections.abc import Callable, Collection
from pathlib import Path

from striate import auditing
from striate import data as data_room
from striate.auditing import Audit
from striate.data import Data
from striate.runs import Run
from striate.training.recipe import read_duration


def audit(  # noqa: PLR0913 - one a setting
    run: Run | str | Path | None,
    data: Data | str | Path | None = None,
    *,
    split: str | None = None,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    fail_on: Collection[str] = (),
    budget: str | float | None = 180.0,
    seed: int = 0,
    say: Callable[[str], None] = lambda _words: None,
) -> Audit:
    """Where a net fails, and whether its scores mean what they seem to.

    Args:
        run: a run, or its folder; None to look at data before a training.
        data: what to judge on; the data of the run, split as it was trained, if not given.
        split: which part is judged; test, else val, else the first there is.
        only: names of checks: no others are asked.
        skip: names of checks that are not asked.
        fail_on: checks that fail the audit beside those that always do.
        budget: about how long it may take, such as "90s", or seconds; None for no limit.
        seed: of every draw.
        say: gets lines on what is asked, and about how long it takes.

    Raises:
        ArgumentError: a check that does not exist.
        RecipeError: a budget that is no time.
        DataError: the data cannot be opened, or changed since the training.
        CheckpointError: the run cannot be read.
    """
    # Before the data are opened: a wrong name or time must not wait for them.
    seconds = read_duration(budget)
    checks = auditing.chosen(only, skip, with_net=run is not None, gates=fail_on)
    opened = Run.load(run) if isinstance(run, str | Path) else run
    if isinstance(data, Data):
        judged = data
    elif opened is not None:
        judged = opened.opened(data)
    else:
        judged = data_room.open(data or "", broken="skip")
    for line in judged.since:
        say(line)
    return auditing.audit(
        opened,
        judged,
        checks,
        gates=fail_on,
        split=split,
        budget=seconds,
        seed=seed,
        say=say,
    )
