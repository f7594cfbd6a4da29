"""A folder that every layout looks at, read once; and what the names of folders say: a split, pictures, or masks."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from striate.data import files, pictures
from striate.data.files import Entry
from striate.data.index import Options

T = TypeVar("T")
IMAGE, MASK = "image", "mask"

# fmt: off
_SPLITS = {
    "train": "train", "training": "train", "trn": "train", "tr": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "tst": "test", "ts": "test",
}
_IMAGES = frozenset([
    "image", "images", "img", "imgs", "jpegimages", "pngimages", "input", "inputs", "x", "photo", "photos",
    "picture", "pictures", "original", "originals", "frame", "frames", "raw", "rgb", "leftimg8bit",
])
_MASKS = frozenset([
    "mask", "masks", "label", "labels", "annot", "annots", "annotation", "annotations", "groundtruth", "groundtruths",
    "gt", "gts", "segmentationclass", "segmentationclassaug", "segmentationclasspng", "segmentation", "segmentations",
    "seg", "segs", "target", "targets", "y", "gtfine", "trimap", "trimaps", "manual", "segmentationmask",
    "segmentationmasks", "labelsclass", "annotpng", "maskpng", "instance", "instances", "instancemask", "instancemasks",
])
# fmt: on
_SHORT = frozenset(["tr", "ts", "trn", "tst", "dev"])  # splits only beside the word of a role


@dataclass(frozen=True)
class Tree:
    """A folder, or one file in it.

    Attributes:
        root: the folder.
        options: what to leave out.
        given: the name of the file in it that was named instead of the folder; "" if the folder was.
        name: what the user called it, for messages.
    """

    root: Path
    options: Options
    given: str = ""
    name: Path = Path()
    _known: dict[str, list[Entry]] = field(default_factory=dict[str, list[Entry]], repr=False)
    _all: list[Entry] = field(default_factory=list[Entry], repr=False)
    _found: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def once(self, what: str, find: Callable[["Tree"], T]) -> T:
        """What `find` tells of this folder; it is asked once."""
        if what not in self._found:
            self._found[what] = find(self)
        return self._found[what]

    def entries(self, inside: str = "") -> list[Entry]:
        """What a folder holds, sorted, by plain names; folders that were read before are not read again.

        Raises:
            DataError: the folder cannot be read.
        """
        if inside not in self._known:
            self._known[inside] = files.entries(self.root / inside)
        return self._known[inside]

    def folders(self, inside: str = "") -> list[str]:
        """Names of the folders in a folder, those left out by `ignore` not among them; relative to the root."""
        return self._of("folder", inside)

    def files(self, inside: str = "") -> list[str]:
        """Names of the regular files in a folder, those left out by `ignore` not among them; relative to the root."""
        return self._of("file", inside)

    def pictures(self, inside: str = "") -> list[str]:
        """Those of `files` whose extension is that of a picture."""
        return [name for name in self.files(inside) if named_like_picture(name)]

    def _of(self, kind: str, inside: str) -> list[str]:
        found = (below(inside, e.name) for e in self.entries(inside) if e.kind == kind)
        return [name for name in found if not self.options.leaves_out(name)]

    def all(self) -> list[Entry]:
        """What `walk` gives of the whole folder; the list is made once, for the layouts that need it."""
        if not self._all:
            self._all.extend(self.walk())
        return self._all

    def walk(self, inside: str = "") -> Iterator[Entry]:
        """All entries below a folder that are no folders, their names relative to the root, in order.

        Raises:
            DataError: a folder cannot be read.
        """
        for entry in self.entries(inside):
            name = below(inside, entry.name)
            if entry.kind == "folder":
                yield from self.walk(name)
            else:
                yield Entry(name, entry.kind)


def below(folder: str, name: str) -> str:
    """A name in a folder, relative to the root.

    >>> below("", "a"), below("train", "a")
    ('a', 'train/a')
    """
    return f"{folder}/{name}" if folder else name


def named_like_picture(name: str) -> bool:
    """Whether a file's extension is that of a picture, one that we cannot read included."""
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    return suffix in pictures.SUFFIXES or suffix in pictures.OTHER_SUFFIXES


class Role(NamedTuple):
    """Which split a folder holds, "" where its name does not say, and `IMAGE`, `MASK` or "" likewise."""

    split: str
    kind: str


def role(name: str) -> Role | None:
    """What the name of a folder says; None where it says nothing of the kind.

    >>> role("trainannot"), role("imagesTr"), role("Val"), role("cats")
    (Role(split='train', kind='mask'), Role(split='train', kind='image'), Role(split='val', kind=''), None)
    """
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    kind = _kind(word)
    if kind:
        return Role("", kind)
    if word in _SPLITS and word not in _SHORT:
        return Role(_SPLITS[word], "")
    apart = len(word) < len(name)  # "x_train" is one, "testy" none
    for word_of_split, split in sorted(_SPLITS.items(), key=lambda pair: -len(pair[0])):
        before = "" if word_of_split in _SHORT else word.removeprefix(word_of_split)
        for rest in (before, word.removesuffix(word_of_split)):
            if rest != word and (kind := _kind(rest)) and (apart or len(rest) > 1):
                return Role(split, kind)
    return None


def _kind(word: str) -> str:
    if word in _IMAGES:
        return IMAGE
    return MASK if word in _MASKS else ""


def is_split(name: str) -> bool:
    """Whether a name says which split a thing belongs to, and nothing else."""
    found = role(name)
    return found is not None and bool(found.split) and not found.kind
