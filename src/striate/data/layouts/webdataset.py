"""Tar shards without an index of ours: 000123.jpg beside 000123.cls, indexed by one scan of their headers.

ROOT/*.tar, ROOT/train-000000.tar, or ROOT/train/*.tar. Of each tar only regular files under safe names
are taken, and nothing is unpacked: a picture is read where it lies.
"""

import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from striate.data import files, pictures
from striate.data.archives import Caps, leaving, safe_name
from striate.data.byteranges import Local
from striate.data.files import shown
from striate.data.index import IGNORED, SPLITS, WHOLE, Candidate, Listing, Options, Part
from striate.data.layouts.tree import Tree
from striate.data.shards import AT_WORK, ROW, TABLE, Shard, Sharded
from striate.data.targets import Labels
from striate.errors import DataError

_LABEL = ".cls"
_LONGEST = 256  # bytes of a class
_MOST = Caps().files
_ALONE = "(no class or no picture beside it)"


@dataclass(frozen=True)
class Member:
    """A regular file in a shard: its name, and where its content lies."""

    name: str
    start: int
    length: int


def find(tree: Tree) -> Candidate | None:
    """The tars of a folder that hold pictures with a class beside them, if there are any."""
    root, paths = tree.root, _tars(tree)
    indexed = {TABLE, AT_WORK} & {entry.name for entry in tree.entries()}
    if indexed or not paths or not _first_is_one(root / paths[0]):
        return None
    uses = frozenset(path.split("/")[0] for path in paths)
    count = max(1, sum(_size(root / path) for path in paths) // 2048)  # a guess, for comparing
    why = f"{shown(paths[0])} holds pictures with classes beside them"
    return Candidate("tar shards", count, uses, lambda: _listing(root, paths, tree.options), why)


def _tars(tree: Tree) -> list[str]:
    """Names of the tars at the top and in split folders."""
    inside = [name for name in tree.folders() if name.lower() in SPLITS]
    names = [*tree.files(), *(name for folder in inside for name in tree.files(folder))]
    return sorted(name for name in names if name.endswith(".tar"))


def _size(path: Path) -> int:
    return path.lstat().st_size


def _first_is_one(path: Path) -> bool:
    """Whether a tar begins with a picture and its class, in either order."""
    try:
        first = islice(_members(path, Counter()), 2)
        seen = {Path(member.name).suffix.lower() for member in first}
    except DataError:
        return False
    return _LABEL in seen and bool(seen & pictures.SUFFIXES)


def _members(path: Path, left: Counter[str]) -> Iterator[Member]:
    """The regular files of a tar. Links, devices, sparse and doubled ones are left, and counted."""
    known: set[str] = set()
    try:
        with tarfile.open(path, "r:") as archive:
            for info in archive:
                name = safe_name(info.name)
                if info.isdir():
                    continue
                usable = info.isreg() and not info.issparse()
                if not usable or name is None or name in known:
                    left[leaving(name if usable else None, left)] += 1
                    continue
                if len(known) >= _MOST:
                    raise DataError(f"{shown(path)} holds more than {_MOST:,} files: refused")
                known.add(name)
                yield Member(name, info.offset_data, info.size)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise DataError(f"{shown(path)} is a damaged tar ({error}): fetch it again") from error


def _samples(path: Path, left: Counter[str]) -> Iterator[tuple[Member, Member]]:
    """The picture and the class of each sample: files that share a name up to the first dot."""
    found: dict[str, dict[str, Member]] = {}
    for member in _members(path, left):
        folder, _, name = member.name.rpartition("/")
        stem, dot, extension = name.partition(".")
        kind = _LABEL if dot + extension == _LABEL else "picture"
        if kind != _LABEL and Path(name).suffix.lower() not in pictures.SUFFIXES:
            left[files.extension(name)] += 1
        elif kind in found.setdefault(f"{folder}/{stem}", {}):
            left[_ALONE] += 1  # a second picture of the same sample
        else:
            found[f"{folder}/{stem}"][kind] = member
    for sample in found.values():
        if len(sample) == 2:
            yield sample["picture"], sample[_LABEL]
        else:
            left[_ALONE] += 1


def _split(name: str) -> str:
    """The split of a shard, by its folder or by the word its name begins with."""
    folder, _, file = name.rpartition("/")
    word = re.match(r"([a-z]+)[-_.]", file.lower())
    return SPLITS.get(folder.lower()) or SPLITS.get(word[1] if word else "", WHOLE)


def _listing(root: Path, paths: list[str], options: Options) -> Listing:
    place, left = Local(root), Counter[str]()
    rows: list[np.void] = []
    found: dict[str, list[tuple[str, str]]] = {}  # split -> name and class of each picture
    numbers: dict[str, list[int]] = {}
    for number, path in enumerate(paths):
        split = _split(path)
        for picture, label in _samples(root / path, left):
            word = _class(place, path, label)
            if options.leaves_out(picture.name) or options.leaves_out(word):
                left[IGNORED] += 1
                continue
            row = np.zeros(1, ROW)[0]
            row["shard"], row["start"] = number, picture.start
            row["length"] = min(picture.length, files.LARGEST)
            numbers.setdefault(split, []).append(len(rows))
            found.setdefault(split, []).append((f"{path}/{picture.name}", word))
            rows.append(row)
    if WHOLE in found and len(found) > 1:
        left[f"shards of no split ({', '.join(SPLITS)})"] += len(found.pop(WHOLE))
    if not found:
        raise DataError(f"{shown(root)} holds tars, but no picture with a class beside it in them")
    sizes = [Shard(path, _size(root / path)) for path in paths]
    ends = np.array([shard.size for shard in sizes], np.int64)
    table = np.array(rows, ROW)
    source = Sharded(place, sizes, ends, table, options.limits, hashed=False)
    classes = _ordered({word for held in found.values() for _, word in held})
    code = {word: k for k, word in enumerate(classes)}
    parts = {
        split: Part(
            tuple(shown(name) for name, _ in found[split]),
            Labels(np.array([code[word] for _, word in found[split]], np.int64)),
            source.take(np.array(numbers[split])),
        )
        for split in (WHOLE, "train", "val", "test")
        if split in found
    }
    return Listing("tar shards", tuple(map(shown, classes)), parts, left)


def _class(place: Local, path: str, label: Member) -> str:
    content = place.read(path, label.start, min(label.length, _LONGEST))
    word = content.decode("utf-8", "replace").strip()
    if not word or label.length > _LONGEST or len(content) < label.length:
        raise DataError(
            f"{shown(path)} at offset {label.start:,}: {shown(label.name)} holds no class, "
            "expected a number or a word"
        )
    return word


def _ordered(words: set[str]) -> list[str]:
    """By number where all are numbers, else by name."""
    if all(word.isascii() and word.isdigit() for word in words):
        return sorted(words, key=lambda word: (int(word), word))
    return sorted(words)
