"""Pictures in class folders: ROOT/class/*, or ROOT/{train,val,test}/class/*.

Folders below a class folder belong to the class. Links are not followed, so no loop and no file
outside the root can be met.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from striate.data import files, pictures
from striate.data.files import shown
from striate.data.layouts.tree import Tree, below, named_like_picture
from striate.data.listing import IGNORED, SPLITS, WHOLE, Candidate, Listing, Part
from striate.data.sources import Files
from striate.data.targets import Labels
from striate.errors import DataError

_MASKS = {"mask", "masks", "label", "labels"}
_IMAGES = {"image", "images"}

Classes = dict[str, tuple[str, ...]]  # class -> names of its pictures relative to the root


def find(tree: Tree) -> Candidate | None:
    """Class folders at the root, with or without split folders above them, if there are any."""
    ignored: Counter[str] = Counter()
    splits = _splits(tree)
    if splits:
        found = {split: _classes(tree, name, ignored) for split, name in splits.items()}
        layout, uses = "split folders", frozenset(splits.values())
    else:
        found = {WHOLE: _classes(tree, "", ignored)}
        layout, uses = "class folders", frozenset(tree.folders())
    count = sum(len(names) for classes in found.values() for names in classes.values())
    if not count:
        return None
    return Candidate(layout, count, uses, lambda: _listing(layout, tree, found, ignored))


def _splits(tree: Tree) -> dict[str, str]:
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
    return named_like_picture(name) or pictures.is_picture(root / name)


def _listing(layout: str, tree: Tree, found: dict[str, Classes], ignored: Counter[str]) -> Listing:
    root, options = tree.root, tree.options
    classes = _class_names(root, found)
    parts: dict[str, Part] = {}
    for split, held in found.items():
        names = tuple(name for c in classes for name in held.get(c, ()))
        labels = np.repeat(np.arange(len(classes)), [len(held.get(c, ())) for c in classes])
        parts[split] = Part(
            tuple(map(shown, names)), Labels(labels), Files(root, names, options.limits)
        )
    return Listing(layout, tuple(map(shown, classes)), parts, ignored)


def _class_names(root: Path, found: dict[str, Classes]) -> list[str]:
    """Sorted by name, or by number where all are numbers; every one must be trained on."""
    names = {name for held in found.values() for name in held}
    if {name.lower() for name in names} & _MASKS and {name.lower() for name in names} & _IMAGES:
        raise DataError(
            f"{shown(root)} holds pictures and masks ({', '.join(sorted(map(shown, names)))}), "
            "not class folders: this version learns to classify pictures only"
        )
    for name in sorted(names) if "train" in found else ():
        if not found["train"].get(name):
            others = [split for split, held in found.items() if held.get(name)]
            raise DataError(
                f"the class {shown(name)} has no pictures in train"
                + (f", but some in {' and '.join(others)}" if others else "")
                + f": add some, or leave it out with ignore={shown(name)}"
            )
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)
