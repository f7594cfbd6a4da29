"""List files of pairs, as street scenes come with: train.txt, val.txt and test.txt with "picture mask" a line.

Paths are absolute or relative to the list, the root or neither: then their end decides. Settings: ignore=VALUE.
"""

from collections import Counter
from functools import partial

from striate.data.files import shown
from striate.data.index import WHOLE, Candidate
from striate.data.layouts import masks
from striate.data.layouts.file_lists import Lookup, list_lines, split_lists
from striate.data.layouts.masks import Pairs
from striate.data.layouts.tree import Tree, named_like_picture
from striate.errors import DataError

SETTINGS = ("ignore",)
_MISSING = 0.5  # share of the lines whose files may be missing: beyond it, it is another list


def find(tree: Tree) -> Candidate | None:
    """Lists whose lines name two pictures each, if there are any.

    Raises:
        DataError: a line may mean several files.
    """
    found = {
        split: (name, pairs)
        for split, name in split_lists(tree).items()
        if (pairs := _lines(tree, name))
    }
    if not found:
        return None
    lookup = Lookup(e.name for e in tree.walk() if e.kind == "file" and named_like_picture(e.name))
    pairs, missing = Pairs(lists=[name for name, _ in found.values()]), Counter[str]()
    for split, (name, lines) in found.items():
        for number, (image, mask) in lines:
            there = [_only(lookup, name, number, each) for each in (image, mask)]
            if there[0] and there[1]:
                pairs.add(
                    split if len(found) > 1 or split != "train" else WHOLE, there[0], there[1]
                )
            else:
                missing[name] += 1
                pairs.without_picture.append(
                    f"{name} line {number}: {image if not there[0] else mask}"
                )
    total = sum(len(lines) for _, lines in found.values())
    if not len(pairs) or sum(missing.values()) > _MISSING * total:
        return None
    uses = frozenset(
        name.split("/")[0]
        for held in (*pairs.images.values(), *pairs.masks.values(), [n for n, _ in found.values()])
        for name in held
    )
    void = tree.options.settings.get("ignore") if tree.options.asks_for("pairs") else None
    layout, unmatched = "lists of pictures and masks", "lines of lists without their files"
    read = partial(masks.listing, tree, pairs, void, layout=layout, unmatched=unmatched)
    lists = ", ".join(shown(name) for name, _ in found.values())
    why = f"{lists} name a picture and a mask a line"
    return Candidate(layout, len(pairs), uses, read, why, tasks=("segment",))


def _lines(tree: Tree, name: str) -> list[tuple[int, tuple[str, str]]]:
    """Line numbers and the two names of each line; () where a line has not two that look like pictures."""
    found: list[tuple[int, tuple[str, str]]] = []
    for number, line in enumerate(list_lines(tree, name), 1):
        for separator in ("\t", ",", ";", None):
            words = [word.strip() for word in line.split(separator) if word.strip()]
            if len(words) == 2 and all(named_like_picture(word) for word in words):
                found.append((number, (words[0], words[1])))
                break
        else:
            return []
    return found


def _only(lookup: Lookup, file: str, number: int, given: str) -> str:
    """The one file that a line means, "" where there is none.

    Raises:
        DataError: there are several.
    """
    found = lookup.find(given, beside=file.rpartition("/")[0])
    if len(found) > 1:
        raise DataError(
            f"{shown(file)} line {number}: {shown(given)} may be {shown(found[0])} or {shown(found[1])}"
        )
    return found[0] if found else ""
