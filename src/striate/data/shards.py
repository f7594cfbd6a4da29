"""Pictures or sounds with their targets in tar shards, each found by shard and offset in an index of our own.

OUT/index.json            what there is: task, classes, splits, shards with size and SHA-256
OUT/index.bin             a row a picture (`ROW`), the splits one after the other, then the names, a line each
OUT/targets.safetensors   of targets that are no single labels, and of groups: their columns, a row of each mask
OUT/train/000000.tar      USTAR in the layout of WebDataset: 000123.jpg with 000123.cls, the class number, or
                          000123.mask.png, the class number of each pixel, or 000123.instances.png, its object's
                          number in 16 bits, 65535 where it counts nowhere, or 000123.json, any other target

The shards can be read and made by any program; the index says where each picture lies and what its
content is, so that one is read without the others and nothing that changed is taken for what it was.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
from PIL import Image

from striate.data import files, masks, pictures
from striate.data.byteranges import Place
from striate.data.cache import Broken
from striate.data.index import IGNORED, Listing, Options, Part
from striate.data.instances import NOWHERE, Ids, IdSource
from striate.data.instances import VERSION as RULES
from striate.data.levels import check as check_levels
from striate.data.modes import U8
from striate.data.pictures import Head, Limits
from striate.data.sounds import SoundSource
from striate.data.sources import I64, Encoded, Form, Look
from striate.data.targets import Instances, Labels, Masks, MultiLabels, Targets, restored
from striate.errors import ArgumentError, DataError

INDEX, TABLE, TARGETS = "index.json", "index.bin", "targets.safetensors"
AT_WORK = "packing"  # the folder of a packing that is not finished
# Version 1 has single labels alone, in the rows; version 3 single objects, several boxes of one class, and sounds too:
# what an earlier one can say is still written so.
FORMAT, LABELS_ALONE, TARGETS_TOO, VERSION = "striate shards", 1, 2, 3
FACT = "fact "  # before the name of a fact of sounds, such as their seconds, among the columns
UNCOUNTED = 65535  # of a picture of ids: a pixel that counts nowhere
_LARGEST = 2**28  # bytes of index.json
_NAME = re.compile(r"(?:[a-z]+/)?[\w-][\w.-]*\.tar")

# height and width upright; digest is SHA-256 of the encoded picture, start its first byte in the shard
ROW = np.dtype(
    [
        ("shard", "<u4"),
        ("length", "<u4"),
        ("start", "<u8"),
        ("label", "<u4"),
        ("height", "<u4"),
        ("width", "<u4"),
        ("grey", "?"),
        ("digest", "u1", 32),
    ]
)
Rows = npt.NDArray[np.void]


@dataclass(frozen=True)
class Shard:
    """A shard as indexed. name: relative to the root; size in bytes; sha256 in hexadecimal, "" if unknown."""

    name: str
    size: int
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Sharded(Encoded):
    """Encoded pictures in shards.

    rows: a `ROW` a picture. ends: how long each shard is now, -1 where it is gone. hashed: whether the
    rows hold what the content was when it was indexed; else it is read for every question about it.
    """

    place: Place
    shards: Sequence[Shard]
    ends: I64
    rows: Rows
    limits: Limits
    hashed: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def threads(self) -> int | None:
        """As its place needs."""
        return self.place.threads

    def take(self, index: I64) -> "Sharded":
        """The same, with only these numbers."""
        return replace(self, rows=self.rows[index])

    def data(self, i: int) -> bytes:
        """Its bytes, as they were when they were indexed."""
        row = self.rows[i]
        name, start, length = self.where(i)
        try:
            data = self.place.read(name, start, length)
        except DataError as error:
            raise DataError(f"{name} at offset {start:,}: {error}") from error
        if len(data) < length:
            raise DataError(f"{name} at offset {start:,}: the shard is cut off within this picture")
        if self.hashed and hashlib.sha256(data).digest() != row["digest"].tobytes():
            raise DataError(f"{name} at offset {start:,}: changed since it was packed")
        return data

    def named(self, i: int) -> str:
        """Its shard, and its first byte there."""
        shard, start, _ = self.where(i)
        return f"{shard} at offset {start:,}"

    def where(self, i: int) -> tuple[str, int, int]:
        """The shard of a picture, its first byte there and its length."""
        row = self.rows[i]
        return self.shards[int(row["shard"])].name, int(row["start"]), int(row["length"])

    def places(self) -> I64:
        """Shard and offset of each picture, [N, 2]."""
        return np.stack([self.rows["shard"], self.rows["start"]], 1).astype(np.int64)

    def lost(self) -> Broken:
        """The pictures that a shard is too short for, known without reading."""
        ends = self.ends[self.rows["shard"]]
        over = self.rows["start"].astype(np.int64) + self.rows["length"] > ends
        return {int(i): self._lost(int(i)) for i in np.flatnonzero(over)}

    def _lost(self, i: int) -> str:
        name, start, _ = self.where(i)
        end = int(self.ends[self.rows["shard"][i]])
        reason = "the shard is gone" if end < 0 else f"the shard is cut off at {end:,} bytes"
        return f"{name} at offset {start:,}: {reason}"

    def digest(self, i: int) -> bytes:
        """SHA-256 of its bytes, as indexed."""
        return self.rows[i]["digest"].tobytes() if self.hashed else super().digest(i)

    def look(self, i: int) -> Look:
        """Hash and header, as indexed."""
        if not self.hashed:
            return super().look(i)
        row = self.rows[i]
        head = Head(int(row["height"]), int(row["width"]), grey=bool(row["grey"]))
        return Look(self.digest(i), head)

    def weights(self) -> I64:
        """Sizes in bytes."""
        return self.rows["length"].astype(np.int64)


@dataclass(frozen=True, eq=False)
class ShardedMasks(Sharded):
    """Masks in shards: pictures of class numbers."""

    @property
    def decoder(self) -> str:
        """What the cache tells entries apart by, beside the content of the masks."""
        return f"mask of class numbers {self.limits}"

    def decode(self, i: int, form: Form) -> U8:
        """Its class numbers [H, W, 1]; where they are resized the nearest pixel is taken."""
        numbers = masks.read_values(self.data(i), self.limits, colors=False).astype(np.uint8)
        return pictures.fitted(
            Image.fromarray(numbers), form.size, form.fit, Image.Resampling.NEAREST
        )


@dataclass(frozen=True, eq=False)
class ShardedIds(IdSource, Sharded):
    """Masks of single objects in shards: pictures of ids in 16 bits."""

    @property
    def decoder(self) -> str:
        """What the cache tells entries apart by, beside the content of the masks."""
        return f"ids {RULES} of 16 bits {self.limits}"

    def take(self, index: I64) -> "ShardedIds":
        """The same, with only these numbers."""
        return replace(self, rows=self.rows[index])

    def ids(self, i: int) -> Ids:
        """Ids [H, W]."""
        values = masks.read_values(self.data(i), self.limits, colors=False)
        return np.where(values == UNCOUNTED, NOWHERE, values).astype(np.int32)


@dataclass(frozen=True, eq=False)
class ShardedSounds(SoundSource):
    """Sounds in shards.

    Attributes:
        at: where they lie.
        facts: [N] by name, nan where a sound has none.
    """

    at: Sharded
    facts: Mapping[str, npt.NDArray[np.float64]]
    modality: str = "sound"

    def __len__(self) -> int:
        return len(self.at)

    @property
    def threads(self) -> int | None:
        """As their place needs."""
        return self.at.threads

    def take(self, index: I64) -> "ShardedSounds":
        """The same, with only these numbers."""
        facts = {name: values[index] for name, values in self.facts.items()}
        return ShardedSounds(self.at.take(index), facts)

    def named(self, i: int) -> str:
        """Its shard, and its first byte there."""
        return self.at.named(i)

    def where(self, i: int) -> tuple[str, int, int]:
        """Its shard, its first byte there and its length."""
        return self.at.where(i)

    def data(self, i: int) -> bytes:
        """Its bytes, as they were when they were indexed."""
        return self.at.data(i)

    def digest(self, i: int) -> bytes:
        """SHA-256 of its bytes, as indexed."""
        return self.at.digest(i)

    def look(self, i: int) -> Look:
        """Hash and facts, as indexed."""
        values = {name: float(each[i]) for name, each in self.facts.items()}
        known = {name: value for name, value in values.items() if not np.isnan(value)}
        return Look(self.digest(i), facts=known)

    def weights(self) -> I64:
        """Sizes in bytes."""
        return self.at.weights()


def ends(shards: Sequence[Shard], sizes: Mapping[str, int]) -> I64:
    """How long each shard is now; -1 where there is none."""
    return np.array([sizes.get(shard.name, -1) for shard in shards], np.int64)


def task_of(root: Path) -> str:
    """The task that the index below a folder names; classification where it names none, or cannot be read."""
    try:
        return _named(json.loads((root / INDEX).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "classify"


def _named(index: Mapping[str, Any]) -> str:
    """The task of an index; before there was one for several labels an item, that of one label was named."""
    several = index.get("kind") == MultiLabels.kind
    return "multilabel" if several else str(index.get("task", "classify"))


def read(place: Place, options: Options) -> Listing:
    """What an index says is there.

    Raises:
        DataError: there is no index, or it is damaged, of a newer version, or not one of ours.
    """
    sizes = place.sizes()
    try:
        index = _index(place, sizes)
        table = _table(place, index["table"], TABLE, sizes)
        shards = [Shard(str(s["name"]), int(s["size"]), str(s["sha256"])) for s in index["shards"]]
        classes = tuple(files.shown(str(name)) for name in index["classes"])
        counts = {str(name): int(count) for name, count in index["splits"].items()}
        total = sum(max(0, count) for count in counts.values())
        rows = np.frombuffer(table, ROW, count=total)
        names = table[total * ROW.itemsize :].decode().split("\n") if total else []
        _check(rows, names, shards)
        source = Sharded(place, shards, ends(shards, sizes), rows, options.limits)
        about = _About(
            _named(index),
            str(index.get("kind", Labels.kind)),
            classes,
            tuple(files.shown(str(name)) for name in index.get("outputs", ())),
            str(index.get("modality", "picture")),
        )
        levels = check_levels(index.get("levels"))
        columns = _columns(place, index, sizes)
        parts = _parts(source, [files.shown(name) for name in names], counts, about, columns)
    except (
        ArgumentError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        safetensors.SafetensorError,
    ) as error:
        raise DataError(
            f"{place.path}: its index is damaged ({error!r}); pack the data again"
        ) from error
    return replace(_listing(parts, about, options), levels=levels)


class _About(NamedTuple):
    """What an index says of all its targets."""

    task: str
    kind: str
    classes: tuple[str, ...]
    outputs: tuple[str, ...]
    modality: str = "picture"


def _index(place: Place, sizes: Mapping[str, int]) -> Mapping[str, Any]:
    if not 0 < sizes.get(INDEX, 0) <= _LARGEST:
        raise DataError(
            f"{place.path} holds no {INDEX} of shards, which is written last: call striate data DATA "
            "--shards OUT again to finish it"
        )
    index = json.loads(place.read(INDEX, 0, sizes[INDEX]))
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise DataError(f"{place.path}: its {INDEX} is no index of shards")
    if index["version"] not in (LABELS_ALONE, TARGETS_TOO, VERSION):
        raise DataError(
            f"{place.path}: its index is of version {index['version']}, this program knows {VERSION}; "
            "take a newer one, or pack the data again"
        )
    return index


def _table(place: Place, wanted: Mapping[str, Any], name: str, sizes: Mapping[str, int]) -> bytes:
    size = int(wanted["size"])
    if sizes.get(name, -1) != size:
        raise ValueError(f"{name} has {sizes.get(name, 0):,} bytes, expected {size:,}")
    table = place.read(name, 0, size)
    if hashlib.sha256(table).hexdigest() != wanted["sha256"]:
        raise ValueError(f"{name} is not the one that was written")
    return table


def _columns(
    place: Place, index: Mapping[str, Any], sizes: Mapping[str, int]
) -> dict[str, npt.NDArray[Any]]:
    """The arrays beside the rows: "train/boxes" is a column of the targets of a split."""
    if "targets" not in index:
        return {}
    return safetensors.numpy.load(_table(place, index["targets"], TARGETS, sizes))


def _check(rows: Rows, names: Sequence[str], shards: Sequence[Shard]) -> None:
    """Refuse rows that point outside the shards, and shards outside the folder."""
    if len(names) != len(rows):
        raise ValueError("other numbers of names and rows")
    for shard in shards:
        if not _NAME.fullmatch(shard.name):
            raise ValueError(f"a shard named {files.shown(shard.name)}")
    if not len(rows):
        raise ValueError("no pictures")
    _check_places(rows, shards)


def _check_places(rows: Rows, shards: Sequence[Shard]) -> None:
    if rows["shard"].max() >= len(shards):
        raise ValueError("a row points at no shard")
    sizes = np.array([shard.size for shard in shards], np.uint64)[rows["shard"]]
    if rows["length"].max() > files.LARGEST or np.any(rows["start"] > sizes):
        raise ValueError("a row points outside its shard")
    if np.any(sizes - rows["start"] < rows["length"]):
        raise ValueError("a row points outside its shard")


def _parts(
    source: Sharded,
    names: Sequence[str],
    counts: Mapping[str, int],
    about: _About,
    columns: Mapping[str, npt.NDArray[Any]],
) -> dict[str, Part]:
    """The splits.

    Raises:
        ValueError: targets that fit neither the rows nor the classes.
    """
    parts: dict[str, Part] = {}
    first = 0
    for split, count in counts.items():
        index = np.arange(first, first + count)
        own = source.take(index)
        prefix = f"{split}/"
        held = {
            name[len(prefix) :]: column
            for name, column in columns.items()
            if name.startswith(prefix)
        }
        groups = held.pop("groups", None)
        facts = {key: held.pop(key) for key in list(held) if key.startswith(FACT)}
        targets = _targets(own, about, held)
        if len(targets) != count or any(
            each is not None and each.shape != (count,) for each in (groups, *facts.values())
        ):
            raise ValueError(f"other numbers of items and targets in {split}")
        inputs = _inputs(own, about, {key.removeprefix(FACT): each for key, each in facts.items()})
        parts[split] = Part(tuple(names[first : first + count]), targets, inputs, groups=groups)
        first += count
    return parts


def _inputs(
    source: Sharded, about: _About, facts: Mapping[str, npt.NDArray[Any]]
) -> Sharded | ShardedSounds:
    """What lies in the shards.

    Raises:
        ValueError: neither pictures nor sounds.
    """
    if about.modality == SoundSource.modality:
        return ShardedSounds(source, {key: each.astype(np.float64) for key, each in facts.items()})
    if about.modality != "picture" or facts:
        raise ValueError(f"items that are {about.modality} with {', '.join(facts) or 'no'} facts")
    return source


def _targets(source: Sharded, about: _About, columns: Mapping[str, npt.NDArray[Any]]) -> Targets:
    if about.kind in (Masks.kind, Instances.kind):
        rows = np.frombuffer(columns["rows"].tobytes(), ROW)
        _check_places(rows, source.shards)
        where = (source.place, source.shards, source.ends, rows, source.limits)
        return (
            Masks(ShardedMasks(*where))
            if about.kind == Masks.kind
            else Instances(ShardedIds(*where))
        )
    if about.kind != Labels.kind:
        targets = restored(about.kind, columns)
        numbers = columns.get("labels", np.empty(0, np.int64))
    else:
        numbers = source.rows["label"].astype(np.int64)
        targets = Labels(numbers)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(about.classes):
        raise ValueError("a target of no class")
    return targets


def _listing(parts: Mapping[str, Part], about: _About, options: Options) -> Listing:
    """The splits, less what is to be left out; a class without any picture left is left out with them."""
    left: dict[str, Part] = {}
    ignored: Counter[str] = Counter()
    for split, part in parts.items():
        classes = [""] * len(part)
        if about.kind == Labels.kind:
            classes = [about.classes[k] for k in part.targets.strata().tolist()]
        index = [
            i
            for i, (name, word) in enumerate(zip(part.names, classes, strict=True))
            if not (options.leaves_out(name) or (word and options.leaves_out(word)))
        ]
        ignored[IGNORED] += len(part) - len(index)
        left[split] = part if len(index) == len(part) else part.take(np.array(index, np.int64))
    listing = Listing(
        "shards", about.classes, left, ignored, task=about.task, outputs=about.outputs
    )
    if not ignored[IGNORED]:
        return replace(listing, ignored={})
    return _relabelled(listing) if about.kind == Labels.kind else listing


def _relabelled(listing: Listing) -> Listing:
    present = np.unique(np.concatenate([part.targets.strata() for part in listing.parts.values()]))
    number = np.zeros(len(listing.classes), np.int64)
    number[present] = np.arange(len(present))
    parts = {
        split: replace(part, targets=Labels(number[part.targets.strata()]))
        for split, part in listing.parts.items()
        if len(part)
    }
    return replace(listing, classes=tuple(listing.classes[k] for k in present), parts=parts)
