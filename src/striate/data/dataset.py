"""What `striate.open` gives: classes, splits, and on demand what is in the pictures and what is wrong.

N pictures, H W pixels, C channels. Opening reads names and labels only; the first question about
content reads every picture once, the first call of `arrays` decodes them once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from striate.data import pictures, summary
from striate.data.broken import Policy
from striate.data.cache import Broken, Store
from striate.data.decoding import Progress, Split
from striate.data.listing import pick
from striate.data.shards import Sharded
from striate.data.sources import I64, Pixels
from striate.data.streaming import Images, Kept, kept, unreadable
from striate.errors import ArgumentError, nearest
from striate.report import Result

Form = tuple[tuple[int, int], str]  # (height, width) and colour


@dataclass(frozen=True)
class Problem:
    """A picture that cannot be read. file: its name, escaped for printing."""

    file: str
    reason: str


@dataclass(frozen=True, eq=False)
class Arrays:
    """Decoded pictures: images uint8 [N, H, W, C], labels int64 [N], names of the N pictures.

    images: an array, or a stream where the cache is too small for one. places: shard and offset of
    each picture [N, 2], where they come from shards.
    """

    images: Images
    labels: I64
    names: Sequence[str]
    places: I64 | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False, repr=False)
class Data(Result):
    """Pictures with classes.

    origin: how it was opened, as plain values that `again` takes; path: as given, escaped; task: "classify"; layout: in words; classes: their names, label k is
    classes[k]; splits: "train", "val", "test" as far as there are; ignored: what else lies there,
    counted by kind; note: a line about how the path was understood.
    """

    origin: Mapping[str, Any]
    path: str
    layout: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    ignored: Mapping[str, int]
    policy: Policy
    store: Store
    note: str = ""
    task: str = "classify"
    _broken: dict[str, Broken] = field(default_factory=dict[str, Broken], init=False)
    _last: dict[str, tuple[Form, Kept]] = field(
        default_factory=dict[str, tuple[Form, Kept]], init=False
    )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        return f"Data({self.path!r}, {len(self.classes)} classes, {sizes})"

    def __len__(self) -> int:
        return sum(len(split) for split in self.splits.values())

    @property
    def held_out(self) -> str:
        """The split that choices are made on: "val" if there is one, else "test"."""
        return "val" if "val" in self.splits else "test"

    @cached_property
    def color(self) -> str:
        """Either "grey", where every readable picture is grey, or "rgb"."""
        return "grey" if all(split.grey for split in self.splits.values()) else "rgb"

    @cached_property
    def native_size(self) -> tuple[int, int] | None:
        """Height and width where all readable pictures have the same, else None."""
        found = np.unique(np.concatenate([s.shapes({}) for s in self.splits.values()]), axis=0)
        sound = (shape for shape in found if len(found) == 1 or self._any_sound(shape))
        first = list(islice(sound, 2))
        return (int(first[0][0]), int(first[0][1])) if len(first) == 1 else None

    def _any_sound(self, shape: I64) -> bool:
        """Whether a picture whose header states this height and width can be decoded."""
        return any(
            isinstance(split.source, Pixels)
            or split.any_sound(np.flatnonzero((split.looks.shapes == shape).all(1)))
            for split in self.splits.values()
            if (split.shapes({}) == shape).all(1).any()
        )

    @cached_property
    def sizes(self) -> dict[str, dict[str, float]]:
        """Least, median and greatest height and width of the readable pictures, in pixels."""
        self.scan()
        shapes = np.concatenate([s.shapes(self._broken[name]) for name, s in self.splits.items()])
        if not len(shapes):
            return {}
        return {
            side: {
                "min": int(values.min()),
                "median": float(np.median(values)),
                "max": int(values.max()),
            }
            for side, values in (("height", shapes[:, 0]), ("width", shapes[:, 1]))
        }

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The pictures that cannot be read, found by decoding every one fully."""
        self.scan()
        return tuple(
            Problem(split.names[i], reason)
            for name, split in self.splits.items()
            for i, reason in sorted(self._broken[name].items())
        )

    @cached_property
    def duplicates(self) -> tuple[tuple[str, str], ...]:
        """Names of pictures with exactly the same content: the first of them with each other one."""
        return tuple((a[1], b[1]) for a, b in self._twins)

    @cached_property
    def leaks(self) -> tuple[tuple[str, str], ...]:
        """Those of `duplicates` whose two pictures are in different splits."""
        return tuple((a[1], b[1]) for a, b in self._twins if a[0] != b[0])

    @cached_property
    def _twins(self) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        first: dict[bytes, tuple[str, str]] = {}
        found: list[tuple[tuple[str, str], tuple[str, str]]] = []
        for split in self.splits.values():
            for name, digest in zip(split.names, split.looks.digests, strict=True):
                here = (split.name, name)
                if first.setdefault(digest, here) != here:
                    found.append((first[digest], here))
        return found

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted (name, content, class) of all pictures, wherever they lie."""
        lines = sorted(
            f"{name}\0{digest.hex()}\0{self.classes[label]}\n"
            for split in self.splits.values()
            for name, digest, label in zip(
                split.names, split.looks.digests, split.labels.tolist(), strict=True
            )
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def scan(self, progress: Progress | None = None) -> None:
        """Decode every picture that was not decoded yet, to know which cannot be read.

        Args:
            progress: called with (done, total) as it goes on.
        """
        for name, split in self.splits.items():
            if name not in self._broken:
                self._broken[name] = unreadable(split.source, progress)

    def check(self, progress: Progress | None = None) -> None:
        """Scan everything and refuse what is too broken to train on.

        Raises:
            DataError: too many pictures are broken, or a class is left empty.
        """
        self.scan(progress)
        self._judge()

    def _judge(self) -> None:
        parts = {name: split.part for name, split in self.splits.items()}
        self.policy.judge(parts, self._broken, self.classes)

    def counts(self, split: str) -> list[int]:
        """How many readable pictures each class has in a split, those known to be broken left out."""
        labels = self._split(split).labels[self.readable(split)]
        return np.bincount(labels, minlength=len(self.classes)).tolist()

    def readable(self, split: str) -> I64:
        """The numbers of the pictures of a split, those known to be broken left out."""
        return np.delete(np.arange(len(self._split(split))), list(self._broken.get(split, ())))

    def arrays(
        self,
        split: str,
        *,
        size: tuple[int, int] | None = None,
        color: str | None = None,
        progress: Progress | None = None,
    ) -> Arrays:
        """The pictures of a split, decoded once and kept in the cache; broken ones are left out.

        Where all of them need more than the cache may hold they are a stream, decoded when read. Those in
        shards that were packed by us were sound then, so that only shards that are cut off are noticed now.

        Args:
            split: "train", "val" or "test".
            size: height and width; None means the pictures' own, which must then be the same.
            color: "rgb", "hsv", "ycbcr", "xyz" (C = 3) or "grey" (C = 1); None means `self.color`.
            progress: called with (done, total) while decoding.

        Returns:
            images uint8 [N, H, W, C], mapped from the cache, shared with this object, or a stream; labels; names.

        Raises:
            ArgumentError: there is no such split, or pictures of different sizes and no size.
            DataError: too many broken pictures, or no room for the cache.
        """
        part = self._split(split).part
        size, color = self._form(size, color)
        source = part.source
        if isinstance(source, Pixels) and (source.size, source.color) == (size, color):
            self._broken.setdefault(split, {})
            return Arrays(source.images, part.labels, part.names)
        found = self._kept(self._split(split), size, color, progress)
        self._broken[split] = found.broken
        self._judge()
        sound = self.readable(split) if found.broken else slice(None)
        places = source.places()[sound] if isinstance(source, Sharded) else None
        names = pick(part.names, sound) if isinstance(sound, np.ndarray) else part.names
        return Arrays(found.images, part.labels[sound], names, places)

    def _split(self, name: str) -> Split:
        if name not in self.splits:
            raise ArgumentError(f"{self.path} has no split {name!r}; {nearest(name, self.splits)}")
        return self.splits[name]

    def _form(self, size: tuple[int, int] | None, color: str | None) -> tuple[tuple[int, int], str]:
        wanted = size or self.native_size
        if wanted is None:
            raise ArgumentError(
                f"the pictures of {self.path} have different sizes: give size=(height, width)"
            )
        color = color or self.color
        pictures.check_form(wanted, color)
        return (int(wanted[0]), int(wanted[1])), color

    def _kept(
        self, split: Split, size: tuple[int, int], color: str, progress: Progress | None
    ) -> Kept:
        """The pictures of a split; those of the last form asked for are remembered, being asked for again."""
        form, found = self._last.get(split.name, (None, None))
        if found is None or form != (size, color):
            found = kept(split, self.store, size, color, progress)
            self._last[split.name] = ((size, color), found)
        return found

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `data`; items and splits count the pictures that can be read."""
        problems = self.problems
        counts = {name: self.counts(name) for name in self.splits}
        splits = {name: sum(held) for name, held in counts.items()}
        return {
            "path": self.path,
            "task": self.task,
            "layout": self.layout,
            "items": sum(splits.values()),
            "splits": splits,
            "classes": list(self.classes),
            "sizes": self.sizes,
            "problems": [{"file": p.file, "reason": p.reason} for p in problems],
            "ignored": dict(self.ignored),
            "duplicates": [list(pair) for pair in self.duplicates],
            "fingerprint": self.fingerprint,
            "color": self.color,
            "counts": {
                label: {name: held[k] for name, held in counts.items()}
                for k, label in enumerate(self.classes)
            },
            "leaks": len(self.leaks),
            "bad_exif": sum(split.looks.bad_exif for split in self.splits.values()),
            "several_frames": sum(split.looks.several for split in self.splits.values()),
            "note": self.note,
        }

    def as_text(self) -> str:
        """A summary for a terminal: counts per class and split, sizes, and what is wrong."""
        return summary.text(self.as_dict())
