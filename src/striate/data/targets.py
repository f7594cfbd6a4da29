"""What belongs to the items of a split: a label, several, numbers, a mask, boxes or an array. N items, K classes.

Every kind answers the same questions, so that splits, the cache, fingerprints and shards need not know which one it is.
For training a kind gives one array with the items along its first axis; `truth` gives one item's target as it is
scored, in the size and the places of the item itself.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from striate.data.sources import I64, Form, Look, Source

if TYPE_CHECKING:
    from striate.data.instances import IdSource

F32 = npt.NDArray[np.float32]

IN_WORDS = {  # what items of each kind of targets have
    "label": "one label each",
    "labels": "several labels each",
    "values": "numbers",
    "mask": "masks",
    "instances": "masks of single objects",
    "picture": "no targets but themselves",
    "boxes": "boxes",
    "box": "a label and a box each",
    "array": "arrays",
}
PADDING = -1.0  # the class of a row of boxes that stands for none
IGNORE = 255  # the class number of pixels of a mask that count nowhere


def in_words(kind: str) -> str:
    """What items with targets of a kind have, such as "several labels each"."""
    return IN_WORDS.get(kind, f"{kind} targets")


class Targets(ABC):
    """The targets of a split, asked for by number.

    Attributes:
        kind: "label", "labels", "values", "mask", "boxes", "box", "instances", "picture" or "array".
        itself: whether what belongs to an item is the item, as it is stored; then `truth` is asked for nothing.
    """

    kind: ClassVar[str]
    itself: ClassVar[bool] = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, index: I64) -> "Targets":
        """The same, with only the targets of these numbers, in this order."""

    @abstractmethod
    def truth(self, i: int) -> Any:
        """The target of item i as it is scored, in the item's own size and places."""

    @abstractmethod
    def content(self, i: int, classes: Sequence[str]) -> str:
        """A word that differs where the target of item i differs; part of the data's fingerprint."""

    @property
    def source(self) -> Source | None:
        """Where the targets are decoded from, where they are pictures themselves."""
        return None

    def renumbered(self, table: I64, classes: int) -> "Targets":
        """The same with class k called table[k] of so many classes, where targets have classes."""
        del table, classes
        return self

    def strata(self) -> I64:
        """The class [N] that an item counts as when items are split or balanced; all 0 where it has none."""
        return np.zeros(len(self), np.int64)

    def counts(self, index: I64, classes: int) -> list[int] | None:
        """How often each of the classes occurs in these items; None where only decoding would tell."""
        del index, classes
        return None

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name that say all of it, which `restored` reads; none where the targets are pictures."""
        return {}

    def plain(self, i: int, classes: Sequence[str], outputs: Sequence[str]) -> Any:
        """The target of item i in words and numbers, for other programs; None where it is a picture."""
        del i, classes, outputs

    def array(self, natural: npt.NDArray[np.int64], form: Form) -> npt.NDArray[Any]:
        """All targets as one array with the items along its first axis, as training reads them.

        Args:
            natural: height and width of every item [N, 2], as its header states them.
            form: in which the inputs are stored; places follow them.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Labels(Targets):
    """One class an item: numbers [N]."""

    kind: ClassVar[str] = "label"
    codes: I64

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, index: I64) -> "Labels":
        """The same, with only these numbers."""
        return Labels(self.codes[index])

    def truth(self, i: int) -> int:
        """Its class number."""
        return int(self.codes[i])

    def content(self, i: int, classes: Sequence[str]) -> str:
        """The name of its class."""
        return classes[int(self.codes[i])]

    def renumbered(self, table: I64, classes: int) -> "Labels":
        """With other numbers."""
        del classes
        return Labels(table[self.codes])

    def strata(self) -> I64:
        """The classes."""
        return self.codes

    def counts(self, index: I64, classes: int) -> list[int]:
        """Items of each class."""
        return np.bincount(self.codes[index], minlength=classes).tolist()

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The class numbers."""
        return {"codes": self.codes}

    def plain(self, i: int, classes: Sequence[str], outputs: Sequence[str]) -> str:
        """The name of its class."""
        del outputs
        return classes[int(self.codes[i])]

    def array(self, natural: npt.NDArray[np.int64], form: Form) -> I64:
        """The class numbers [N]."""
        del natural, form
        return self.codes


@dataclass(frozen=True)
class MultiLabels(Targets):
    """Any number of classes an item: zeros and ones [N, K]."""

    kind: ClassVar[str] = "labels"
    given: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.given)

    def take(self, index: I64) -> "MultiLabels":
        """The same, with only these numbers."""
        return MultiLabels(self.given[index])

    def truth(self, i: int) -> npt.NDArray[np.uint8]:
        """Its zeros and ones [K]."""
        return self.given[i]

    def renumbered(self, table: I64, classes: int) -> "MultiLabels":
        """With other numbers, of which there may be more."""
        given = np.zeros((len(self), classes), np.uint8)
        given[:, table] = self.given
        return MultiLabels(given)

    def content(self, i: int, classes: Sequence[str]) -> str:
        """The names of its classes."""
        return "\x01".join(classes[k] for k in np.flatnonzero(self.given[i]).tolist())

    def counts(self, index: I64, classes: int) -> list[int]:
        """Items that have each class."""
        del classes
        return self.given[index].sum(0, dtype=np.int64).tolist()

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The zeros and ones."""
        return {"given": self.given}

    def plain(self, i: int, classes: Sequence[str], outputs: Sequence[str]) -> list[str]:
        """The names of its classes."""
        del outputs
        return [classes[k] for k in np.flatnonzero(self.given[i]).tolist()]

    def array(self, natural: npt.NDArray[np.int64], form: Form) -> F32:
        """The same as floats [N, K]."""
        del natural, form
        return self.given.astype(np.float32)


@dataclass(frozen=True)
class Values(Targets):
    """One or several numbers an item: [N, V] float64, in the unit they were given in."""

    kind: ClassVar[str] = "values"
    numbers: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, index: I64) -> "Values":
        """The same, with only these numbers."""
        return Values(self.numbers[index])

    def truth(self, i: int) -> npt.NDArray[np.float64]:
        """Its numbers [V]."""
        return self.numbers[i]

    def content(self, i: int, classes: Sequence[str]) -> str:
        """The numbers, exactly."""
        del classes
        return " ".join(float(value).hex() for value in self.numbers[i])

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The numbers."""
        return {"numbers": self.numbers}

    def plain(
        self, i: int, classes: Sequence[str], outputs: Sequence[str]
    ) -> dict[str, float | None]:
        """The numbers by their names; None for one that is lacking."""
        del classes
        numbers = self.numbers[i].tolist()
        pairs = zip(outputs, numbers, strict=True)
        return {name: None if np.isnan(number) else number for name, number in pairs}

    def array(self, natural: npt.NDArray[np.int64], form: Form) -> F32:
        """The numbers [N, V] in single precision."""
        del natural, form
        return self.numbers.astype(np.float32)


@dataclass(frozen=True)
class Masks(Targets):
    """A class for every pixel: pictures of class numbers, decoded by `pixels`, of the size of their inputs."""

    kind: ClassVar[str] = "mask"
    pixels: Source

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, index: I64) -> "Masks":
        """The same, with only these numbers."""
        return Masks(self.pixels.take(index))

    def renumbered(self, table: I64, classes: int) -> "Masks":
        """With other numbers."""
        del classes
        return Masks(Renumbered(self.pixels, tuple(table.tolist())))

    @property
    def source(self) -> Source:
        """The pictures of class numbers."""
        return self.pixels

    def truth(self, i: int) -> npt.NDArray[np.uint8]:
        """Its class numbers [H, W], `IGNORE` where a pixel counts nowhere.

        Raises:
            DataError: the mask cannot be read; with the reason alone.
        """
        return self.pixels.decode(i, Form(None, "grey"))[..., 0]

    def content(self, i: int, classes: Sequence[str]) -> str:
        """The hash of the mask's file, and the classes that its values stand for."""
        return f"{self.pixels.digest(i).hex()} {','.join(classes)}"


@dataclass(frozen=True)
class Instances(Targets):
    """Single objects: an id for every pixel; `pixels` decodes what is learned of them, see `striate.data.instances`."""

    kind: ClassVar[str] = "instances"
    pixels: "IdSource"

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, index: I64) -> "Instances":
        """The same, with only these numbers."""
        return Instances(self.pixels.take(index))

    @property
    def source(self) -> Source:
        """What is learned: classes and weights."""
        return self.pixels

    def truth(self, i: int) -> npt.NDArray[np.int32]:
        """Its ids [H, W]: 0 is background, -1 counts nowhere.

        Raises:
            DataError: the mask cannot be read; with the reason alone.
        """
        return self.pixels.ids(i)

    def content(self, i: int, classes: Sequence[str]) -> str:
        """The hash of the mask."""
        del classes
        return self.pixels.digest(i).hex()


@dataclass(frozen=True)
class Itself(Targets):
    """The picture itself, to be given back: nothing beside the inputs, of which there are as many as `numbers` [N]."""

    kind: ClassVar[str] = "picture"
    itself: ClassVar[bool] = True
    numbers: I64

    @classmethod
    def of(cls, count: int) -> "Itself":
        """Of so many inputs."""
        return cls(np.arange(count))

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, index: I64) -> "Itself":
        """The same, with only these numbers."""
        return Itself(self.numbers[index])

    def truth(self, i: int) -> None:
        """Nothing: the stored input is the truth."""
        del i

    def content(self, i: int, classes: Sequence[str]) -> str:
        """Nothing beside the content of the input."""
        del i, classes
        return ""

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """A number an item."""
        return {"numbers": np.arange(len(self))}

    def array(self, natural: npt.NDArray[np.int64], form: Form) -> npt.NDArray[np.uint8]:
        """A place for each input [N], which preprocessing fills with the input as it is viewed."""
        del natural, form
        return np.zeros(len(self), np.uint8)


@dataclass(frozen=True)
class Renumbered(Source):
    """Masks of another source with class k called table[k]."""

    pixels: Source
    table: tuple[int, ...]

    @property
    def decoder(self) -> str:
        """What the cache tells entries apart by, beside the content of the files."""
        return f"{getattr(self.pixels, 'decoder', '')} as {self.table}"

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, index: I64) -> "Renumbered":
        """The same, with only these numbers."""
        return Renumbered(self.pixels.take(index), self.table)

    def shape(self, form: Form) -> tuple[int, ...]:
        """As of the other source."""
        return self.pixels.shape(form)

    def digest(self, i: int) -> bytes:
        """As of the other source."""
        return self.pixels.digest(i)

    def look(self, i: int) -> Look:
        """As of the other source."""
        return self.pixels.look(i)

    def decode(self, i: int, form: Form) -> npt.NDArray[np.uint8]:
        """Its class numbers [H, W, 1]."""
        numbers = np.full(IGNORE + 1, IGNORE, np.uint8)
        numbers[: len(self.table)] = self.table
        return numbers[self.pixels.decode(i, form)]

    def weights(self) -> I64:
        """As of the other source."""
        return self.pixels.weights()


class Objects(NamedTuple):
    """The objects of one picture: boxes [m, 4] as x0, y0, x1, y1 in its pixels, classes [m], and which are crowds [m].

    A crowd is a region of many objects that are not told apart: it is neither learned nor missed.
    """

    boxes: F32
    labels: I64
    crowd: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Boxes(Targets):
    """Any number of boxes an item: those of all items in one table, item i has the rows starts[i] to ends[i].

    Attributes:
        boxes: [M, 4] as x0, y0, x1, y1 in pixels of the upright picture.
        labels: classes [M].
        crowd: [M].
        starts: [N].
        ends: [N].
    """

    kind: ClassVar[str] = "boxes"
    boxes: F32
    labels: I64
    crowd: npt.NDArray[np.bool_]
    starts: I64
    ends: I64

    @classmethod
    def of(cls, objects: Sequence[Objects]) -> Self:
        """The objects of every item, one after the other."""
        ends = np.cumsum([len(each.labels) for each in objects], dtype=np.int64)
        counts = np.array([len(each.labels) for each in objects], np.int64)
        if not objects or not ends[-1]:
            empty = (np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.bool_))
            return cls(*empty, ends - counts, ends)
        return cls(
            np.concatenate([each.boxes for each in objects]).astype(np.float32),
            np.concatenate([each.labels for each in objects]).astype(np.int64),
            np.concatenate([each.crowd for each in objects]).astype(np.bool_),
            ends - counts,
            ends,
        )

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, index: I64) -> Self:
        """The same, with only these numbers."""
        return replace(self, starts=self.starts[index], ends=self.ends[index])

    def truth(self, i: int) -> Objects:
        """Its objects."""
        rows = slice(int(self.starts[i]), int(self.ends[i]))
        return Objects(self.boxes[rows], self.labels[rows], self.crowd[rows])

    def renumbered(self, table: I64, classes: int) -> Self:
        """With other numbers."""
        del classes
        return replace(self, labels=table[self.labels])

    def content(self, i: int, classes: Sequence[str]) -> str:
        """The hash of its boxes, classes and crowds."""
        boxes, labels, crowd = self.truth(i)
        names = "\x01".join(classes[int(k)] for k in labels)
        return hashlib.sha256(boxes.tobytes() + crowd.tobytes() + names.encode()).hexdigest()

    def counts(self, index: I64, classes: int) -> list[int]:
        """Objects of each class, crowds left out."""
        found = np.zeros(classes, np.int64)
        for i in index.tolist():
            _, labels, crowd = self.truth(i)
            found += np.bincount(labels[~crowd], minlength=classes)
        return found.tolist()

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The table of boxes, with no row that belongs to none of these items."""
        own = type(self).of([self.truth(i) for i in range(len(self))])
        names = ("boxes", "labels", "crowd", "starts", "ends")
        return {name: getattr(own, name) for name in names}

    def plain(self, i: int, classes: Sequence[str], outputs: Sequence[str]) -> list[dict[str, Any]]:
        """Its objects."""
        del outputs
        rows = zip(*(column.tolist() for column in self.truth(i)), strict=True)
        return [{"label": classes[k], "box": box, "crowd": crowd} for box, k, crowd in rows]

    def array(self, natural: npt.NDArray[np.int64], form: Form) -> F32:
        """Class and corners [N, M, 5] in pixels of the stored pictures; rows that stand for none have class -1.

        Crowds are left out, since they are not learned.
        """
        most = max((int(n) for n in self.ends - self.starts), default=0)
        rows = np.full((len(self), max(1, most), 5), PADDING, np.float32)
        for i in range(len(self)):
            boxes, labels, crowd = self.truth(i)
            kept = ~crowd
            count = int(kept.sum())
            rows[i, :count, 0] = labels[kept]
            rows[i, :count, 1:] = placed(boxes[kept], natural[i], form)
        return rows


@dataclass(frozen=True)
class OneBox(Boxes):
    """One class an item and one or several boxes of it, of which the largest is learned; an item that is broken has none."""

    kind: ClassVar[str] = "box"

    def largest(self) -> Self:
        """The same with the largest box of each item alone; of equal ones the first."""
        first = self.starts.copy()
        for i in np.flatnonzero(self.ends - self.starts > 1).tolist():
            x0, y0, x1, y1 = self.boxes[self.starts[i] : self.ends[i]].astype(np.float64).T
            first[i] += int(((x1 - x0) * (y1 - y0)).argmax())
        return replace(self, starts=first, ends=np.minimum(self.ends, first + 1))

    def strata(self) -> I64:
        """The classes; 0 of an item that is broken."""
        found = np.zeros(len(self), np.int64)
        there = self.starts < self.ends
        found[there] = self.labels[self.starts[there]]
        return found

    def counts(self, index: I64, classes: int) -> list[int]:
        """Items of each class, however many boxes they have."""
        there = index[self.starts[index] < self.ends[index]]
        return np.bincount(self.strata()[there], minlength=classes).tolist()

    def array(self, natural: npt.NDArray[np.int64], form: Form) -> F32:
        """Class and corners of the largest box [N, 1, 5] in pixels of the stored pictures; class -1 where there is none."""
        return Boxes.array(self.largest(), natural, form)


PLACED = (Boxes.kind, OneBox.kind)  # kinds with class and corners in pixels of the picture


@dataclass(frozen=True, eq=False)
class Array(Targets):
    """An array an item: [N, ...] of any type."""

    kind: ClassVar[str] = "array"
    values: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: I64) -> "Array":
        """A copy of these numbers."""
        return Array(self.values[index])

    def truth(self, i: int) -> npt.NDArray[Any]:
        """Its array."""
        return self.values[i]

    def content(self, i: int, classes: Sequence[str]) -> str:
        """The hash of its array."""
        del classes
        value = np.ascontiguousarray(self.values[i])
        return hashlib.sha256(f"{value.shape} {value.dtype}".encode() + value.tobytes()).hexdigest()

    def array(self, natural: npt.NDArray[np.int64], form: Form) -> npt.NDArray[Any]:
        """All of them."""
        del natural, form
        return self.values


def restored(kind: str, columns: Mapping[str, npt.NDArray[Any]]) -> Targets:
    """Targets of a kind from their `columns`.

    Raises:
        ValueError: columns that are of no such targets.
    """
    kinds = {each.kind: each for each in (Labels, MultiLabels, Values, Boxes, OneBox, Itself)}
    if kind not in kinds:
        raise ValueError(f"targets of kind {kind!r}")
    try:
        found = kinds[kind](**columns)
    except TypeError as error:
        raise ValueError(f"columns {', '.join(columns)} of {kind}") from error
    if isinstance(found, Boxes) and (
        {len(found.boxes), len(found.labels), len(found.crowd)} != {int(found.ends.max(initial=0))}
        or found.boxes.shape[1:] != (4,)
        or len(found.starts) != len(found.ends)
        or (found.starts < 0).any()
        or (found.starts > found.ends).any()
    ):
        raise ValueError("boxes that belong to no item")
    if isinstance(found, OneBox) and not _of_one_class(found):
        raise ValueError("an item with boxes of several classes")
    return found


def _of_one_class(targets: OneBox) -> bool:
    """Whether the boxes of each item are of one class."""
    rows = zip(targets.starts.tolist(), targets.ends.tolist(), strict=True)
    return all((targets.labels[a:b] == targets.labels[a]).all() for a, b in rows if b - a > 1)


def placed(boxes: F32, natural: npt.NDArray[np.int64], form: Form) -> F32:
    """Boxes [m, 4] of a picture of height and width `natural`, in pixels of the picture as it is stored."""
    if form.size is None:
        return boxes
    (height, width), (h, w) = natural.tolist(), form.size
    if not height or not width:
        return boxes
    sy, sx = h / height, w / width
    if form.fit == "cover":
        sy = sx = max(sy, sx)
    y, x = (h - height * sy) / 2, (w - width * sx) / 2
    scaled = boxes * np.array([sx, sy, sx, sy], np.float32)
    return (scaled + np.array([x, y, x, y], np.float32)).astype(np.float32)
