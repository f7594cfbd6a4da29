"""What `striate.open` gives: what the items are, their splits, and on demand what is in them and what is wrong.

N items; pictures have H W pixels and C channels. Opening reads names and targets only; the first question about
content reads every item once, the first call of `arrays` decodes them once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from striate.data import duplicates, pictures, summary, workers
from striate.data.broken import Policy
from striate.data.cache import Broken, Store
from striate.data.color_spaces import channels
from striate.data.duplicates import Pair
from striate.data.fixes import Applied
from striate.data.index import Fault, command, pick, quoted
from striate.data.modes import U8
from striate.data.pillow import without_warnings
from striate.data.shards import Sharded
from striate.data.sources import I64, MODALITIES, AnyForm, Form, Pixels, Source
from striate.data.split_items import Progress, Split
from striate.data.streaming import Decoded, Images, decoded_or_streamed, unreadable
from striate.data.targets import PLACED
from striate.errors import ArgumentError, DataError, nearest
from striate.result import Result
from striate.text import some

_FIRST = 3  # problems that a message names


@dataclass(frozen=True)
class Problem:
    """An item that cannot be read. file: its name, escaped for printing."""

    file: str
    reason: str


@dataclass(frozen=True, eq=False)
class Arrays:
    """The sound items of a split, decoded.

    Attributes:
        inputs: an array [N, ...], of pictures [N, H, W, C] of 0 to 255, uint8 or, of more than 8 bits, float32; or a
            stream where the cache is too small for one.
        targets: what belongs to them, an array with the items along its first axis, or a stream of masks.
        names: of the N items.
        numbers: of the items in the split as listed [N], broken ones counted.
        places: shard and offset of each item [N, 2], where they come from shards.
    """

    inputs: Images
    targets: Images
    names: Sequence[str]
    numbers: I64
    places: I64 | None = None

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, eq=False, repr=False)
class Data(Result):
    """Items with their targets.

    Attributes:
        origin: how it was opened, as plain values that `again` takes.
        path: as given, escaped.
        layout: in words.
        classes: their names, class k is classes[k]; () where targets have none.
        splits: "train", "val", "test" as far as there are.
        ignored: what else lies there, counted by kind.
        note: a line about how the path was understood.
        warnings: lines about what may spoil a training, known without decoding all of it.
        read_as: the name of the layout, as `layout=` takes it, and why it was taken.
        others: the other ways to read it: the layout's name, and how many items it would give.
        task: what nets learn from it, by its name.
        outputs: names of the numbers of a target, where it is numbers.
        faults: what was wrong with parts of targets, such as single boxes.
        drawn: whether a split of it was drawn by us, and is not the data's own.
        fixed: what a table of corrections did; None without one.
        since: lines about what is another now than when the run was trained whose data these are, and what is done then.
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
    warnings: tuple[str, ...] = ()
    task: str = "classify"
    outputs: tuple[str, ...] = ()
    read_as: tuple[str, str] = ("", "")
    others: tuple[tuple[str, int], ...] = ()
    faults: tuple[Fault, ...] = ()
    drawn: bool = False
    fixed: Applied | None = None
    since: tuple[str, ...] = ()
    _broken: dict[str, Broken] = field(default_factory=dict[str, Broken], init=False)
    _thumbs: dict[str, U8] = field(default_factory=dict[str, U8], init=False)
    _last: dict[tuple[str, str], tuple[AnyForm, Decoded]] = field(
        default_factory=dict[tuple[str, str], tuple[AnyForm, Decoded]], init=False
    )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        return f"Data({self.path!r}, {len(self.classes)} classes, {sizes})"

    def __len__(self) -> int:
        return sum(len(split) for split in self.splits.values())

    @property
    def kind(self) -> str:
        """Of the targets: "label", "labels", "values", "mask", "boxes", "box" or "array"."""
        return next(iter(self.splits.values())).targets.kind

    @property
    def modality(self) -> str:
        """What the inputs are, of `striate.data.sources.MODALITIES`: "picture", "sound", "series", "volume" or "array"."""
        return next(iter(self.splits.values())).source.modality

    @property
    def pictures(self) -> bool:
        """Whether the inputs are pictures, which have a size and a colour."""
        return self.modality == "picture"

    @property
    def noun(self) -> str:
        """What the inputs are called, plural."""
        return MODALITIES[self.modality]

    @property
    def levels(self) -> tuple[float, float] | None:
        """The values of pictures of more than 8 bits that become 0 and 255; None where none were found."""
        found = self.origin.get("levels")
        return (found[0], found[1]) if found else None

    @property
    def held_out(self) -> str:
        """The split that choices are made on: "val" if there is one, else "test"."""
        return "val" if "val" in self.splits else "test"

    @property
    def judged(self) -> str:
        """The split that a finished run is judged on: "test", else "val", else the first, which it may have learned from."""
        return next(name for name in ("test", "val", *self.splits) if name in self.splits)

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

    def shape(self, size: tuple[int, int] | None, color: str | None) -> tuple[int, ...]:
        """Of one input as a net reads it: (C, H, W) of a picture at a size and in a colour, else as it lies there."""
        if self.pictures:
            return (channels(color or self.color), *(size or ()))
        return next(iter(self.splits.values())).source.shape(Form(None, ""))

    @cached_property
    def facts(self) -> dict[str, list[float]]:
        """Numbers of the readable inputs by what they say, such as the seconds of sounds, of all splits; {} of pictures."""
        found: dict[str, list[float]] = {}
        for split in self.splits.values():
            for facts in split.looks.facts:
                for name, value in facts.items():
                    found.setdefault(name, []).append(value)
        return found

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """Lines about inputs that may spoil a training, which one reading of them tells."""
        each = (
            s.source.remarks(s.names, s.looks.facts)
            for s in self.splits.values()
            if not self.pictures
        )
        return tuple(line for lines in each for line in lines)

    @cached_property
    def median_size(self) -> tuple[float, float]:
        """Median height and width of the pictures, as their headers state them."""
        shapes = np.concatenate([split.shapes({}) for split in self.splits.values()])
        return (float(np.median(shapes[:, 0])), float(np.median(shapes[:, 1])))

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
        """Least, median and greatest height and width of the readable pictures in pixels; of other inputs their facts."""
        if not self.pictures:
            return {name: _spread(np.array(values)) for name, values in self.facts.items()}
        self.scan()
        shapes = np.concatenate([s.shapes(self._broken[name]) for name, s in self.splits.items()])
        if not len(shapes):
            return {}
        return {"height": _spread(shapes[:, 0]), "width": _spread(shapes[:, 1])}

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
        return tuple((a[1], b[1]) for a, b in self.exact_pairs)

    @cached_property
    def leaks(self) -> tuple[tuple[str, str], ...]:
        """Those of `duplicates` whose two pictures are in different splits."""
        return tuple((a[1], b[1]) for a, b in self.exact_pairs if a[0] != b[0])

    @property
    def cautions(self) -> list[str]:
        """What makes scores mean less than they say: items that lie in more than one split, classes that no mask teaches."""
        lines = summary.unlearned(self.unlearned)
        if self.leaks:
            pairs = some([f"{a} = {b}" for a, b in self.leaks], 2, between=";")
            lines.append(
                f"{len(self.leaks):,} {self.noun} are in more than one split ({pairs}), so scores are of what was learned or "
                "chosen by: take them out and train anew"
            )
        return lines

    @cached_property
    def exact_pairs(self) -> list[Pair]:
        """Split and name of items with exactly the same content: the first of them with each other one."""
        return duplicates.exact_pairs(self.splits)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted (name, content, target) of all items, wherever they lie."""
        lines = sorted(
            f"{name}\0{digest.hex()}\0{split.targets.content(i, self.classes)}\n"
            for split in self.splits.values()
            for i, (name, digest) in enumerate(zip(split.names, split.looks.digests, strict=True))
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def mark(self, split: str) -> str:
        """What a thing kept of the items of a split is a function of: `fingerprint`, and which items are there, in order."""
        inside = hashlib.sha256(b"".join(self.splits[split].looks.digests)).hexdigest()
        return f"{self.fingerprint} {split} {inside}"

    def scan(self, progress: Progress | None = None) -> None:
        """Decode every item that was not decoded yet, to know which cannot be read.

        Args:
            progress: called with (done, total) as it goes on.
        """
        for name, split in self.splits.items():
            if name not in self._broken:
                masks = split.targets.source
                lost = {} if masks is None else unreadable(masks, None)
                self._broken[name] = {
                    **_of_masks(lost),
                    **self._looked(name, split.source, progress),
                    **split.unusable(),
                }

    def _looked(self, name: str, source: Source, progress: Progress | None) -> Broken:
        """What of a split cannot be read; small pictures of it are remembered, where they can be compared."""
        if len(self) > duplicates.MOST or not source.pictures or source.in_memory:
            return unreadable(source, progress)
        self._thumbs[name], broken = duplicates.thumbnails(source, progress)
        return broken

    @cached_property
    def near_duplicates(self) -> tuple[tuple[str, str], ...] | None:
        """Names of pictures that are nearly the same; None where there are too many to look for them, or no pictures."""
        pairs = self.near_pairs
        return None if pairs is None else tuple((a[1], b[1]) for a, b in pairs)

    @cached_property
    def near_leaks(self) -> int:
        """How many of `near_duplicates` are in different splits."""
        return sum(a[0] != b[0] for a, b in self.near_pairs or ())

    def _near_mend(self) -> str:
        """The command that keeps near duplicates on one side of a split of ours; "" where there is nothing to mend."""
        if not (self.near_leaks and self.drawn):
            return ""
        rule = self.origin["split"]
        rule = "similar" if rule == "stratified" else f"similar+{rule}"
        return f"striate train {quoted(self.path)} split={quoted(rule)}"

    @property
    def near_unlooked(self) -> str:
        """Why near duplicates are not looked for; "" where they are."""
        if not self.pictures:
            return f"{self.noun} are not compared"
        if len(self) > duplicates.MOST:
            return f"{len(self):,} pictures are more than the {duplicates.MOST:,} that are compared"
        return ""

    @cached_property
    def near_pairs(self) -> list[Pair] | None:
        """Split and name of pictures that are nearly the same; None where they are not looked for (`near_unlooked`)."""
        if self.near_unlooked:
            return None
        self.scan()
        for name, split in self.splits.items():
            if name not in self._thumbs:
                self._thumbs[name] = duplicates.thumbnails(split.source)[0]
        return duplicates.near_pairs(self.splits, self._thumbs)

    @cached_property
    def contradictions(self) -> tuple[tuple[str, str], ...]:
        """Names of pictures that are the same, or nearly, and have different labels."""
        if self.kind != "label":
            return ()
        pairs = duplicates.contradictions(
            self.splits, [*self.exact_pairs, *(self.near_pairs or ())]
        )
        return tuple((a[1], b[1]) for a, b in pairs)

    def check(self, progress: Progress | None = None) -> None:
        """Scan everything and refuse what is too broken to train on.

        Raises:
            DataError: too many pictures are broken, or a class is left empty.
        """
        self.scan(progress)
        self._judge()

    def check_any(self) -> None:
        """Scan everything and refuse data of which nothing can be used.

        Raises:
            DataError: no item can be read; with the first reasons.
        """
        problems = self.problems
        if len(problems) == len(self):
            first = "; ".join(f"{each.file} ({each.reason})" for each in problems[:_FIRST])
            raise DataError(f"none of {len(self):,} items of {self.path} can be read: {first}")

    def _judge(self) -> None:
        parts = {name: split.part for name, split in self.splits.items()}
        self.policy.judge(parts, self._broken, self.classes)

    def counts(self, split: str) -> list[int] | None:
        """How often each class occurs in a split, items known to be broken left out; None where decoding would tell."""
        targets = self._split(split).targets
        return targets.counts(self.readable(split), len(self.classes))

    def pixels(self, split: str) -> I64:
        """How many pixels each class has in the masks of a split [K], every one decoded; broken ones are left out."""
        held = self._split(split)
        classes = len(self.classes)

        def work(index: I64) -> I64:
            each = (held.targets.truth(i) for i in workers.each(index))
            return sum(
                (np.bincount(m.ravel(), minlength=256)[:classes] for m in each),
                np.zeros(classes, np.int64),
            )

        chunks = workers.chunks_of(self.readable(split), 8)
        with without_warnings():
            found = [done.result for done in workers.in_order(work, chunks)]
        return np.sum(found, axis=0) if found else np.zeros(classes, np.int64)

    @cached_property
    def unlearned(self) -> tuple[str, ...]:
        """Classes of masks that are drawn in other splits and in none of those that are trained on.

        Masks are decoded until every class was seen: few where nothing is wrong.
        """
        if self.kind != "mask" or "train" not in self.splits:
            return ()
        self.scan()  # so that broken masks are known
        every = set(range(len(self.classes)))
        left = every - self._drawn("train", every)
        elsewhere = set[int]()
        for split in self.splits:
            if split != "train":
                elsewhere |= self._drawn(split, left - elsewhere)
        return tuple(self.classes[k] for k in sorted(elsewhere))

    def _drawn(self, split: str, wanted: set[int]) -> set[int]:
        """Those of some classes that a readable mask of a split holds."""
        held, found = self._split(split), set[int]()

        def work(index: I64) -> set[int]:
            each = (np.bincount(held.targets.truth(i).ravel()) for i in workers.each(index))
            return {int(k) for counts in each for k in np.flatnonzero(counts)}

        chunks = workers.chunks_of(self.readable(split), 8) if wanted else []
        with without_warnings(), closing(workers.in_order(work, chunks)) as done:
            for chunk in done:
                found |= chunk.result & wanted
                if found == wanted:
                    break
        return found

    def readable(self, split: str) -> I64:
        """The numbers of the pictures of a split, those known to be broken left out."""
        return np.delete(np.arange(len(self._split(split))), list(self._broken.get(split, ())))

    def arrays(
        self,
        split: str,
        *,
        size: tuple[int, int] | None = None,
        color: str | None = None,
        fit: str = "cover",
        form: AnyForm = None,
        progress: Progress | None = None,
    ) -> Arrays:
        """The items of a split, decoded once and kept in the cache; broken ones are left out.

        Where all of them need more than the cache may hold they are a stream, decoded when read. Those in
        shards that were packed by us were sound then, so that only shards that are cut off are noticed now.

        Args:
            split: "train", "val" or "test".
            size: height and width; None means the pictures' own, which must then be the same.
            color: "rgb", "hsv", "ycbcr", "xyz" (C = 3) or "grey" (C = 1); None means `self.color`.
            fit: how pictures are brought to the size: "cover" cuts off what is too much, "stretch" scales each
                side by itself, "native" leaves each as it is: a stream where they differ.
            form: the same in one, in place of these three; inputs that are no pictures have no other way to say it.
            progress: called with (done, total) while decoding.

        Returns:
            Inputs, of pictures [N, H, W, C] of 0 to 255, uint8 or, of more than 8 bits, float32, mapped from the
            cache, shared with this object, or a stream; targets; names.

        Raises:
            ArgumentError: there is no such split, or pictures of different sizes and no size.
            DataError: too many broken items, or no room for the cache.
        """
        held = self._split(split)
        part, form = held.part, self._form(size, color, fit, form)
        inputs = self._decoded(split, "inputs", part.source, form, progress)
        masks = part.targets.source
        found = None
        if masks:
            like = form._replace(color="grey") if isinstance(form, Form) else form
            found = self._decoded(split, "targets", masks, like, None)
        lost = {} if found is None else _of_masks(found.broken)
        broken = {**lost, **inputs.broken, **held.unusable()}
        self._broken[split] = broken
        if broken:
            self._judge()
        sound = self.readable(split)
        if found is None:
            natural = (
                held.natural if part.targets.kind in PLACED else np.empty((len(part), 2), np.int64)
            )
            targets = part.targets.array(natural, form)
            targets = targets[sound] if broken else targets
        else:
            targets = _only(found, sound, len(part))
        source = part.source
        places = source.places()[sound] if isinstance(source, Sharded) else None
        names = pick(part.names, sound) if broken else part.names
        return Arrays(_only(inputs, sound, len(part)), targets, names, sound, places)

    def with_classes(self, classes: Sequence[str]) -> "Data":
        """The same with its classes numbered as in another list, which may have more.

        Raises:
            DataError: a class that is not in that list.
        """
        if tuple(classes) == self.classes:
            return self
        place = {name: i for i, name in enumerate(classes)}
        unknown = [name for name in self.classes if name not in place]
        if unknown:
            raise DataError(
                f"the data have classes that this run does not know: {some(unknown, 5)}; it knows {some(classes, 20)}"
            )
        table = np.array([place[name] for name in self.classes], np.int64)
        splits = {
            name: replace(
                split,
                part=replace(split.part, targets=split.targets.renumbered(table, len(classes))),
            )
            for name, split in self.splits.items()
        }
        return replace(self, classes=tuple(classes), splits=splits)

    def _split(self, name: str) -> Split:
        if name not in self.splits:
            raise ArgumentError(f"{self.path} has no split {name!r}; {nearest(name, self.splits)}")
        return self.splits[name]

    def _form(
        self, size: tuple[int, int] | None, color: str | None, fit: str, form: AnyForm
    ) -> AnyForm:
        if not self.pictures:
            return Form(None, "") if form is None else form
        if form is not None:
            size, color, fit = form.size, form.color or None, form.fit
        wanted = size or self.native_size
        if wanted is None and fit != "native":
            raise ArgumentError(
                f"the pictures of {self.path} have different sizes: give size=(height, width)"
            )
        color = color or self.color
        pictures.check_form(wanted, color)
        return Form((int(wanted[0]), int(wanted[1])) if wanted else None, color, fit)

    def _decoded(
        self, split: str, what: str, source: Source, form: AnyForm, progress: Progress | None
    ) -> Decoded:
        """The inputs or targets of a split; those of the last form asked for are remembered, being asked for again."""
        last, found = self._last.get((split, what), (None, None))
        if found is None or last != form:
            held = self._split(split)
            found = decoded_or_streamed(
                source, held.names, partial(held.digests, what), self.store, form, progress
            )
            self._last[split, what] = (form, found)
        return found

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `data`; items and splits count the pictures that can be read."""
        problems = self.problems
        counts = {name: self.counts(name) for name in self.splits}
        splits = {name: len(self.readable(name)) for name in self.splits}
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
            "near_duplicates": None
            if self.near_duplicates is None
            else [list(pair) for pair in self.near_duplicates],
            "near_leaks": self.near_leaks,
            "near_mend": self._near_mend(),
            "contradictions": [list(pair) for pair in self.contradictions],
            "warnings": [
                *self.since,
                *self.warnings,
                *self.remarks,
                *summary.class_warnings(self.classes, counts),
                *summary.unlearned(self.unlearned),
            ],
            "color": self.color if self.pictures else "",
            "counts": {
                label: {name: held[k] for name, held in counts.items() if held is not None}
                for k, label in enumerate(self.classes)
            },
            "targets": self.kind,
            "outputs": list(self.outputs),
            "leaks": len(self.leaks),
            "bad_exif": sum(split.looks.bad_exif for split in self.splits.values()),
            "alpha": sum(split.looks.alpha for split in self.splits.values()),
            "more_bands": sum(split.looks.more_bands for split in self.splits.values()),
            "reduced": sum(split.looks.reduced for split in self.splits.values()),
            "several_frames": sum(split.looks.several for split in self.splits.values()),
            "mask_frames": sum(
                split.target_looks.several for split in self.splits.values() if split.target_looks
            ),
            "unturned_masks": sum(split.unturned_masks for split in self.splits.values()),
            "note": self.note,
            "faults": [asdict(fault) for fault in self.faults],
            "read_as": {"layout": self.read_as[0], "why": self.read_as[1]},
            "others": [
                {"layout": name, "items": count, "command": command(self.path, name)}
                for name, count in self.others
            ],
            "inputs": self.modality,
            "fixes": None if self.fixed is None else self.fixed.as_dict(),
        }

    def _repr_html_(self) -> str:
        """Some pictures, the counts and what may spoil a training; nothing is read but the pictures that are shown."""
        return summary.notebook(self)

    def as_text(self) -> str:
        """A summary for a terminal: counts per class and split, sizes, and what is wrong."""
        return summary.text(self.as_dict())


def _spread(values: npt.NDArray[Any]) -> dict[str, float]:
    """The least, the middle and the greatest."""
    least, greatest = values.min().item(), values.max().item()
    return {"min": least, "median": float(np.median(values)), "max": greatest}


def _of_masks(broken: Broken) -> Broken:
    """The same with reasons that say that it is the mask."""
    return {i: f"its mask: {reason}" for i, reason in broken.items()}


def _only(found: Decoded, sound: I64, count: int) -> Images:
    """Of the sound items of a source, of `count` in all, those of these numbers."""
    have = np.delete(np.arange(count), list(found.broken))
    if len(have) == len(sound):
        return found.images
    rows = np.flatnonzero(np.isin(have, sound))
    return found.images[rows]
