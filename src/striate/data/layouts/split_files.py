"""Files that hold one split each.

train.csv beside test.csv, speeds-train.npz beside speeds-val.npz, or one file in each of the folders train/ and test/.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from striate.data.layouts.tree import Tree, is_split, role

ORDER = ("train", "val", "test")
_APART = r"[-_. ]"  # stands between the name and the split

Usable = Callable[[str], bool]


def families(tree: Tree, suffixes: Sequence[str], usable: Usable) -> list[dict[str, str]]:
    """Files that belong together, one a split; those without a training file or with nothing beside it are none.

    Args:
        tree: the folder.
        suffixes: of the files, in lower case.
        usable: whether a file of such a name counts.

    Returns:
        For each family the name of the file of each split, relative to the root, in the order of `ORDER`.
    """

    def able(names: Sequence[str]) -> list[str]:
        return [n for n in names if n.lower().endswith(tuple(suffixes)) and usable(n)]

    found: dict[tuple[str, str], dict[str, str]] = {}
    for name in able(tree.files()):
        rest, split = _apart(Path(name).stem)
        if split:
            found.setdefault((rest, Path(name).suffix.lower()), {}).setdefault(split, name)
    inside: dict[str, str] = {}
    for folder in tree.folders():
        names = able(tree.files(folder)) if is_split(folder) else []
        if len(names) == 1:  # of several it is not known which belongs to which
            inside.setdefault(_split(folder), names[0])
    every = [*found.values(), inside]
    return [
        {split: held[split] for split in ORDER if split in held}
        for held in every
        if "train" in held and len(held) > 1
    ]


def _apart(stem: str) -> tuple[str, str]:
    """The name without its split, and the split; "" where it names none.

    >>> _apart("speeds_train"), _apart("val"), _apart("test-2024"), _apart("trainer")
    (('speeds', 'train'), ('', 'val'), ('2024', 'test'), ('trainer', ''))
    """
    words = re.split(_APART, stem)
    for at in (-1, 0):
        if split := _split(words[at]):
            rest = words[:-1] if at else words[1:]
            return "_".join(rest), split
    return stem, ""


def _split(word: str) -> str:
    found = role(word)
    return found.split if found is not None and not found.kind else ""
