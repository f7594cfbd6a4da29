"""Tar shards without an index of ours: 000123.jpg beside 000123.cls, indexed by one scan of their headers.

ROOT/*.tar, ROOT/train-000000.tar, or ROOT/train/*.tar. Of each tar only regular files under safe names
are taken, and nothing is unpacked: a picture is read where it lies.

The files of a sample share their name up to the first dot, as the webdataset library has it; where several samples do,
up to the last. Its class is a number or a word in .cls, .label, .target, .index, .id or .txt, in a .json under one of
`KEYS`, or a whole number in a .npy. The members of a sample may lie anywhere in their tar.
"""

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np

from striate.data import files, pictures
from striate.data.archives import Caps, leaving, safe_name
from striate.data.byteranges import Local
from striate.data.files import shown
from striate.data.index import IGNORED, SPLITS, WHOLE, Candidate, Fault, Listing, Options, Part
from striate.data.layouts.tree import Tree
from striate.data.shards import AT_WORK, ROW, TABLE, Shard, Sharded
from striate.data.targets import Labels
from striate.errors import DataError, told

# In order of precedence. A .txt is mostly a caption, so it counts last, and only where words come again.
_WORDS = (".cls.txt", ".cls", ".label", ".lbl", ".target", ".index", ".idx", ".id")
_LABELS = (*_WORDS, ".json", ".npy", ".txt")
KEYS = ("label", "cls", "class", "class_name", "category", "target", "label_name", "class_id", "y")
_LONGEST = 256  # bytes of a class
_LARGEST = 2**20  # bytes of a .json or .npy
_LOOKED_AT = 200  # members by which such tars are known
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
    if indexed or not paths or not any(_is_one(root / path) for path in paths[:3]):
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


def _is_one(path: Path) -> bool:
    """Whether a tar begins with pictures that have a class beside them, or something else of the same name."""
    try:
        first = list(islice(_members(path, Counter(), []), _LOOKED_AT))
    except DataError:
        return False
    keys: dict[str, set[str]] = {}
    for member in first:
        folder, _, name = member.name.rpartition("/")
        keys.setdefault(f"{folder}/{name.partition('.')[0]}", set()).add(_suffix(member.name))
    return any(each & pictures.SUFFIXES and each - pictures.SUFFIXES for each in keys.values())


def _suffix(name: str) -> str:
    """The ending that says what a member is."""
    return ".cls.txt" if name.lower().endswith(".cls.txt") else Path(name).suffix.lower()


def _members(path: Path, left: Counter[str], lost: list[str] | None = None) -> Iterator[Member]:
    """The regular files of a tar. Links, devices, sparse and doubled ones are left, and counted.

    Args:
        path: of the tar.
        left: counts what is not taken.
        lost: gets a line for a tar that is damaged, whose members before the damage are given; None refuses it.

    Raises:
        DataError: it is damaged, or holds too many files.
    """
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
        if lost is None:
            raise DataError(
                f"{shown(path)} is a damaged tar ({error}): fetch it again, or do without what is lost, broken=skip"
            ) from error
        lost.append(f"{shown(path)}: {error}")


def _samples(
    path: Path, left: Counter[str], lost: list[str] | None
) -> Iterator[tuple[Member, Member]]:
    """The picture and the class of each sample."""
    groups: dict[str, list[Member]] = {}
    for member in _members(path, left, lost):
        folder, _, name = member.name.rpartition("/")
        groups.setdefault(f"{folder}/{name.partition('.')[0]}", []).append(member)
    for members in groups.values():
        yield from _paired(members, left)


def _paired(members: list[Member], left: Counter[str]) -> Iterator[tuple[Member, Member]]:
    """Pictures with their classes, of members that share their name up to the first dot."""
    seen = [member for member in members if _suffix(member.name) in pictures.SUFFIXES]
    labels = [member for member in members if _suffix(member.name) in _LABELS]
    if len(seen) > 1 and len(labels) > 1:  # keys with dots in them
        parts: dict[str, list[Member]] = {}
        for member in members:
            parts.setdefault(member.name[: -len(_suffix(member.name)) or None], []).append(member)
        if len(parts) > 1:
            for part in parts.values():
                yield from _paired(part, left)
            return
    label = min(labels, key=lambda each: _LABELS.index(_suffix(each.name)), default=None)
    for member in members:
        if member is label or member in seen:
            continue
        left[files.extension(member.name)] += 1
    if seen and label is not None:
        yield seen[0], label
        left.update([_ALONE] * (len(seen) - 1))
    else:
        left.update([_ALONE] * (len(seen) + (label is not None)))


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
    lost: list[str] = []
    captions: list[str] = []
    for number, path in enumerate(paths):
        split = _split(path)
        for picture, label in _samples(root / path, left, lost if options.skip else None):
            try:
                word = _class(place, path, label)
            except DataError as error:
                if not options.skip:
                    raise
                lost.append(str(error))
                continue
            captions += [word] if label.name.endswith(".txt") else []
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
        raise _no_classes(root, left, lost)
    _check_captions(root, captions)
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
    damaged = Fault(
        "tars or classes that are damaged", "what can be read is used", len(lost), tuple(lost[:5])
    )
    return Listing(
        "tar shards", tuple(map(shown, classes)), parts, left, faults=(damaged,) if lost else ()
    )


def _no_classes(root: Path, left: Counter[str], lost: list[str]) -> DataError:
    """The error that says what lies beside the pictures."""
    beside = ", ".join(sorted(key for key, count in left.items() if key[:1] == "." and count))
    damage = f"; {lost[0]}" if lost else ""
    return DataError(
        f"{shown(root)} holds tars, but no picture with a class beside it in them (beside pictures lies "
        f"{beside or 'nothing'}; a class is looked for in {', '.join(_LABELS)}){damage}"
    )


def _check_captions(root: Path, words: list[str]) -> None:
    """Refuse what stands in .txt files as classes where nearly every picture has its own.

    Raises:
        DataError: saying so.
    """
    if len(words) > 3 and len(set(words)) * 2 > len(words):
        raise DataError(
            f"{shown(root)}: the .txt beside the pictures are captions ({len(set(words)):,} different ones of "
            f"{len(words):,}), no classes; a class is looked for in {', '.join(_LABELS[:-1])} first"
        )


def _class(place: Local, path: str, label: Member) -> str:
    """The class that a member holds.

    Raises:
        DataError: it holds none; the message says where, and what it holds.
    """
    where = f"{shown(path)} at offset {label.start:,}: {shown(label.name)}"
    plain = _suffix(label.name) not in (".json", ".npy")
    most = _LONGEST if plain else _LARGEST
    content = place.read(path, label.start, min(label.length, most))
    if label.length > most:
        raise DataError(f"{where} has {label.length:,} bytes, a class at most {most:,}")
    if len(content) < label.length:
        raise DataError(f"{where} is cut off")
    read = {".json": _of_json, ".npy": _of_array}.get(_suffix(label.name), _of_text)
    try:
        word = read(content)
    except (ValueError, RecursionError, *files.UNSOUND) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{where} holds no class, expected a number or a word ({reason})"
        ) from error
    return word


def _of_text(content: bytes) -> str:
    word = content.decode("utf-8-sig").strip()
    if not word or not word.isprintable():
        raise ValueError("it is empty" if not word else "it is no line of text")
    return word


def _of_json(content: bytes) -> str:
    value = json.loads(content)
    if isinstance(value, dict):
        key = next((key for key in KEYS if key in value), None)
        if key is None:
            raise ValueError(f"it has {', '.join(map(str, value))[:80]}, none of {', '.join(KEYS)}")
        value = value[key]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"its value is {told(value)}")  # noqa: TRY004 - one kind of error
    return _of_text(str(value).encode())


def _of_array(content: bytes) -> str:
    value = np.load(BytesIO(content), allow_pickle=False)
    if value.size != 1 or value.dtype.kind not in "iu":
        raise ValueError(f"an array {list(value.shape)} of {value.dtype}")
    return str(int(value.reshape(())))


def _ordered(words: set[str]) -> list[str]:
    """By number where all are numbers, else by name."""
    if all(word.isascii() and word.isdigit() for word in words):
        return sorted(words, key=lambda word: (int(word), word))
    return sorted(words)
