"""Lists and tables of file names: which file an entry means, and lists that assign files to splits.

An entry means a file by its path, by the end of it, or by its name without extension. Lists of splits are train.txt,
val.txt and test.txt with a name a line, such as the ImageSets of Pascal VOC.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from striate.data import files
from striate.data.layouts.tree import Tree, named_like_picture
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
    "testing": "test",
}


class Lookup:
    """Files by every name that a table may give them.

    Args:
        names: of the files, relative to the folder that all of them lie in.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._folders: set[str] = set()
        for name in names:
            self._names.add(name)
            self._folders.update(name.casefold().split("/")[-2:-1])
            base = name.rpartition("/")[2].casefold()
            self._by_name.setdefault(base, []).append(name)
            self._by_stem.setdefault(base.rpartition(".")[0] or base, []).append(name)

    def find(self, given: str, beside: str = "") -> list[str]:
        """The files that a path, a name or an id may mean: none, one, or those between which nothing decides.

        Args:
            given: as it stands in the table; absolute paths of another machine count from their end.
            beside: the folder of the table, which relative paths start from first.
        """
        path = _plain_path(given)
        for exact in (_plain_path(f"{beside}/{path}") if beside else path, path):
            if exact in self._names:
                return [exact]
        base = path.rpartition("/")[2].casefold()
        found = self._by_name.get(base, [])
        if not found and not named_like_picture(base):
            found = self._by_stem.get(base, [])
        best, agreeing = _closest(found, path)
        parent = path.casefold().split("/")[-2:-1]
        # A file of another folder is not meant where the folder that is named is known.
        return [] if best and parent and not agreeing and parent[0] in self._folders else best


def _plain_path(given: str) -> str:
    """A path with slashes, without what goes nowhere."""
    parts = [part for part in given.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    while ".." in parts[1:]:
        at = parts.index("..", 1)
        del parts[at - 1 : at + 1]
    return "/".join(parts)


def _closest(found: list[str], path: str) -> tuple[list[str], int]:
    """Those whose folders agree with those of a path the longest, counted from the end; and in how many."""
    wanted = PurePosixPath(path.casefold()).parts[-2::-1]

    def agreeing(name: str) -> int:
        folders = PurePosixPath(name.casefold()).parts[-2::-1]
        same = [a == b for a, b in zip(folders, wanted, strict=False)]
        return same.index(False) if False in same else len(same)

    scores = [agreeing(name) for name in found]
    most = max(scores, default=0)
    return [name for name, score in zip(found, scores, strict=True) if score == most], most


def split_lists(tree: Tree) -> dict[str, str]:
    """Split -> the list of it, at the root or in a folder for lists; () where there is none."""
    places = ["", *(name for name in tree.folders() if name.lower() in _FOLDERS)]
    for place in places[1:]:
        inside = tree.folders(place)
        # VOC has lists for each task; those of segmentation name the pictures that have masks
        places += sorted(inside, key=lambda name: name.rpartition("/")[2].lower() != "segmentation")
    for place in places:
        found: dict[str, str] = {}
        for name in tree.files(place):
            split = _split_of_list(name)
            if split:
                found.setdefault(split, name)
        if found:
            return {split: found[split] for split in ("train", "val", "test") if split in found}
    return {}


def _split_of_list(name: str) -> str:
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


def list_lines(tree: Tree, name: str) -> list[str]:
    """The lines of a list that hold something.

    Raises:
        DataError: it cannot be read.
    """
    try:
        text = files.read(tree.root / name, most=_LARGEST).decode("utf-8-sig")
    except (DataError, UnicodeDecodeError) as error:
        raise DataError(f"{files.shown(tree.root / name)} cannot be read ({error})") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def splits_by_lists(tree: Tree, names: Sequence[str]) -> list[str] | None:
    """The split of each file, "" where no list names it; None where there are no lists of these files.

    A list of train alone leaves the others out; lists of val or test alone leave the rest to train.

    Raises:
        DataError: a file stands in two lists, or a name may mean two files.
    """
    lookup = Lookup(names)
    splits: dict[str, str] = {}
    known = split_lists(tree)
    for split, name in known.items():
        listed = list_lines(tree, name)
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
