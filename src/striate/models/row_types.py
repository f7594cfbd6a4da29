"""What a catalogue row says about a net, and what a family is asked to build. Nothing here needs torch.

C channels, H W pixels. One multiply-add counts one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from striate.errors import LISTED, ArgumentError, ShapeError, nearest
from striate.text import some, times

# What a net reads by the axes of one item, channels included.
KINDS = {2: "series", 3: "picture", 4: "volume"}


@dataclass(frozen=True)
class Published:
    """Figures that a source prints; a source that opens with "derived" is our own arithmetic."""

    source: str
    params: int | None = None
    macs: int | None = None

    def as_dict(self) -> dict[str, object]:
        """The figures that are known, and the source."""
        figures: dict[str, object] = {"params": self.params, "macs": self.macs}
        return {k: v for k, v in figures.items() if v is not None} | {"source": self.source}


@dataclass(frozen=True)
class Choice:
    """An option that takes one of a few words; the first is the default."""

    words: tuple[str, ...]

    @property
    def default(self) -> str:
        """The word that stands when none is given."""
        return self.words[0]

    def read(self, key: str, value: object) -> str:
        """Check one value; `key` is the option as a message names it."""
        word = str(value) if type(value) is int else value  # stride=16 of a command line
        if isinstance(word, str) and word in self.words:
            return word
        raise ArgumentError(f"{key} has no value {value!r}; {nearest(str(value), self.words)}")


@dataclass(frozen=True)
class Counts:
    """An option that takes one or more whole numbers from 1 up."""

    default: tuple[int, ...]

    def read(self, key: str, value: object) -> tuple[int, ...]:
        """Check one value; a single number stands for a list of one."""
        counts = tuple(value) if isinstance(value, Sequence) else (value,)
        if not counts or not all(type(count) is int and count > 0 for count in counts):
            raise ArgumentError(
                f"{key} takes whole numbers from 1 up, as in {list(self.default)}; got {value!r}"
            )
        return tuple(count for count in counts if isinstance(count, int))


@dataclass(frozen=True)
class Number:
    """An option that takes one number, or one whole number, between two bounds, both included."""

    default: float
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False

    def read(self, key: str, value: object) -> float:
        """Check one value."""
        match value:
            case bool():
                pass
            case int() | float() if self.low <= value <= self.high:
                if not self.whole or float(value).is_integer():
                    return float(value)
            case _:
                pass
        kind = "a whole number" if self.whole else "a number"
        raise ArgumentError(f"{key} takes {kind} from {self.low:g} to {self.high:g}, got {value!r}")


@dataclass(frozen=True)
class Weights:
    """An option that takes numbers from 0 up, one for each of several losses; one alone stands for all."""

    default: tuple[float, ...]

    def read(self, key: str, value: object) -> tuple[float, ...]:
        """Check one value."""
        given = (
            tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        )
        numbers = tuple(
            float(each)
            for each in given
            if isinstance(each, int | float) and not isinstance(each, bool) and 0 <= each < math.inf
        )
        count = len(self.default)
        if len(numbers) != len(given) or len(numbers) not in (1, count):
            such = ",".join(f"{each:g}" for each in self.default)
            raise ArgumentError(
                f"{key} takes {count} number{'s' * (count > 1)} from 0 up, as in {such}; got {value!r}"
            )
        return numbers if len(numbers) == count else numbers * count


@dataclass(frozen=True)
class Flag:
    """An option that is on or off."""

    default: bool

    def read(self, key: str, value: object) -> bool:
        """Check one value."""
        if isinstance(value, bool):
            return value
        raise ArgumentError(f"{key} takes true or false, got {value!r}")


@dataclass(frozen=True)
class Net:
    """An option that takes a net of the catalogue whose maps a head can stand on.

    Attributes:
        default: the word that stands when none is given.
        strides: of which at least one map must have one; empty takes any.
        others: words beside the nets.
    """

    default: str
    strides: tuple[int, ...] = ()
    others: tuple[str, ...] = ()

    def read(self, key: str, value: object) -> str:
        """Check one value."""
        from striate.models.catalog import CATALOG, backbones

        able = backbones(*self.strides)
        if isinstance(value, str) and value in (*self.others, *able):
            return value
        if value in CATALOG:
            wanted = f"of stride {' or '.join(map(str, self.strides))} " if self.strides else ""
            raise ArgumentError(
                f"{key}={value}: it has no maps {wanted}that a head can stand on; those that have: {some(able, LISTED)}"
            )
        raise ArgumentError(
            f"{key} has no value {value!r}; {nearest(str(value), (*self.others, *able))}"
        )


Option = Choice | Counts | Number | Weights | Flag | Net
Value = str | tuple[int, ...] | tuple[float, ...] | float | bool


def drop_rate(published: float = 0.0) -> dict[str, Option]:
    """The option that every family with a place for dropout has: the share of units that training drops."""
    return {"drop_rate": Number(published, 0, 1)}


@dataclass(frozen=True)
class Request:
    """What a family is asked to build: every size settled, every option checked."""

    name: str
    in_channels: int
    num_classes: int
    size: tuple[int, ...]
    width: float
    options: Mapping[str, Value]

    def word(self, option: str) -> str:
        """The value of a `Choice` or a `Net`."""
        return str(self.options[option])

    def counts(self, option: str) -> tuple[int, ...]:
        """The value of a `Counts`."""
        value = self.options[option]
        return tuple(map(round, value)) if isinstance(value, tuple) else ()

    def weights(self, option: str) -> tuple[float, ...]:
        """The value of a `Weights`."""
        value = self.options[option]
        return value if isinstance(value, tuple) else ()

    def number(self, option: str) -> float:
        """The value of a `Number`."""
        return float(str(self.options[option]))

    def count(self, option: str) -> int:
        """The value of a `Number` that is whole."""
        return round(self.number(option))

    def flag(self, option: str) -> bool:
        """The value of a `Flag`."""
        return self.options[option] is True

    def check_least(self, least: int, what: str, *, enough: int = 0) -> None:
        """Refuse pictures or volumes with a side under `least`; `enough` is the size that the message advises, else `least`.

        Raises:
            ShapeError: a side is too small; the message opens with what needs more.
        """
        if min(self.size) < least:
            noun, setting = ("volumes", "grid") if len(self.size) > 2 else ("pictures", "size")
            raise ShapeError(
                f"{self.name}: {what} {noun} of at least {times([least] * len(self.size))}; got {times(self.size)}; "
                f"enlarge them with {setting}={enough or least}"
            )

    def scaled(self, count: int, *, multiple: int = 1) -> int:
        """A number of channels times `width`, rounded to a multiple (halves up) and never below one of it."""
        return multiple * max(1, math.floor(count * self.width / multiple + 0.5))


@dataclass(frozen=True)
class Small:
    """A form of a net that a CPU trains in minutes: the side of its pictures (None as published) and its width."""

    size: int | tuple[int, ...] | None = None
    width: float = 1.0


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue.

    Attributes:
        name: what people type.
        family: the architecture it is a variant of.
        year: of the paper.
        paper: authors, year, where to find it.
        tasks: what it does: classify, segment, detect, forecast, or unsupervised.
        bounded: whether its answers are no free numbers but lengths, distances or behind a ReLU: it tells
            classes apart, and values of any sign it cannot learn.
        input: (C, H, W) of one item as published; (C, frames) of a net over time, (C, D, H, W) of one over volumes.
        kind: of what it reads: a picture, a series, a volume, or a graph (C, steps, nodes).
        classes: outputs as published.
        strides: pixels between neighbouring values of each of its maps, where heads of other nets can stand
            on them; empty where they cannot.
        params: of the net as used for inference.
        params_train: with its auxiliary heads.
        macs: multiply-adds of one item at `input`, inference; the tests count all three on the built net.
        published: what the source prints.
        options: settings of its own, with what stands when they are not given.
        note: what tells it from its neighbours.
        taught: dates and figures that courses give where they differ from the paper's, and which is whose.
        small: a form that a CPU trains in minutes.
        file: the module of `striate.models` whose `build` takes a `Request` for it; as the family if not given.
    """

    name: str
    family: str
    year: int
    paper: str
    input: tuple[int, ...]
    classes: int
    params: int
    macs: int
    published: Published
    tasks: tuple[str, ...] = ("classify",)
    strides: tuple[int, ...] = ()
    bounded: bool = False
    kind: str = ""
    params_train: int = 0
    options: Mapping[str, Option] = field(default_factory=dict[str, Option])
    note: str = ""
    taught: str = ""
    small: Small = Small()
    file: str = ""

    def __post_init__(self) -> None:
        """A net without auxiliary heads trains what it infers with; what it reads is told by its axes."""
        object.__setattr__(self, "file", self.file or self.family)
        object.__setattr__(self, "params_train", self.params_train or self.params)
        object.__setattr__(self, "kind", self.kind or KINDS[len(self.input)])

    def as_dict(self) -> dict[str, object]:
        """One element of the JSON shape `nets`."""
        return {
            "name": self.name,
            "family": self.family,
            "year": self.year,
            "paper": self.paper,
            "tasks": list(self.tasks),
            "input": list(self.input),
            "params": self.params,
            "params_train": self.params_train,
            "macs": self.macs,
            "published": self.published.as_dict(),
            "note": self.note,
            **({"taught": self.taught} if self.taught else {}),
        }


def rows(*entries: Entry) -> dict[str, Entry]:
    """Entries by name, in their order."""
    return {entry.name: entry for entry in entries}
