"""Pictures in class folders: ROOT/class/*, or ROOT/{train,val,test}/class/*. Three layouts.

`class_folders`: folders below a class folder belong to the class. Of trees three deep, upper/lower/pictures, the lower
folders may be the classes. `deep_folders`: each of them is one, named upper/lower, as with characters in alphabets.
`lower_folders`: each name of one is a class, whatever lies above it, as with the same classes in the folders of two
cameras. Links are not followed, so no loop and no file outside the root can be met.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from striate.data import files, pictures
from striate.data.files import shown
from striate.data.index import IGNORED, SPLITS, WHOLE, Candidate, Listing, Part
from striate.data.layouts.tree import Tree, below, named_like_picture, role
from striate.data.sources import Files
from striate.data.targets import Labels
from striate.errors import DataError

_SHARED = 0.5  # of the lower names that must occur in several upper folders
_LISTED = 6  # folders that a line names

Classes = dict[str, tuple[str, ...]]  # class -> names of its pictures relative to the root


def find(tree: Tree) -> Candidate | None:
    """Class folders at the root, with or without split folders above them, if there are any."""
    found = class_tree(tree)
    if found is None:
        return None
    read, why = partial(listing, tree, found), "folders hold pictures"
    return Candidate(found.layout, found.count, found.uses, read, why, doubt(tree, found))


@dataclass
class ClassTree:
    """Pictures by split and class.

    Attributes:
        layout: in words.
        uses: the names at the top that hold pictures.
        splits: the names of the pictures of each class, by split.
        ignored: what was passed over on the way, counted by kind.
        bases: the folder that holds the classes of each split.
        notes: how the folders were understood.
    """

    layout: str
    uses: frozenset[str]
    splits: dict[str, Classes]
    ignored: Counter[str]
    bases: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])

    def inside(self, split: str, name: str) -> list[str]:
        """The parts of a picture's name from its class on."""
        base = self.bases[split]
        return name[len(base) + bool(base) :].split("/")

    @property
    def count(self) -> int:
        """Pictures in all."""
        return sum(len(names) for classes in self.splits.values() for names in classes.values())

    @property
    def names(self) -> set[str]:
        """Of the classes."""
        return {name for held in self.splits.values() for name in held}


def class_tree(tree: Tree) -> ClassTree | None:
    """The pictures of every folder at the top, or in the split folders there; None where there are none."""
    return tree.once("class_tree", _read_class_tree)


def _read_class_tree(tree: Tree) -> ClassTree | None:
    splits = split_folders(tree)
    if splits:
        found = ClassTree("split folders", frozenset(splits.values()), {}, Counter())
    else:
        found = ClassTree("class folders", frozenset(tree.folders()), {}, Counter())
    for split, inside in (splits or {WHOLE: ""}).items():
        found.splits[split], found.bases[split] = _descended(tree, inside, found)
    if not found.count:
        return None
    if found.notes:  # not everything at the top holds classes
        found.uses = frozenset(splits.values()) or frozenset(_tops(found))
    return found


def _tops(found: ClassTree) -> set[str]:
    return {
        name.split("/")[0]
        for held in found.splits.values()
        for names in held.values()
        for name in names
    }


def _descended(tree: Tree, inside: str, found: ClassTree) -> tuple[Classes, str]:
    """The class folders of a folder, or of the only one in it that holds pictures where those lie in folders again; and it."""
    while True:
        passed = Counter[str]()
        classes = _classes(tree, inside, passed)
        full = [name for name, names in classes.items() if names]
        alone = below(inside, full[0]) if len(full) == 1 else ""
        if not alone or tree.pictures(alone) or len(_holding(tree, alone)) < 2:
            found.ignored.update(passed)
            return classes, inside
        inside = alone
        found.notes.append(f"the folders in {shown(alone)}/ are taken as classes")


def _holding(tree: Tree, inside: str) -> list[str]:
    """The folders in a folder that hold pictures somewhere."""
    return [
        folder
        for folder in tree.folders(inside)
        if any(e.kind == "file" and named_like_picture(e.name) for e in tree.walk(folder))
    ]


def doubt(tree: Tree, found: ClassTree) -> str:
    """What speaks against folders being classes: their names, or those of the folders in each of them."""
    full = sorted(
        name for name in found.names if any(held.get(name) for held in found.splits.values())
    )
    listed = ", ".join(map(shown, full[:_LISTED]))
    if full and all(role(name) for name in full) and (len(full) > 1 or full[0] not in SPLITS):
        return (
            f"{shown(tree.name)} has folders that are named for splits, pictures or masks ({listed}), not for classes, "
            f"and nothing in it says what belongs to each picture"
        )
    inside = [
        found.inside(split, n)
        for split, held in found.splits.items()
        for ns in held.values()
        for n in ns
    ]
    inner = {part for parts in inside for part in parts[-2:-1]}
    deep = all(len(parts) > 2 for parts in inside)
    if deep and len(inner) > 1 and all(role(part) for part in inner):
        return (
            f"{shown(tree.name)} has folders of pictures and of masks ({', '.join(sorted(map(shown, inner))[:_LISTED])}) "
            f"in each of its folders ({listed}), but their files are not named alike"
        )
    return ""


def split_folders(tree: Tree) -> dict[str, str]:
    """Split -> the folder that holds it, in the order train, val, test."""
    found: dict[str, str] = {}
    for name in tree.folders():
        split = SPLITS.get(name.lower())
        if split is None or not any(e.kind == "folder" for e in tree.entries(name)):
            continue
        if split in found:
            raise DataError(
                f"{shown(tree.root)} has both {shown(found[split])}/ and {shown(name)}/, which mean the same "
                f"split: leave one out with ignore="
            )
        found[split] = name
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def _classes(tree: Tree, inside: str, ignored: Counter[str]) -> Classes:
    """The class folders of one folder; those that hold files but no picture are passed over."""
    found: Classes = {}
    for entry in tree.entries(inside):
        name = below(inside, entry.name)
        if tree.options.leaves_out(name):
            ignored[IGNORED] += bool(inside)  # those at the top are counted by `table`
        elif entry.kind == "folder":
            passed = Counter[str]()
            names = _pictures(tree, name, passed)
            ignored.update(passed)
            if names or not passed:
                found[entry.name] = names
        elif inside:
            ignored[files.kind(entry)] += 1
    return found


def _pictures(tree: Tree, folder: str, ignored: Counter[str]) -> tuple[str, ...]:
    names: list[str] = []
    for entry in tree.walk(folder):
        if tree.options.leaves_out(entry.name):
            ignored[IGNORED] += 1
        elif entry.kind == "file" and looks_like_picture(tree.root, entry.name):
            names.append(entry.name)
        else:
            ignored[files.kind(entry)] += 1
    return tuple(names)


def looks_like_picture(root: Path, name: str) -> bool:
    """Whether a file is named like a picture, or holds one in spite of its name."""
    return named_like_picture(name) or pictures.holds_picture(root / name)


def listing(tree: Tree, found: ClassTree) -> Listing:
    """The pictures and their classes, as labels.

    Raises:
        DataError: a class has no pictures to train on.
    """
    root, limits = tree.root, tree.options.limits
    classes = class_names(found.splits)
    parts: dict[str, Part] = {}
    for split, held in found.splits.items():
        names = tuple(name for c in classes for name in held.get(c, ()))
        labels = np.repeat(np.arange(len(classes)), [len(held.get(c, ())) for c in classes])
        parts[split] = Part(tuple(map(shown, names)), Labels(labels), Files(root, names, limits))
    note = "; ".join(dict.fromkeys([*found.notes, *_depth(found)]))
    return Listing(found.layout, tuple(map(shown, classes)), parts, found.ignored, note)


def _depth(found: ClassTree) -> list[str]:
    """A line where every picture lies in a folder below its class, so that those could be the classes."""
    if "lower" in found.layout or not found.count:
        return []
    deep = all(
        len(found.inside(split, name)) > 2
        for split, held in found.splits.items()
        for names in held.values()
        for name in names
    )
    return ["the upper folders are taken as classes, with all folders in them"] if deep else []


def class_names(found: dict[str, Classes]) -> list[str]:
    """Sorted by name, or by number where all are numbers; every one must be trained on."""
    names = {name for held in found.values() for name in held}
    for name in sorted(names) if "train" in found else ():
        if not found["train"].get(name):
            others = [split for split, held in found.items() if held.get(name)]
            raise DataError(
                f"the class {shown(name)} has no pictures in train"
                + (f", but some in {' and '.join(others)}" if others else "")
                + f": add some, or leave it out with ignore={shown(name)}"
            )
    return ordered(names)


def ordered(names: Iterable[str]) -> list[str]:
    """By number where all are numbers, else by name."""
    every = list(names)
    if all(name.isascii() and name.isdigit() for name in every):
        return sorted(every, key=lambda name: (int(name), name))
    return sorted(every)


def find_deep(tree: Tree) -> Candidate | None:
    """The lower folders, if every picture lies in one and there are more of them than upper ones."""
    found, lower = _two_levels(tree, "deep_folders")
    if found is None or len(lower) <= len(found.names):
        return None
    return _lower_candidate(tree, found, "/".join, "every picture lies two folders deep")


def find_inner_classes(tree: Tree) -> Candidate | None:
    """The names of the lower folders, if there are several and most occur in several upper ones."""
    found, lower = _two_levels(tree, "lower_folders")
    times = Counter(name for _, name in lower)
    shared = [name for name, count in times.items() if count > 1]
    if found is None or len(shared) < 2 or len(shared) < _SHARED * len(times):
        return None
    return _lower_candidate(
        tree, found, lambda pair: pair[1], "the same names lie in several folders"
    )


def _two_levels(tree: Tree, name: str) -> tuple[ClassTree | None, set[tuple[str, str]]]:
    """What class folders hold and the pairs of folders in them; None where they are no classes on any level."""
    found = class_tree(tree)
    lower = None if found is None else _lower(found)
    if found is None or lower is None:
        return None, set()
    if not tree.options.asks_for(name) and doubt(tree, found):
        return None, set()
    return found, lower


def _lower(found: ClassTree) -> set[tuple[str, str]] | None:
    """Pairs of an upper and a lower folder; None where a picture lies in an upper folder itself."""
    pairs: set[tuple[str, str]] = set()
    for split, held in found.splits.items():
        for upper, names in held.items():
            for name in names:
                parts = found.inside(split, name)
                if len(parts) < 3:
                    return None
                pairs.add((upper, parts[1]))
    return pairs


def _lower_candidate(
    tree: Tree, found: ClassTree, named: Callable[[tuple[str, str]], str], why: str
) -> Candidate:
    """The same pictures with the lower folders as classes."""
    splits: dict[str, Classes] = {}
    for split, held in found.splits.items():
        classes: dict[str, list[str]] = {}
        for upper, names in held.items():
            for name in names:
                classes.setdefault(named((upper, found.inside(split, name)[1])), []).append(name)
        splits[split] = {name: tuple(sorted(names)) for name, names in classes.items()}
    layout = (
        "split folders, lower level" if "split" in found.layout else "class folders, lower level"
    )
    deep = replace(found, layout=layout, splits=splits)
    return Candidate(layout, deep.count, deep.uses, partial(listing, tree, deep), why)
