"""Write pictures or sounds with their targets into tar shards with an index, as `striate.data.shards` describes them.

A shard gets its name only when it is whole and on the disk, and beside it in OUT/packing lies what it
holds; so a second call goes on after the last whole one. The index is written last, after every shard
was read back. Within a split the pictures lie in a random order of their own, for a reader that takes
them as they come.
"""

import hashlib
import json
import os
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from PIL import Image

from striate.data import pictures, shards
from striate.data.cache import SPARE, gb
from striate.data.dataset import Data
from striate.data.files import shown
from striate.data.index import SPLITS, WHOLE
from striate.data.instances import NOWHERE, Ids
from striate.data.pictures import Limits
from striate.data.pillow import without_warnings
from striate.data.shards import ROW, UNCOUNTED, Rows, Shard
from striate.data.sounds import SoundSource
from striate.data.sources import I64, Encoded, Form, Pixels
from striate.data.split_items import Split
from striate.data.targets import Array, Instances, Masks, OneBox, Targets
from striate.errors import ArgumentError, DataError
from striate.files import lock, sync, write_whole
from striate.result import Result

Bar = Callable[[str, int, int], None]  # what is done, how much of it, of how much

SIZE = 256 * 10**6  # bytes of a shard
MAPS = (Masks.kind, Instances.kind)  # targets that are pictures themselves
ENCODED = (Encoded, SoundSource)  # sources of files, whose bytes are kept as they are
LOOKED = 16  # masks of a split from which the room of all is estimated
BLOCK = 512  # bytes: everything in a tar begins at a multiple
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_EXTENSIONS = {"JPEG": "jpg", "TIFF": "tif"}  # the others are called as their format


@dataclass(frozen=True)
class Packed(Result):
    """What was packed: splits with their counts, shards with size and SHA-256, pictures left out."""

    path: str
    classes: tuple[str, ...]
    splits: dict[str, int]
    shards: tuple[Shard, ...]
    problems: tuple[tuple[str, str], ...]
    fingerprint: str
    noun: str = "pictures"

    def as_dict(self) -> dict[str, Any]:
        """Plain values; the keys that it shares with the JSON shape `data` mean the same."""
        return {
            "path": self.path,
            "layout": "shards",
            "items": sum(self.splits.values()),
            "splits": self.splits,
            "classes": list(self.classes),
            "shards": [vars(shard) for shard in self.shards],
            "problems": [{"file": file, "reason": reason} for file, reason in self.problems],
            "fingerprint": self.fingerprint,
        }

    def as_text(self) -> str:
        """Two lines, and one for each picture that was left out."""
        size = gb(sum(shard.size for shard in self.shards))
        counts = ", ".join(f"{split} {count:,}" for split, count in self.splits.items())
        lost = [f"  left out {file}: {reason}" for file, reason in self.problems]
        head = (
            f"{self.path}: {sum(self.splits.values()):,} {self.noun} ({counts}) in "
            f"{len(self.shards):,} shards, {size}, each read back and as written"
        )
        return "\n".join([head, *lost, f"train from them with: striate train {self.path}"])


def pack(data: Data, out: Path, *, size: int = SIZE, progress: Bar | None = None) -> Packed:
    """Pack opened data into shards below `out`, or go on with a packing that was stopped.

    Args:
        data: what `striate.data.open` gave. Encoded pictures keep their bytes, arrays become PNG, of 16 bits where
            they have more than 8.
        out: a folder, new, empty, or of a packing of the same data.
        size: bytes of a shard; one picture that is larger has a shard to itself.
        progress: called with a word and (done, total) while pictures are checked and packed.

    Raises:
        DataError: too many pictures are broken, there is no room, or `out` holds something else.
    """
    progress = progress or (lambda _word, _done, _total: None)
    if not data.pictures and data.modality != SoundSource.modality:
        raise DataError(f"{data.path}: shards hold pictures or sounds, these are {data.noun}")
    if data.kind == Array.kind:
        raise DataError(
            f"{data.path}: shards hold labels, numbers, boxes, masks and objects, not an array an item"
        )
    data.check(partial(progress, "checking"))
    problems = tuple((problem.file, problem.reason) for problem in data.problems)
    work = _Work(data, out, size)
    with _locked(out, work.plan()):
        _check_room(work)
        parts = list(work.parts(progress))
        for part in parts:
            verify(out / part.shard.name, part.shard.sha256)
        _write_index(work, parts)
    shutil.rmtree(out / shards.AT_WORK)
    counts = {name: len(index) for name, index in work.readable.items()}
    found = tuple(part.shard for part in parts)
    told = (counts, found, problems, data.fingerprint, data.noun)
    return Packed(shown(out), data.classes, *told)


def read_size(text: str) -> int:
    """The bytes of "256M", "1.5G" or "5000000".

    Raises:
        ArgumentError: it is no size of at least one block of a tar.
    """
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    try:
        size = int(float(number) * _UNITS.get(unit, 0))
    except (ValueError, OverflowError):
        size = 0
    if size < BLOCK:
        raise ArgumentError(f"shard-size: got {text!r}, expected bytes such as 256M or 1G")
    return size


class Tar:
    """A USTAR archive that knows its length and its hash."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.size, self.hash = file, 0, hashlib.sha256()

    def add(self, name: str, data: bytes) -> int:
        """Write a member; gives where its content begins."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._put(info.tobuf(tarfile.USTAR_FORMAT))
        start = self.size
        self._put(data + bytes(-len(data) % BLOCK))
        return start

    def add_end(self) -> None:
        """Two empty blocks."""
        self._put(bytes(2 * BLOCK))

    def _put(self, data: bytes) -> None:
        try:
            self.file.write(data)
        except OSError as error:
            raise DataError(
                f"{shown(self.file.name)} cannot be written ({error.strerror}): make room, then call it "
                "again; it goes on after the last whole shard"
            ) from error
        self.hash.update(data)
        self.size += len(data)


def verify(path: Path, sha256: str) -> None:
    """Read a file back.

    Raises:
        DataError: its SHA-256 is another one.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise DataError(
            f"{shown(path)} is not as it was written: remove it and call this again, and look after the disk"
        )


@dataclass(frozen=True)
class _Part:
    """One whole shard: the split and numbers of the pictures in it, their rows of the index and those of their masks."""

    split: str
    numbers: I64
    rows: Rows
    masks: Rows
    shard: Shard


class _Work:
    """What is to be packed, a function of the data and the size of a shard alone."""

    def __init__(self, data: Data, out: Path, size: int) -> None:
        self.data, self.out, self.size = data, out, size
        self.readable = {name: data.readable(name) for name in data.splits}

    def plan(self) -> dict[str, Any]:
        """By which a later call knows that it goes on with the same work."""
        splits = {name: len(index) for name, index in self.readable.items()}
        found = {"fingerprint": self.data.fingerprint, "size": self.size, "splits": splits}
        return {**found, "version": self.version}

    @property
    def version(self) -> int:
        """The first that can say what these targets are."""
        parts = [split.part for split in self.data.splits.values()]
        several = any(_has_several(each.targets) for each in parts)
        if self.data.kind == Instances.kind or several or not self.data.pictures:
            return shards.VERSION
        bare = self.data.kind == "label" and all(each.groups is None for each in parts)
        return shards.LABELS_ALONE if bare else shards.TARGETS_TOO

    @property
    def levels(self) -> list[float] | None:
        """The range of values of the pictures as they are packed, where they have more than 8 bits."""
        if any(
            split.source.in_memory and split.source.dtype != np.uint8
            for split in self.data.splits.values()
        ):
            return [0.0, 65535.0]
        own = any(isinstance(split.source, Encoded) for split in self.data.splits.values())
        return list(self.data.levels) if own and self.data.levels else None

    def room(self) -> int:
        """What the shards need, headers and padding included: of pictures at most, of masks about twice what some take."""
        return (
            sum(self._room_of_masks(name, split) for name, split in self.data.splits.items())
            + sum(
                int(split.source.weights().sum())
                if isinstance(split.source, ENCODED)
                else split.source.images.nbytes
                if isinstance(split.source, Pixels)
                else 0
                for split in self.data.splits.values()
            )
            + 5 * BLOCK * len(self.data)
        )

    def _room_of_masks(self, name: str, split: Split) -> int:
        """About what the masks of a split take, from some of them: what they are read from may be a few numbers."""
        if self.data.kind not in MAPS:
            return 0
        index = self.readable[name]
        some = index[:: max(1, len(index) // LOOKED)]
        sizes = [len(self._target(split, int(i))[1]) for i in some]
        return round(2 * len(index) * sum(sizes) / max(1, len(sizes)))

    def names(self) -> bytes:
        """A line for each picture. Where we made the splits it says which, for the name alone does not."""
        lines: list[str] = []
        for name, split in self.data.splits.items():
            for i in self.readable[name].tolist():
                own = str(split.names[i])
                named = name == WHOLE or SPLITS.get(own.split("/", maxsplit=1)[0].lower()) == name
                lines.append(own if named else f"{name}/{own}")
        return "\n".join(lines).encode()

    def parts(self, progress: Bar) -> Iterator[_Part]:
        """The shards one after the other; those that are there already are not written again."""
        done, total, number = 0, sum(map(len, self.readable.values())), 0
        for name, split in self.data.splits.items():
            order = np.random.default_rng(0).permutation(len(self.readable[name]))
            before = number
            while len(order):
                at = f"{name}/{number - before:06}.tar"
                part = self._whole_before(name, at) or self._written(split, order, at, number)
                order = order[len(part.numbers) :]
                number += 1
                done += len(part.numbers)
                progress("packing", done, total)
                yield part

    def rows(self, parts: list[_Part], what: str = "rows") -> dict[str, Rows]:
        """The rows of each split, or those of its masks, in the order in which the data have their pictures."""
        found: dict[str, Rows] = {}
        for name, index in self.readable.items():
            found[name] = np.zeros(len(index), ROW)
            for part in parts:
                if part.split == name:
                    found[name][part.numbers] = getattr(part, what)
        return found

    def columns(self, parts: list[_Part]) -> dict[str, npt.NDArray[Any]]:
        """What the targets of each split are, and which of them belong together."""
        found: dict[str, npt.NDArray[Any]] = {}
        masks = self.rows(parts, "masks") if self.data.kind in MAPS else {}
        for name, split in self.data.splits.items():
            part = split.part.take(self.readable[name])
            own = part.targets.columns() if self.data.kind != "label" else {}
            if name in masks:
                own["rows"] = np.frombuffer(masks[name].tobytes(), np.uint8)
            if part.groups is not None:
                own["groups"] = part.groups
            if not self.data.pictures:
                own |= self._facts(split, self.readable[name])
            found |= {f"{name}/{key}": np.ascontiguousarray(column) for key, column in own.items()}
        return found

    @staticmethod
    def _facts(split: Split, index: I64) -> dict[str, npt.NDArray[np.float64]]:
        """What is known of sounds without decoding them: an array a fact, nan where one lacks it."""
        each = [split.looks.facts[i] for i in index.tolist()]
        keys = dict.fromkeys(key for facts in each for key in facts)
        return {
            f"{shards.FACT}{key}": np.array([facts.get(key, np.nan) for facts in each], np.float64)
            for key in keys
        }

    def _written(self, split: Split, order: I64, name: str, number: int) -> _Part:
        """As many pictures of an order as a shard takes, in a file that is renamed when it is whole."""
        path = self.out / name
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".tar.part")
        try:
            with part.open("wb") as file:
                tar = Tar(file)
                rows, masks = self._filled(tar, split, order, number)
                file.flush()
                os.fsync(file.fileno())
            shard = Shard(name, tar.size, tar.hash.hexdigest())
            made = _Part(split.name, order[: len(rows)], rows, masks, shard)
            self._write_note(made)
            part.rename(path)
            sync(path.parent)
        finally:
            part.unlink(missing_ok=True)
        return made

    def _filled(self, tar: Tar, split: Split, order: I64, number: int) -> tuple[Rows, Rows]:
        """Write pictures and their targets until the shard is full; gives their rows, and those of masks."""
        rows: list[np.void] = []
        masks: list[np.void] = []
        for i in order.tolist():
            source = int(self.readable[split.name][i])
            data = _encoded(split, source)
            extension, target = self._target(split, source)
            if rows and tar.size + len(data) + len(target) + 4 * BLOCK > self.size:
                break
            start = tar.add(f"{i:06}.{self._extension(data, split.names[source])}", data)
            rows.append(_row(data, number, start, picture=self.data.pictures))
            start = tar.add(f"{i:06}.{extension}", target)
            if self.data.kind == "label":
                rows[-1]["label"] = split.labels[source]
            if self.data.kind in MAPS:
                masks.append(_row(target, number, start))
        tar.add_end()
        return np.array(rows, ROW), np.array(masks, ROW)

    def _extension(self, data: bytes, name: str) -> str:
        """By which other programs know the format."""
        return _kind(data) if self.data.pictures else Path(name).suffix[1:].lower() or "wav"

    def _target(self, split: Split, i: int) -> tuple[str, bytes]:
        """What stands beside a picture in its shard: the extension, and the content."""
        targets = split.targets
        if self.data.kind == "label":
            return "cls", str(split.labels[i]).encode()
        if self.data.kind == Masks.kind:
            return "mask.png", _png(targets.truth(i))
        if self.data.kind == Instances.kind:
            return "instances.png", _png(_in_16_bits(targets.truth(i), split.names[i]))
        plain = targets.plain(i, self.data.classes, self.data.outputs)
        return "json", json.dumps(plain, ensure_ascii=False).encode()

    def _write_note(self, part: _Part) -> None:
        """Write down what a shard holds, before it gets its name."""
        note = {
            "shard": vars(part.shard),
            "numbers": part.numbers.tolist(),
            "rows": part.rows.tobytes().hex(),
            "masks": part.masks.tobytes().hex(),
        }
        write_whole(_note_path(self.out, part.shard.name), json.dumps(note).encode())

    def _whole_before(self, split: str, name: str) -> _Part | None:
        """A whole shard of an earlier call."""
        try:
            note = json.loads(_note_path(self.out, name).read_text())
            if (self.out / name).stat().st_size != note["shard"]["size"]:
                return None
            rows, masks = (
                np.frombuffer(bytes.fromhex(note[key]), ROW) for key in ("rows", "masks")
            )
            shard = Shard(**note["shard"])
            return _Part(split, np.array(note["numbers"]), rows, masks, shard)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _write_index(work: _Work, parts: list[_Part]) -> None:
    """The table first, then what names it."""
    table = b"".join([*(rows.tobytes() for rows in work.rows(parts).values()), work.names()])
    data = work.data
    index: dict[str, Any] = {
        "format": shards.FORMAT,
        "version": work.version,
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "splits": {name: len(index) for name, index in work.readable.items()},
        "shards": [vars(part.shard) for part in parts],
        "table": {**_described(table), "columns": ROW.descr},
    }
    if work.levels:
        index["levels"] = work.levels
    if work.version != shards.LABELS_ALONE:
        targets = safetensors.numpy.save(work.columns(parts))
        index |= {"task": data.task, "kind": data.kind, "outputs": list(data.outputs)}
        index |= {} if data.pictures else {"modality": data.modality}
        index["targets"] = _described(targets)
        write_whole(work.out / shards.TARGETS, targets)
    write_whole(work.out / shards.TABLE, table)
    write_whole(work.out / shards.INDEX, json.dumps(index).encode())


def _described(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _encoded(split: Split, i: int) -> bytes:
    """The bytes of a picture as they are, or as PNG where it is none of a file format."""
    source = split.source
    if isinstance(source, ENCODED):
        try:
            data = source.data(i)
        except DataError as error:
            raise DataError(f"{split.names[i]} cannot be read any more: {error}") from error
        if hashlib.sha256(data).digest() != split.looks.digests[i]:
            raise DataError(f"{split.names[i]} changed while it was packed: begin again")
        return data
    image = source.decode(i, Form(None, "grey" if split.grey else "rgb"))
    if image.dtype != np.uint8:
        return _png_of_16_bits(np.rint(image * 257.0).astype(np.uint16))
    return _png(image[..., 0] if image.shape[-1] == 1 else image)


def _png_of_16_bits(image: npt.NDArray[np.uint16]) -> bytes:
    """A picture [H, W, 1 or 3] as PNG (ISO 15948), which Pillow writes in grey alone."""
    height, width, channels = image.shape
    rows = np.zeros(
        (height, 1 + 2 * width * channels), np.uint8
    )  # each begins with its filter: none
    rows[:, 1:] = image.astype(">u2").reshape(height, -1).view(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if channels == 1 else 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in parts
    )


def _in_16_bits(ids: Ids, name: str) -> npt.NDArray[np.uint16]:
    """Ids [H, W] as a picture has them.

    Raises:
        DataError: there are more than 16 bits can number.
    """
    most = int(ids.max(initial=0))
    if most >= UNCOUNTED:
        raise DataError(
            f"{name} has {most:,} objects, shards hold at most {UNCOUNTED - 1:,} of a picture"
        )
    return np.where(ids == NOWHERE, UNCOUNTED, ids).astype(np.uint16)


def _has_several(targets: Targets) -> bool:
    """Whether an item has several boxes where one class is learned."""
    return isinstance(targets, OneBox) and bool((targets.ends - targets.starts > 1).any())


def _png(image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    out = BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def _row(data: bytes, shard: int, start: int, *, picture: bool = True) -> np.void:
    row = np.zeros(1, ROW)[0]
    row["shard"], row["length"], row["start"] = shard, len(data), start
    if picture:
        with without_warnings():
            head = pictures.head(data, Limits())
        row["height"], row["width"], row["grey"] = head.height, head.width, head.grey
    row["digest"] = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
    return row


def _kind(data: bytes) -> str:
    name = pictures.format_of(data[:16], pictures.FORMATS) or "PNG"
    return _EXTENSIONS.get(name, name.lower())


def _note_path(out: Path, name: str) -> Path:
    return out / shards.AT_WORK / f"{name.replace('/', '-')}.json"


@contextmanager
def _locked(out: Path, plan: dict[str, Any]) -> Generator[None]:
    """One packing at a time below a folder, and the same one until it is done."""
    begun = out / shards.AT_WORK / "plan.json"
    try:
        if out.exists() and not begun.exists() and any(out.iterdir()):
            raise DataError(_occupied(out, plan))
        begun.parent.mkdir(parents=True, exist_ok=True)
        with lock(begun.parent / "lock"):
            if begun.exists() and json.loads(begun.read_text()) != plan:
                raise DataError(
                    f"{shown(out)} holds an unfinished packing of other data or another shard size: "
                    "remove it, or name another folder"
                )
            write_whole(begun, json.dumps(plan).encode())
            yield
    except BlockingIOError as error:
        raise DataError(f"{shown(out)} is being packed by another process") from error
    except OSError as error:
        raise DataError(
            f"{shown(out)} cannot be written ({error.strerror}): name another folder"
        ) from error


def _occupied(out: Path, plan: dict[str, Any]) -> str:
    """What lies in a folder that no packing is at work in."""
    try:
        found = json.loads((out / shards.INDEX).read_text())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{shown(out)} holds other things: name a new or an empty folder"
    whose = "these data" if found == plan["fingerprint"] else "other data"
    return f"{shown(out)} holds shards of {whose} already, all of them: train from it, or name a new folder"


def _check_room(work: _Work) -> None:
    there = sum(path.stat().st_size for path in work.out.glob("*/*.tar"))
    needed, free = work.room() - there, shutil.disk_usage(work.out).free
    if needed + SPARE > free:
        raise DataError(
            f"the shards in {shown(work.out)} need up to {gb(needed)} but only {gb(free)} of the disk are "
            "free: make room, or name a folder on another disk"
        )
