"""Pictures in tar shards, each found by shard and offset in an index of our own.

OUT/index.json            what there is: classes, splits, shards with size and SHA-256
OUT/index.bin             a row a picture (`ROW`), the splits one after the other, then the names, a line each
OUT/train/000000.tar      USTAR in the layout of WebDataset: 000123.jpg and 000123.cls, the class number

The shards can be read and made by any program; the index says where each picture lies and what its
content is, so that one is read without the others and nothing that changed is taken for what it was.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data import files
from striate.data.byteranges import Place
from striate.data.cache import Broken
from striate.data.listing import IGNORED, Listing, Options, Part
from striate.data.pictures import Head, Limits
from striate.data.sources import I64, Encoded, Look
from striate.data.targets import Labels
from striate.errors import DataError

INDEX, TABLE = "index.json", "index.bin"
AT_WORK = "packing"  # the folder of a packing that is not finished
FORMAT, VERSION = "striate shards", 1
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


def ends(shards: Sequence[Shard], sizes: Mapping[str, int]) -> I64:
    """How long each shard is now; -1 where there is none."""
    return np.array([sizes.get(shard.name, -1) for shard in shards], np.int64)


def read(place: Place, options: Options) -> Listing:
    """What an index says is there.

    Raises:
        DataError: there is no index, or it is damaged, of a newer version, or not one of ours.
    """
    sizes = place.sizes()
    try:
        index = _index(place, sizes)
        table = _table(place, index, sizes)
        shards = [Shard(str(s["name"]), int(s["size"]), str(s["sha256"])) for s in index["shards"]]
        classes = tuple(files.shown(str(name)) for name in index["classes"])
        counts = {str(name): int(count) for name, count in index["splits"].items()}
        total = sum(max(0, count) for count in counts.values())
        rows = np.frombuffer(table, ROW, count=total)
        names = table[total * ROW.itemsize :].decode().split("\n") if total else []
        _check(rows, names, shards, classes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{place.path}: its index is damaged ({error!r}); pack the data again"
        ) from error
    source = Sharded(place, shards, ends(shards, sizes), rows, options.limits)
    return _listing(source, [files.shown(name) for name in names], counts, classes, options)


def _index(place: Place, sizes: Mapping[str, int]) -> Mapping[str, Any]:
    if not 0 < sizes.get(INDEX, 0) <= _LARGEST:
        raise DataError(
            f"{place.path} holds no {INDEX} of shards, which is written last: call striate data DATA "
            "--shards OUT again to finish it"
        )
    index = json.loads(place.read(INDEX, 0, sizes[INDEX]))
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise DataError(f"{place.path}: its {INDEX} is no index of shards")
    if index["version"] != VERSION:
        raise DataError(
            f"{place.path}: its index is of version {index['version']}, this program knows {VERSION}; "
            "take a newer one, or pack the data again"
        )
    return index


def _table(place: Place, index: Mapping[str, Any], sizes: Mapping[str, int]) -> bytes:
    size = int(index["table"]["size"])
    if sizes.get(TABLE, -1) != size:
        raise ValueError(f"{TABLE} has {sizes.get(TABLE, 0):,} bytes, expected {size:,}")
    table = place.read(TABLE, 0, size)
    if hashlib.sha256(table).hexdigest() != index["table"]["sha256"]:
        raise ValueError(f"{TABLE} is not the one that was written")
    return table


def _check(
    rows: Rows, names: Sequence[str], shards: Sequence[Shard], classes: Sequence[str]
) -> None:
    """Refuse rows that point outside the shards or the classes, and shards outside the folder."""
    if len(names) != len(rows):
        raise ValueError("other numbers of names and rows")
    for shard in shards:
        if not _NAME.fullmatch(shard.name):
            raise ValueError(f"a shard named {files.shown(shard.name)}")
    if not len(rows):
        raise ValueError("no pictures")
    if rows["shard"].max() >= len(shards) or rows["label"].max() >= len(classes):
        raise ValueError("a row points at no shard or class")
    sizes = np.array([shard.size for shard in shards], np.uint64)[rows["shard"]]
    if rows["length"].max() > files.LARGEST or np.any(rows["start"] > sizes):
        raise ValueError("a row points outside its shard")
    if np.any(sizes - rows["start"] < rows["length"]):
        raise ValueError("a row points outside its shard")


def _listing(
    source: Sharded,
    names: Sequence[str],
    counts: Mapping[str, int],
    classes: tuple[str, ...],
    options: Options,
) -> Listing:
    """The splits, less what is to be left out; a class without any picture left is left out with them."""
    parts: dict[str, Part] = {}
    ignored: Counter[str] = Counter()
    first = 0
    for split, count in counts.items():
        index = np.arange(first, first + count)
        labels = source.rows["label"][index].astype(np.int64)
        part = Part(tuple(names[first : first + count]), Labels(labels), source.take(index))
        first += count
        kept = [
            i
            for i in range(count)
            if not (options.leaves_out(part.names[i]) or options.leaves_out(classes[labels[i]]))
        ]
        ignored[IGNORED] += count - len(kept)
        parts[split] = part if len(kept) == count else part.take(np.array(kept, np.int64))
    if not ignored[IGNORED]:
        return Listing("shards", classes, parts)
    return _relabelled(Listing("shards", classes, parts, ignored))


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
