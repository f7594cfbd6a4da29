"""What a layout gives before anything is decoded: the task, classes, and for each split names, inputs, targets."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os import PathLike
from typing import overload

import numpy as np
import numpy.typing as npt

from striate.data.cache import Store
from striate.data.files import shown
from striate.data.modes import Levels
from striate.data.pictures import Limits
from striate.data.sources import I64, Source
from striate.data.targets import Targets
from striate.errors import DataError

SPLITS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
# What a cell of a table says of the split of its row; "": of none.
ASSIGNED = {
    **SPLITS,
    "training": "train",
    "dev": "val",
    "testing": "test",
    "none": "",
    "": "",
    "unused": "",
    "-": "",
}
WHOLE = "all"  # the part of a layout that knows no splits: we make them
IGNORED = "(ignored)"


def layout_settings(layout: str | None) -> dict[str, str]:
    """What stands behind the colon of a layout: "csv:path=file,label=kind" gives path and label."""
    pairs = (layout or "").partition(":")[2].split(",")
    return {key.strip(): value.strip() for key, _, value in (p.partition("=") for p in pairs)}


@dataclass(frozen=True)
class Options:
    """How `open` was asked to look.

    Attributes:
        ignore: patterns to leave out.
        limits: formats and sizes that are taken.
        store: where archives are unpacked.
        layout: the layout that was asked for, if one was: its name, and its settings behind a colon.
        task: the task that was asked for, if one was.
        levels: the range of values of pictures of more than 8 bits, if it was said.
        skip: whether what is damaged is done without, whatever its share.
        history, horizon: steps of series that are read and forecast, if they were said.
        period: of series, if it was said; see `striate.data.series.Clock.period`.
    """

    ignore: tuple[str, ...]
    limits: Limits
    store: Store
    layout: str | None = None
    task: str | None = None
    levels: Levels | None = None
    skip: bool = False
    history: int | None = None
    horizon: int | None = None
    period: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, str]:
        """Those of the layout that was asked for: "csv:path=file,label=kind" gives path and label."""
        return layout_settings(self.layout)

    def asks_for(self, name: str) -> bool:
        """Whether this layout was asked for."""
        return (self.layout or "").partition(":")[0] == name

    def leaves_out(self, name: str) -> bool:
        """Whether a relative name, or any folder or file name in it, matches an `ignore` pattern."""
        return bool(self.ignore) and any(
            fnmatchcase(part, pattern)
            for pattern in self.ignore
            for part in (name, *name.split("/"))
        )


@dataclass(frozen=True)
class Part:
    """The items of one split.

    Attributes:
        names: as shown to people.
        targets: what belongs to each.
        source: where the inputs are.
        broken: the items whose target cannot be used, and why.
        groups: a number an item that items which belong together share, [N]; None where each stands alone.
    """

    names: Sequence[str]
    targets: Targets
    source: Source
    broken: Mapping[int, str] = field(default_factory=dict[int, str])
    groups: I64 | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: I64) -> "Part":
        """The same, with only these numbers, in this order."""
        numbers: list[int] = index.tolist() if self.broken else []
        broken = {k: self.broken[i] for k, i in enumerate(numbers) if i in self.broken}
        names, targets = pick(self.names, index), self.targets.take(index)
        groups = None if self.groups is None else self.groups[index]
        return Part(names, targets, self.source.take(index), broken, groups)


@dataclass(frozen=True)
class Fault:
    """What was wrong with parts of targets, such as single boxes, while their items can be used.

    Attributes:
        kind: what was wrong.
        done: what was done about it.
        count: how often.
        places: the first of them: file and line, or the number of the object.
    """

    kind: str
    done: str
    count: int
    places: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """A layout as read.

    Attributes:
        layout: in words.
        classes: their names; () where the targets have none.
        parts: the splits; `WHOLE` alone where the layout knows none.
        ignored: what was not used, counted by kind.
        note: a line about how the path was understood.
        read_as: the name of the layout, and why it was taken.
        others: the other ways to read it: the layout's name and how many items it would give.
        doubts: what speaks against further ways, which are not taken unless they are asked for.
        task: what nets learn from such targets, by its name.
        outputs: names of the numbers of a target, where it is numbers.
        faults: what was wrong with parts of targets.
        groups: of items that belong together, by their names, where the data say so.
        sources: what items were cut from, by their names, where groups are folds, whose items are otherwise independent.
        tables: SHA-256 of the files that say what belongs to the items, by name.
        levels: values that became 0 and 255 where inputs of more than 8 bits lie in memory, or as shards say it.
        warnings: lines about what may spoil a training.
        drawn: whether we drew a split of it.
    """

    layout: str
    classes: tuple[str, ...]
    parts: dict[str, Part]
    ignored: Mapping[str, int] = field(default_factory=dict[str, int])
    note: str = ""
    task: str = "classify"
    outputs: tuple[str, ...] = ()
    read_as: tuple[str, str] = ("", "")
    others: tuple[tuple[str, int], ...] = ()
    doubts: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    sources: Mapping[str, str] | None = None
    tables: Mapping[str, str] = field(default_factory=dict[str, str])
    levels: Levels | None = None
    warnings: tuple[str, ...] = ()
    drawn: bool = False


@dataclass(frozen=True)
class Candidate:
    """One way to read a folder, found without decoding.

    Attributes:
        layout: in words.
        count: how many items it would give.
        uses: the names at the top that it reads.
        read: reads it.
        why: what speaks for it, in words that go on after "because".
        doubt: what speaks against it: then it is never taken unless it is asked for.
        rivals: whether that speaks against what comes after it as well, so that nothing is taken.
        tasks: that its targets are good for; `task=` takes the first layout with that one.
    """

    layout: str
    count: int
    uses: frozenset[str]
    read: Callable[[], Listing]
    why: str = ""
    doubt: str = ""
    rivals: bool = False
    tasks: tuple[str, ...] = ("classify",)

    @classmethod
    def unreadable(
        cls,
        layout: str,
        doubt: str,
        *,
        why: str = "",
        uses: frozenset[str] = frozenset(),
        rivals: bool = False,
        tasks: tuple[str, ...],
    ) -> "Candidate":
        """What looks like a layout and cannot be read: its doubt is the error where it is asked for."""

        def read() -> Listing:
            raise DataError(doubt)

        return cls(layout, 0, uses, read, why, doubt, rivals, tasks)


@dataclass(frozen=True, eq=False)
class Numbered(Sequence[str]):
    """Names of pictures that have none of their own, made when asked for: "train/17"."""

    prefix: str
    numbers: I64

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Numbered": ...
    def __getitem__(self, index: int | slice) -> "str | Numbered":
        if isinstance(index, slice):
            return Numbered(self.prefix, self.numbers[index])
        return f"{self.prefix}/{self.numbers[index]}"

    def __iter__(self) -> Iterator[str]:
        return (f"{self.prefix}/{number}" for number in self.numbers.tolist())


def numbered(prefix: str, count: int) -> Numbered:
    """Names prefix/0 to prefix/count-1."""
    return Numbered(prefix, np.arange(count))


def pick(names: Sequence[str], index: I64) -> Sequence[str]:
    """The names of these numbers, in this order."""
    if isinstance(names, Numbered):
        return Numbered(names.prefix, names.numbers[index])
    numbers: list[int] = index.tolist()
    return tuple(names[i] for i in numbers)


def coded(
    labels: Mapping[str, npt.NDArray[np.generic]], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, I64]]:
    """Class names, and the labels of each split as numbers into them.

    Without given names the classes are the values that occur in the training part, in order.

    Raises:
        DataError: labels out of range, of a wrong shape or type; the message names the split.
    """
    flat = {split: _flat(split, values) for split, values in labels.items()}
    first = next(iter(flat))
    if classes is None:
        known = np.unique(flat[first])
        return tuple(str(value) for value in known), {
            split: _number(split, values, known, first) for split, values in flat.items()
        }
    for split, values in flat.items():
        if values.dtype.kind not in "ui":
            raise DataError(
                f"the labels of {split} are of type {values.dtype}, expected numbers into classes"
            )
        if values.size and not 0 <= values.min() <= values.max() < len(classes):
            raise DataError(
                f"the labels of {split} run from {values.min()} to {values.max()}, "
                f"expected 0 to {len(classes) - 1} for {len(classes)} classes"
            )
    return tuple(classes), {split: values.astype(np.int64) for split, values in flat.items()}


def _flat(split: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "uiU":
        raise DataError(
            f"the labels of {split} are {values.dtype} {list(values.shape)}, expected one whole number "
            "or name for each picture, [N]"
        )
    return values


def _number(
    split: str, values: npt.NDArray[np.generic], known: npt.NDArray[np.generic], first: str
) -> I64:
    where = np.searchsorted(known, values)  # pyright: ignore[reportArgumentType,reportCallIssue] - any sortable type
    found = np.minimum(where, len(known) - 1)
    strange = np.flatnonzero(known[found] != values)
    if strange.size:
        raise DataError(
            f"{split} has the label {values[strange[0]]}, which {first} has not: labels out of range"
        )
    return np.asarray(found, np.int64)


def command(path: str | PathLike[str], layout: str) -> str:
    """What people type to read data as another layout."""
    return f"striate data {quoted(path)} --layout {layout}"


def quoted(path: str | PathLike[str]) -> str:
    """A path as people type it."""
    return shown(shlex.quote(str(path)))
