"""Lists that assign files to splits: train.txt, val.txt and test.txt with a name a line, such as VOC's ImageSets."""

import re
from collections.abc import Sequence

from striate.data import files
from striate.data.layouts.lookup import Lookup
from striate.data.layouts.tree import Tree
from striate.errors import DataError

_FOLDERS = ("imagesets", "splits", "split", "lists", "list", "sets", "meta")
_LARGEST = 2**26  # bytes
_ENOUGH = 0.5  # of the lines of a list that must name a file
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


def lists(tree: Tree, prefer: str = "segmentation") -> dict[str, str]:
    """Split -> the list of it, at the root or in a folder for lists; () where there is none."""
    places = ["", *(name for name in tree.folders() if name.lower() in _FOLDERS)]
    for place in places[1:]:
        inside = tree.folders(place)
        places += sorted(inside, key=lambda name: name.rpartition("/")[2].lower() != prefer)
    for place in places:
        found: dict[str, str] = {}
        for name in tree.files(place):
            split = _split(name)
            if split:
                found.setdefault(split, name)
        if found:
            return {split: found[split] for split in ("train", "val", "test") if split in found}
    return {}


def _split(name: str) -> str:
    """The split that a list is of, by the name of its file."""
    stem, dot, suffix = name.rpartition("/")[2].lower().rpartition(".")
    if not dot or suffix not in ("txt", "lst", "list"):
        return ""
    words = [word for word in re.split(r"[^a-z]+", stem) if word]
    found = {_SPLITS[word] for word in words if word in _SPLITS}
    rest = {word for word in words if word not in _SPLITS}
    return (
        found.pop()
        if len(found) == 1 and rest <= {"list", "set", "split", "files", "ids", "images"}
        else ""
    )


def lines(tree: Tree, name: str) -> list[str]:
    """The lines of a list that hold something.

    Raises:
        DataError: it cannot be read.
    """
    try:
        text = files.read(tree.root / name, most=_LARGEST).decode("utf-8-sig")
    except (DataError, UnicodeDecodeError) as error:
        raise DataError(f"{files.shown(tree.root / name)} cannot be read ({error})") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def assigned(tree: Tree, names: Sequence[str]) -> list[str] | None:
    """The split of each file, "" where no list names it; None where there are no lists of these files.

    A list of train alone leaves the others out; lists of val or test alone leave the rest to train.

    Raises:
        DataError: a file stands in two lists, or a name may mean two files.
    """
    lookup = Lookup(names)
    splits: dict[str, str] = {}
    known = lists(tree)
    for split, name in known.items():
        listed = lines(tree, name)
        found = [lookup.find(line.split()[0]) for line in listed]
        if sum(len(each) == 1 for each in found) < _ENOUGH * max(1, len(listed)):
            return None
        for line, each in zip(listed, found, strict=True):
            if len(each) > 1:
                raise DataError(f"{name}: {line} may be {each[0]} or {each[1]}")
            if each and splits.setdefault(each[0], split) != split:
                raise DataError(
                    f"{each[0]} stands in the lists of {splits[each[0]]} and of {split}"
                )
    if not splits:
        return None
    rest = "" if "train" in known else "train"
    return [splits.get(name, rest) for name in names]
