"""What a catalogue row says about a net, and what a family is asked to build. Nothing here needs torch.

C channels, H W pixels. One multiply-add counts one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from striate.errors import ArgumentError, nearest

if TYPE_CHECKING:
    from striate.models.backbone import Backbone


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
        if isinstance(value, str) and value in self.words:
            return value
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
class Request:
    """What a family is asked to build: every size settled, every option checked."""

    name: str
    in_channels: int
    num_classes: int
    size: tuple[int, int]
    width: float
    options: Mapping[str, str | tuple[int, ...]]

    def word(self, option: str) -> str:
        """The value of a `Choice`."""
        return str(self.options[option])

    def counts(self, option: str) -> tuple[int, ...]:
        """The value of a `Counts`."""
        return tuple(int(count) for count in self.options[option])

    def scaled(self, count: int, *, multiple: int = 1) -> int:
        """A number of channels times `width`, rounded to a multiple (halves up) and never below one of it."""
        return multiple * max(1, math.floor(count * self.width / multiple + 0.5))


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue.

    `params` counts the net as used for inference, `params_train` with its auxiliary heads, `macs` the
    multiply-adds of one item at `input`; the tests count all three again on the built net.
    """

    name: str
    family: str
    year: int
    paper: str
    tasks: tuple[str, ...]
    input: tuple[int, int, int]
    classes: int
    params: int
    params_train: int
    macs: int
    published: Published
    builder: "Callable[[Request], Backbone]"
    options: Mapping[str, Choice | Counts] = field(default_factory=dict[str, Choice | Counts])
    note: str = ""

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
        }
