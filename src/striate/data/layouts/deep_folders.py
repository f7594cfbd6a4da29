"""Trees three deep, upper/lower/pictures, whose classes are the lower folders instead of the upper ones.

`deep_folders`: a class for every lower folder, named upper/lower, as with characters in alphabets. `lower_folders`: a
class for every name of a lower folder, whatever lies above it, as with the same classes in the folders of two cameras.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from striate.data.index import Candidate
from striate.data.layouts import class_folders
from striate.data.layouts.class_folders import Classes, Gathered
from striate.data.layouts.tree import Tree

_SHARED = 0.5  # of the lower names that must occur in several upper folders


def find(tree: Tree) -> Candidate | None:
    """The lower folders, if every picture lies in one and there are more of them than upper ones."""
    found, lower = _two_levels(tree, "deep_folders")
    if found is None or len(lower) <= len(found.names):
        return None
    return _candidate(tree, found, "/".join, "every picture lies two folders deep")


def find_lower(tree: Tree) -> Candidate | None:
    """The names of the lower folders, if there are several and most occur in several upper ones."""
    found, lower = _two_levels(tree, "lower_folders")
    times = Counter(name for _, name in lower)
    shared = [name for name, count in times.items() if count > 1]
    if found is None or len(shared) < 2 or len(shared) < _SHARED * len(times):
        return None
    return _candidate(tree, found, lambda pair: pair[1], "the same names lie in several folders")


def _two_levels(tree: Tree, name: str) -> tuple[Gathered | None, set[tuple[str, str]]]:
    """What class folders hold and the pairs of folders in them; None where they are no classes on any level."""
    found = class_folders.gathered(tree)
    lower = None if found is None else _lower(found)
    if found is None or lower is None:
        return None, set()
    if not tree.options.asks_for(name) and class_folders.doubt(tree, found):
        return None, set()
    return found, lower


def _lower(found: Gathered) -> set[tuple[str, str]] | None:
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


def _candidate(
    tree: Tree, found: Gathered, named: Callable[[tuple[str, str]], str], why: str
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
    return Candidate(layout, deep.count, deep.uses, partial(class_folders.listing, tree, deep), why)
