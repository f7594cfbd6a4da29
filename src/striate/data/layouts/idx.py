"""The four idx files of MNIST and its kin, gzipped or not.

http://yann.lecun.com/exdb/mnist/

A header of big-endian words: 0 0 type rank, then one size for each axis; then the values.
"""

import gzip
import re
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from striate.data import files
from striate.data.files import shown
from striate.data.index import Candidate, Listing, Part, coded, numbered
from striate.data.layouts.tree import Tree
from striate.data.modes import U8
from striate.data.sources import Pixels
from striate.data.targets import Labels
from striate.errors import DataError

NAME = re.compile(
    r"(?:.*[-_.])?(train|t10k|test)[-_.](images|labels)[-_.]idx[13][-_.]ubyte(\.gz)?", re.IGNORECASE
)
_UBYTE = 8  # the only type of value that occurs
_MOST = 2**34  # bytes
_STEP = 2**22  # bytes read at a time, so that no second copy of the whole is made

Named = dict[tuple[str, str], str]  # ("train" | "test", "images" | "labels") -> file


def find(tree: Tree) -> Candidate | None:
    """The four files, if the folder holds any of them.

    Raises:
        DataError: some of the four are missing; the message names them.
    """
    named: Named = {}
    root = tree.root
    for name in tree.files():
        for role in roles(name):
            named.setdefault(role, name)  # sorted: plain before .gz
    if not named:
        return None
    for split in ("train", "test"):
        for kind in ("images", "labels"):
            if (split, kind) not in named and any(key[0] == split for key in named):
                raise DataError(
                    f"{shown(root)} has no file with the {split} {kind} beside its other idx files"
                )
    count = sum(_shape(root / name)[0] for (_, kind), name in named.items() if kind == "labels")
    uses = frozenset(named.values())
    why = f"{shown(min(uses))} is named like a file of MNIST"
    return Candidate("idx files", count, uses, lambda: read_files(root, named), why)


def roles(name: str) -> list[tuple[str, str]]:
    """What a file is by its name: [("train" | "test", "images" | "labels")], or []."""
    match = NAME.fullmatch(name)
    return [("train" if match[1].lower() == "train" else "test", match[2].lower())] if match else []


def read_files(root: Path, named: Named) -> Listing:
    """The idx files of these names.

    Raises:
        DataError: they are damaged or do not belong together.
    """
    splits = [split for split in ("train", "test") if (split, "images") in named]
    labels = {split: values(root / named[split, "labels"]) for split in splits}
    classes, codes = coded(labels, None)
    parts: dict[str, Part] = {}
    for split in splits:
        images = values(root / named[split, "images"])
        if images.ndim != 3:
            raise DataError(f"the {split} images are {list(images.shape)}, expected [N, H, W]")
        if len(images) != len(codes[split]):
            raise DataError(f"{split} has {len(images)} pictures but {len(codes[split])} labels")
        parts[split] = Part(
            numbered(split, len(images)), Labels(codes[split]), Pixels(images[..., None])
        )
    return Listing("idx files", classes, parts)


def values(path: Path) -> U8:
    """The array of one idx file, uint8, writable.

    Raises:
        DataError: no idx file, or a truncated one; the message names it.
    """
    with _opened(path) as file:
        shape = _header(file, path)
        array = np.empty(shape, np.uint8)
        view = array.data.cast("B") if array.size else memoryview(b"")
        at = 0
        while at < len(view):
            block = file.read(min(_STEP, len(view) - at))
            if not block:
                raise DataError(f"{shown(path)} is truncated: {at:,} of {len(view):,} values")
            view[at : at + len(block)] = block
            at += len(block)
        if file.read(1):  # also makes gzip compare its checksum
            raise DataError(
                f"{shown(path)} holds more than the {len(view):,} values that it states"
            )
    return array


def _shape(path: Path) -> tuple[int, ...]:
    with _opened(path) as file:
        return _header(file, path)


def _header(file: BinaryIO, path: Path) -> tuple[int, ...]:
    start = file.read(4)
    rank = start[3] if len(start) == 4 and start[:3] == bytes((0, 0, _UBYTE)) else 0
    sizes = file.read(4 * rank)
    if files.is_pointer(path):
        raise DataError(f"{shown(path)} is {files.POINTED}")
    if rank not in (1, 3) or len(sizes) < 4 * rank:
        raise DataError(f"{shown(path)} is no idx file of bytes with 1 or 3 axes")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if np.prod(shape, dtype=object) > _MOST:
        raise DataError(f"{shown(path)} states {list(shape)} values; the limit is {_MOST:,}")
    return shape


@contextmanager
def _opened(path: Path) -> Generator[BinaryIO]:
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as file:
                yield cast("BinaryIO", file)
        else:
            with path.open("rb") as file:
                yield file
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{shown(path)} cannot be read ({error}): fetch it again") from error
