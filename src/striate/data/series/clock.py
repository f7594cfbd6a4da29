"""When the steps of a series are: time stamps read and written, steps that are missing, periods such as the day.

T steps, P periods. Times are whole seconds since 1970, or whole months where steps are months or years; where nothing
is known of the time a step is its own number.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.index import Fault
from striate.errors import ArgumentError, DataError

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]

DAY, WEEK, YEAR = 86_400, 7 * 86_400, 31_556_952  # seconds; the mean Gregorian year
MONDAY = 4 * DAY  # the first one of 1970
LENGTHS = {"day": DAY, "week": WEEK, "year": YEAR}
FEWEST_STEPS = 4  # of a period, that a step can tell its parts apart
CYCLES = 2  # of a period that are needed in what is trained on before it is used
# fmt: off
FORMS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y-%m", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S.%f",
    "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p",
)
# fmt: on
ISO = "iso"  # whatever else ISO 8601 has, such as an offset from UTC
EPOCH = {
    "epoch": 1,
    "epoch_ms": 1_000,
    "epoch_us": 1_000_000,
    "epoch_ns": 1_000_000_000,
}  # parts of a second since 1970
_PLACES = 5  # of a fault that are named
_NEAR = 0.02  # of a step by which a stamp may be off
SET_BACK = 2 * 3600  # seconds that summer time is ahead at most
_MOST_GAPS = 10  # times as many steps as rows, beyond which the stamps are not believed
# What is looked for where no time is known: hours of a day and a week, days of a week, quarters, months, weeks, ...
GUESSES = (7, 12, 24, 48, 52, 96, 144, 168, 288, 336, 672, 1008, 2016)
RISE = 0.1  # of that above the one half a period before
REPEATS = 0.3  # autocorrelation from which a series is said to repeat


class Period(NamedTuple):
    """What comes again: its name, its length in steps, and how far into it step 0 is, in steps."""

    name: str
    steps: float
    phase: float

    def place(self, steps: NDArray[Any]) -> NDArray[np.float64]:
        """How far into it steps are, from 0 to below 1."""
        return (np.asarray(steps, np.float64) + self.phase) / self.steps % 1.0


@dataclass(frozen=True)
class Clock:
    """When the steps of a series are.

    Attributes:
        first: of step 0: seconds since 1970, months since then, or a number.
        step: from one to the next, in the same.
        unit: "s", "M", or "" where only numbers are known.
        form: how stamps are written, of `FORMS`, or `ISO`, or of `EPOCH`.
        offset: seconds by which the clock of the first stamp is ahead of UTC, where stamps say it.
    """

    first: int = 0
    step: int = 1
    unit: str = ""
    form: str = ""
    offset: int = 0

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Clock":
        """What `vars` gave.

        Raises:
            ValueError: of other kinds.
        """
        found = cls(**content)
        whole = (found.first, found.step, found.offset)
        if (
            any(type(each) is not int for each in whole)
            or found.step < 1
            or abs(found.offset) >= DAY
        ):
            raise ValueError(f"clock {dict(content)}")
        return found

    def stamp(self, i: int) -> str:
        """Step i as the series write it."""
        at = self.first + i * self.step
        if not self.unit:
            return str(at)
        if self.unit == "M":
            return datetime(1970 + at // 12, 1 + at % 12, 1, tzinfo=UTC).strftime(self.form)
        if self.form in EPOCH:
            return str(at * EPOCH[self.form])
        when = datetime.fromtimestamp(at, timezone(timedelta(seconds=self.offset)))
        return when.isoformat(" ") if self.form == ISO else when.strftime(self.form)

    def label(self, i: int) -> str:
        """Step i for people: as `stamp`, but with a date where the series count seconds."""
        return replace(self, form=FORMS[0]).stamp(i) if self.form in EPOCH else self.stamp(i)

    def days(self, first: int, last: int) -> set[int]:
        """The days of the week, Monday 0, that the steps from `first` to before `last` lie on; none where steps are no part of a day."""
        if self.unit != "s" or FEWEST_STEPS * self.step > DAY:
            return set()
        at = self.first + self.offset + np.arange(first, last) * self.step
        return set(((at - MONDAY) // DAY % 7).tolist())

    def words(self) -> str:
        """The step, as people say it."""
        if not self.unit:
            return "without time stamps"
        if self.unit == "M":
            return f"every {self.step} months" if self.step > 1 else "every month"
        for name, seconds in (("week", WEEK), ("day", DAY), ("hour", 3600), ("minute", 60)):
            if self.step % seconds == 0:
                count = self.step // seconds
                return f"every {count} {name}s" if count > 1 else f"every {name}"
        return f"every {self.step} s"

    def period(self, word: str) -> Period:
        """A period of this series: day, week or year, or a number of steps.

        Raises:
            ArgumentError: no such word, or one of time where no time is known.
        """
        if word in LENGTHS and self.unit == "M" and word == "year":
            return Period(word, 12 / self.step, self.first / self.step)
        if word in LENGTHS and self.unit == "s":
            since = self.first + self.offset - (MONDAY if word == "week" else 0)
            return Period(word, LENGTHS[word] / self.step, since / self.step)
        if word.isdecimal() and int(word) > 1:
            return Period(word, int(word), 0.0)
        known = "day, week, year, or a number of steps" if self.unit else "a number of steps"
        raise ArgumentError(
            f"period={word}: expected {known} such as 24 of a series {self.words()}"
        )

    def usual(self, steps: int) -> tuple[str, ...]:
        """The periods of time that so many steps hold twice or more."""
        if not self.unit:
            return ()
        words = LENGTHS if self.unit == "s" else ("year",)
        lengths = {word: self.period(word).steps for word in words}
        return tuple(w for w, n in lengths.items() if FEWEST_STEPS <= n <= steps / CYCLES)


def channels(periods: Sequence[Period], steps: NDArray[Any]) -> F32:
    """Sine and cosine of how far into each period steps are, [T, 2 P]."""
    angles = [2 * math.pi * period.place(steps) for period in periods]
    waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.stack(waves, 1).astype(np.float32) if waves else np.empty((len(steps), 0), np.float32)


def guessed(values_TN: F32) -> dict[str, float]:
    """The number of steps after which the mean of all series is most like itself, and shorter ones in it, with autocorrelations.

    Nothing where it is below `REPEATS`, or nothing is held twice.
    """
    known = ~np.isnan(values_TN)
    mean = np.where(known, values_TN, 0.0).sum(1) / np.maximum(known.sum(1), 1)
    mean = mean - mean.mean() if len(mean) else mean
    whole = float((mean**2).sum())

    def like(lag: int) -> float:
        return float((mean[lag:] * mean[:-lag]).sum()) / whole * len(mean) / (len(mean) - lag)

    found = {lag: like(lag) for lag in GUESSES if whole > 0 and len(mean) >= CYCLES * lag}
    # Slow series are like themselves a little later too; what comes again is less so half a period before.
    found = {lag: value for lag, value in found.items() if value > like(lag // 2) + RISE}
    best = max(found, key=lambda lag: found[lag], default=0)
    if not best or found[best] < REPEATS:
        return {}
    return {str(n): found[n] for n in found if best % n == 0 and found[n] >= REPEATS}


# -------------------------------------------------------------------------------------- time stamps


def read_stamps(words: Sequence[str], name: str) -> tuple[I64, str] | None:
    """Seconds since 1970 of time stamps, and the form they have; None where the first is none.

    Of forms that differ in the order of day and month the one is taken in which all can be read, then the one in which
    they are more evenly spaced.

    Raises:
        DataError: one in the middle is none; with its number.
    """
    far, reached = "", -1
    for form in FORMS:
        seconds, count = _in_form(words, form)
        if count == len(words):
            found, other = np.array(seconds, np.int64), swapped(form)
            turned, count = _in_form(words, other) if other else ([], 0)
            if count == len(words) and _evenness(np.array(turned)) > _evenness(found):
                return np.array(turned, np.int64), other
            return found, form
        if count > reached:
            far, reached = form, count
    seconds, count = _in_form(words, ISO)
    if count == len(words):
        return np.array(seconds, np.int64), ISO
    if max(reached, count) < 1:
        return None
    at = max(reached, count)
    raise DataError(
        f"{name}: the time stamp {words[at]!r} of row {at + 1} is not like those before it ({words[0]}, read as "
        f"{far if reached >= count else 'ISO 8601'})"
    )


def offset_of(word: str, form: str) -> int:
    """Seconds by which the clock of a time stamp is ahead of UTC, where it says that; else 0."""
    found = datetime.fromisoformat(word).utcoffset() if form == ISO else None
    return round(found.total_seconds()) if found else 0


def swapped(form: str) -> str:
    """The form with day and month the other way round; "" where there is none."""
    other = form.replace("%d/%m", "%m/%d") if "%d/%m" in form else form.replace("%m/%d/", "%d/%m/")
    return other if other != form and other in FORMS else ""


def is_ambiguous(words: Sequence[str], form: str) -> bool:
    """Whether day and month may as well stand the other way round: all can be read so, and are as evenly spaced."""
    other = swapped(form)
    seconds, count = _in_form(words, other) if other else ([], 0)
    mine, _ = _in_form(words, form) if count == len(words) else ([], 0)
    both = bool(mine) and seconds != mine
    return both and _evenness(np.array(seconds)) == _evenness(np.array(mine))


def _evenness(seconds: I64) -> float:
    """The share of steps that have the usual length."""
    if len(seconds) < 2:
        return 1.0
    return Counter(np.diff(seconds).tolist()).most_common(1)[0][1] / (len(seconds) - 1)


def is_stamp(word: str) -> bool:
    """Whether a cell is a time stamp."""
    return any(_in_form([word], form)[1] for form in (*FORMS, ISO))


def _in_form(words: Sequence[str], form: str) -> tuple[list[int], int]:
    """Seconds of the words at the start that have a form, and how many there are."""
    found: list[int] = []
    for word in words:
        try:
            when = (
                datetime.fromisoformat(word)
                if form == ISO
                else datetime.strptime(word, form).replace(tzinfo=UTC)
            )
        except ValueError:
            break
        if form == ISO and word.isdigit():  # a plain number is no date
            break
        found.append(round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()))
    return found, len(found)


# ------------------------------------------------------------------------- rows that have a time each


class Spaced(NamedTuple):
    """Rows on an even clock: the clock, the step that each row is, and which rows are used."""

    clock: Clock
    place: I64  # of each used row
    used: I64
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


def spaced(times: I64, clock: Clock, name: str) -> Spaced:
    """Put rows with times on an even clock.

    Rows that all run backwards are turned round; of rows of the same time the first is used; steps that no row has
    are missing.

    Args:
        times: of every row [T], in the unit of the clock.
        clock: with unit and form.
        name: of the file.

    Raises:
        DataError: a time goes back, or the times are not evenly spaced.
    """
    order = np.arange(len(times))
    notes: list[str] = []
    if len(times) > 1 and (np.diff(times) <= 0).all() and times[0] > times[-1]:
        order, notes = (
            order[::-1],
            ["the rows run backwards in time: read from the last to the first"],
        )
    times = times[order]

    def shown(i: int) -> str:
        return replace(clock, first=int(times[i])).stamp(0)

    steps = np.diff(times)
    if (steps < 0).any():
        i = int(np.argmax(steps < 0))
        back = (
            clock.unit == "s"
            and -steps[i] <= SET_BACK
            and (steps < 0).sum() <= len(times) / 1000 + 1
        )
        mend = "sort the rows by time"
        if back:
            mend += "; if clocks were set back there, write times with their offset from UTC, such as +02:00"
        raise DataError(
            f"{name}: the time goes back from {shown(i)} to {shown(i + 1)} in row {i + 2}: {mend}"
        )
    fresh = np.concatenate([[True], steps > 0])
    repeated = np.flatnonzero(~fresh)
    if len(repeated) > len(times) / 2:
        raise DataError(
            f"{name}: {len(repeated):,} of {len(times):,} rows have the time of the row before: expected one row a time and "
            "one column a series"
        )
    faults: list[Fault] = []
    if len(repeated):
        places = tuple(f"{shown(i)} in row {i + 1}" for i in repeated[:_PLACES].tolist())
        faults.append(
            Fault("times that repeat", "the first row of each is used", len(repeated), places)
        )
    even, place = _even(times[fresh], clock, name)
    gaps = int(place[-1]) + 1 - len(place) if len(place) else 0
    if gaps:
        jumps = np.flatnonzero(np.diff(place) > 1)
        places = tuple(f"after {even.stamp(int(place[i]))}" for i in jumps[:_PLACES].tolist())
        faults.append(Fault("times that no row has", "their values are missing", gaps, places))
    return Spaced(even, place, order[fresh], tuple(faults), tuple(notes))


def _even(times: I64, clock: Clock, name: str) -> tuple[Clock, I64]:
    """The clock whose steps the rising times are, and the step of each.

    Raises:
        DataError: there is none.
    """
    if len(times) < 2:
        return replace(clock, first=int(times[0]) if len(times) else 0), np.arange(len(times))
    months = _months(times) if clock.unit == "s" else None
    if months is not None:
        times, clock = months, replace(clock, unit="M")
    step = Counter(np.diff(times).tolist()).most_common(1)[0][0]
    clock = replace(clock, first=int(times[0]), step=int(step))
    exact = (times - times[0]) / step
    place = np.rint(exact).astype(np.int64)
    off = np.abs(exact - place) > _NEAR
    if off.any() or (np.diff(place) < 1).any():
        i = int(np.argmax(off)) if off.any() else int(np.argmax(np.diff(place) < 1)) + 1
        at = [replace(clock, first=int(times[k])).stamp(0) for k in (max(0, i - 1), i)]
        raise DataError(
            f"{name}: the times are not evenly spaced: most are {clock.words().removeprefix('every ')} apart, but {at[1]} comes "
            f"after {at[0]}: resample them"
        )
    if place[-1] + 1 > _MOST_GAPS * len(times):
        raise DataError(
            f"{name}: {len(times):,} rows cover {int(place[-1]) + 1:,} steps, {clock.words()}: nearly all would be missing"
        )
    return clock, place


def _months(times: I64) -> I64 | None:
    """Months since 1970, where times are the same day of different months, or the last day; else None."""
    days = np.array(times, "M8[s]").astype("M8[D]")
    months = days.astype("M8[M]")
    if (np.diff(months.astype(np.int64)) < 1).any():
        return None
    of_month = (days - months.astype("M8[D]")).astype(np.int64)
    left = ((months + 1).astype("M8[D]") - days).astype(np.int64)
    same = len(np.unique(of_month)) == 1 or (left == 1).all()
    return months.astype(np.int64) if same and np.diff(times).max() > 27 * DAY else None
