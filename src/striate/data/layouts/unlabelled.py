"""Pictures with nothing beside them, to be given back by a net: all that lie in a folder, or in its train/, val/ and test/.

It is looked for where it is asked for: `layout=pictures`, or `task=reconstruct`, for which pictures that have labels,
masks or boxes are read without them too.
"""

from collections import Counter
from dataclasses import replace
from functools import partial

from striate.data.files import shown
from striate.data.index import SPLITS, WHOLE, Candidate, Listing, Part
from striate.data.layouts.tree import Tree
from striate.data.sources import MODALITIES, Files
from striate.data.targets import Itself
from striate.errors import DataError

RECONSTRUCT = "reconstruct"
NOTE = "labels are ignored: a net learns to give back the pictures themselves"


def find(tree: Tree) -> Candidate | None:
    """All pictures of a folder, if they are asked for without labels."""
    if tree.options.task != RECONSTRUCT and not tree.options.asks_for("pictures"):
        return None
    names = [
        e.name
        for e in tree.all()
        if e.kind == "file"
        and not tree.options.leaves_out(e.name)
        and e.name in tree.pictures(e.name.rpartition("/")[0])
    ]
    if not names:
        return None
    uses = frozenset(name.split("/")[0] for name in names)
    read = partial(_listing, tree, names)
    return Candidate(
        "pictures alone", len(names), uses, read, "it holds pictures", tasks=(RECONSTRUCT,)
    )


def _listing(tree: Tree, names: list[str]) -> Listing:
    """A split each where all pictures lie in folders that are named for one, else a single part."""
    splits: dict[str, list[str]] = {}
    for name in names:
        top, slash, _ = name.partition("/")
        splits.setdefault(SPLITS.get(top.lower(), "") if slash else "", []).append(name)
    ignored = Counter[str]()
    if "train" not in splits:
        splits = {WHOLE: names}
    elif outside := splits.pop("", []):
        ignored["pictures in no split"] += len(outside)
    parts = {
        split: Part(
            tuple(map(shown, splits[split])),
            Itself.of(len(splits[split])),
            Files(tree.root, tuple(splits[split]), tree.options.limits),
        )
        for split in ("train", "val", "test", WHOLE)
        if split in splits
    }
    return Listing("pictures alone", (), parts, ignored, task=RECONSTRUCT)


def of_pictures(listing: Listing, path: str) -> Listing:
    """The pictures of any layout without what belongs to them.

    Args:
        listing: as read.
        path: for messages.

    Raises:
        DataError: its items are no pictures.
    """
    if next(iter(listing.parts.values())).targets.itself:
        return listing
    modality = next(iter(listing.parts.values())).source.modality
    if modality != "picture":
        raise DataError(
            f"task={RECONSTRUCT} gives back pictures, and {path} holds {MODALITIES[modality]}"
        )
    parts = {
        name: replace(part, targets=Itself.of(len(part)), broken={})
        for name, part in listing.parts.items()
    }
    note = "; ".join(filter(None, [listing.note, NOTE]))
    bare = replace(listing, classes=(), parts=parts, note=note, task=RECONSTRUCT)
    return replace(bare, outputs=(), faults=(), warnings=())
