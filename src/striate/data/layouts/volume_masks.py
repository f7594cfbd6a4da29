"""Volumes with a mask each: images/ + masks/, imagesTr/ + labelsTr/, train/image/ + train/label/ and the like.

Files are those of `volume_folders`; a volume and its mask share their name up to a suffix or a prefix, and their size.
Names of classes come from dataset.json of the Medical Segmentation Decathlon and of nnU-Net ("labels"), or from a file
such as classes.txt; otherwise the values of the masks are the names.
"""

import hashlib
import json
from collections import Counter
from functools import partial

from striate.data import files
from striate.data.files import shown
from striate.data.index import WHOLE, Candidate, Fault, Listing, Part
from striate.data.layouts import mask_values, masks
from striate.data.layouts.masks import Pairs
from striate.data.layouts.tree import Tree
from striate.data.layouts.volume_folders import is_volume, sources_of
from striate.data.masks import Coding
from striate.data.targets import Masks
from striate.data.volumes.grid import words
from striate.data.volumes.masks import MaskVolumes, values_of
from striate.data.volumes.sources import VolumeFiles
from striate.errors import DataError

NAME = "volume_masks"
_DATASET = "dataset.json"
_NAMED = 5  # files of a fault that are named
_LARGEST = 2**24  # bytes of dataset.json
_SCANNED = 64  # masks whose values are looked at where nothing names the classes


def find(tree: Tree) -> Candidate | None:
    """Folders of volumes and of masks that are named alike, if there are any."""
    held = partial(_held, tree)
    try:
        pairs = masks.pairs_of(list(masks.folders(tree, {}, held)), None)
    except DataError:
        return None
    if not len(pairs):
        return None
    used = [name for held in (*pairs.images.values(), *pairs.masks.values()) for name in held]
    uses = frozenset(
        name.split("/")[0] for name in [*used, *pairs.without_mask, *pairs.without_picture]
    )
    if tree.entries() and any(entry.name == _DATASET for entry in tree.entries()):
        uses |= {_DATASET}
    why = "folders of volumes and of masks hold files of the same names"
    read = partial(listing, tree, pairs)
    return Candidate("volumes with masks", len(pairs), uses, read, why, tasks=("segment",))


def _held(tree: Tree, folder: str) -> list[str]:
    stacks = tree.options.asks_for(NAME)
    return [name for name in tree.files(folder) if is_volume(tree, name, stacks=stacks)]


def listing(tree: Tree, pairs: Pairs) -> Listing:
    """The pairs; headers of all are read, and the values of masks where nothing says their classes.

    Raises:
        DataError: the values of the masks are no classes.
    """
    images = {split: tuple(names) for split, names in pairs.images.items()}
    labels = {split: tuple(names) for split, names in pairs.masks.items()}
    sources, broken, plan = sources_of(tree, images, stretch=True)
    of_masks, lost, _ = sources_of(tree, labels, stretch=True)
    classes, coding, table = _meaning(tree, [name for held in labels.values() for name in held])
    parts: dict[str, Part] = {}
    for split in ("train", "val", "test", WHOLE):
        if split not in images:
            continue
        ours, theirs = sources[split], of_masks[split]
        wrong = {i: f"its mask: {why}" for i, why in lost[split].items()}
        wrong |= _apart(ours, theirs) | broken[split]
        targets = MaskVolumes(theirs.root, theirs.names, theirs.heads, plan, coding)
        parts[split] = Part(tuple(map(shown, images[split])), Masks(targets), ours, wrong)
    faults = [
        Fault(what, "left out", len(held), tuple(map(shown, held[:_NAMED])))
        for what, held in (
            ("volumes without a mask", pairs.without_mask),
            ("masks without a volume", pairs.without_picture),
        )
        if held
    ]
    return Listing(
        "volumes with masks",
        classes,
        parts,
        Counter(),
        "; ".join(plan.notes),
        "segment",
        faults=tuple(faults),
        tables=table,
        levels=plan.grid.levels,
    )


def _apart(ours: VolumeFiles, theirs: VolumeFiles) -> dict[int, str]:
    """Pairs of different sizes."""
    return {
        i: f"its mask is {words(mask.sides)} voxels, the volume {words(volume.sides)}"
        for i, (volume, mask) in enumerate(zip(ours.heads, theirs.heads, strict=True))
        if volume is not None and mask is not None and volume.sides != mask.sides
    }


def _meaning(tree: Tree, names: list[str]) -> tuple[tuple[str, ...], Coding, dict[str, str]]:
    """Classes, which value is which, and the file that says it with its SHA-256."""
    table = _of_dataset(tree)
    if table is not None:
        return table
    beside = mask_values.names_beside(
        tree, mask_values.folders_above(sorted({n.rpartition("/")[0] for n in names}))
    )
    step = -(-len(names) // _SCANNED)
    values = sorted(values_of(tree.root, names[::step]))
    if not values:
        raise DataError(f"{shown(tree.name)}: no mask can be read")
    if values[0] < 0:
        raise DataError(
            f"{shown(tree.name)}: masks have the value {values[0]}, expected numbers of classes from 0"
        )
    known: dict[int, str] = {}
    if beside is not None:
        known = dict(zip(beside.values or range(len(beside.names)), beside.names, strict=True))
    if unknown := [value for value in values if known and value not in known]:
        raise DataError(
            f"{shown(tree.name)}: masks have the value {unknown[0]}, for which {beside.file if beside else ''} has no name"
        )
    numbers = sorted(known) if known else values
    classes = tuple(shown(known.get(value, str(value))) for value in numbers)
    coding = Coding(colors=False, table=tuple((value, k) for k, value in enumerate(numbers)))
    return classes, coding, _recorded(tree, beside.file) if beside else {}


def _of_dataset(tree: Tree) -> tuple[tuple[str, ...], Coding, dict[str, str]] | None:
    """What "labels" of dataset.json says: numbers with names, or names with numbers."""
    if _DATASET not in tree.files():
        return None
    try:
        content = json.loads(files.read(tree.root / _DATASET, most=_LARGEST))
        pairs = [
            (int(key), str(value)) if str(key).isdigit() else (int(value), str(key))
            for key, value in content["labels"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    pairs.sort()
    coding = Coding(colors=False, table=tuple((value, k) for k, (value, _) in enumerate(pairs)))
    return tuple(shown(name) for _, name in pairs), coding, _recorded(tree, _DATASET)


def _recorded(tree: Tree, name: str) -> dict[str, str]:
    return {name: hashlib.sha256(files.read(tree.root / name)).hexdigest()}
