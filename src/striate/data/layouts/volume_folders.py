"""Volumes in class folders: ROOT/class/*, or ROOT/{train,val,test}/class/*; or named by a table. Three layouts.

`volume_folders`: an item is a file (.npy, .npz, .nii, .nii.gz, single DICOM files, and TIFF stacks where the layout is
asked for by its name) or a folder with the slices of one DICOM series. `frames`: an item is a folder of numbered
pictures; only where it is asked for, because such folders are mostly classes or parts of them. `volume_table`: a table
with the file or the folder of each volume and its label or numbers in columns.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from striate.data import files, workers
from striate.data.files import shown
from striate.data.index import IGNORED, WHOLE, Candidate, Listing, Part
from striate.data.layouts import file_table
from striate.data.layouts.class_folders import ClassTree, class_names, doubt, split_folders
from striate.data.layouts.tree import Tree, below, named_like_picture
from striate.data.sources import I64
from striate.data.targets import Labels
from striate.data.volumes import Head, Plan, VolumeFiles, head, planned
from striate.data.volumes.dicom import is_slice
from striate.data.volumes.grid import read_size
from striate.data.volumes.reading import DICOM, SUFFIXES, suffix_of
from striate.errors import ArgumentError, DataError

VOLUMES, FRAMES = "volume_folders", "frames"
SETTINGS = ("grid",)
TASKS = ("classify",)
_LOOKED_AT = 8  # arrays, spread over all, whose headers tell whether they are volumes

Item = Callable[
    [Tree, str], Iterator[tuple[str, bool]]
]  # names below a folder, and whether each is an item


def find(tree: Tree) -> Candidate | None:
    """Class folders of volumes, if there are any; of arrays only those whose headers say three or four axes."""
    found = _class_tree(tree, partial(_volumes, stacks=tree.options.asks_for(VOLUMES)))
    if found is None or not _are_volumes(tree, found):
        return None
    read = partial(listing, tree, found)
    return Candidate(
        found.layout,
        found.count,
        found.uses,
        read,
        "folders hold volumes",
        doubt(tree, found),
        tasks=TASKS,
    )


def find_frames(tree: Tree) -> Candidate | None:
    """Class folders of folders of numbered pictures, where that is asked for."""
    if not tree.options.asks_for(FRAMES):
        return None
    found = _class_tree(tree, _frames)
    if found is None:
        return None
    why = "folders hold folders of frames"
    return Candidate(
        found.layout, found.count, found.uses, partial(listing, tree, found), why, tasks=TASKS
    )


def find_table(tree: Tree) -> Candidate | None:
    """A table at the root or a folder below, of whose rows most name volumes that are there.

    Raises:
        DataError: a column that was named is not there.
    """
    return file_table.find(tree, _TABLED)


def _every(tree: Tree) -> list[str]:
    """All volumes below the root; none where they are arrays alone and the first of them no volumes."""
    names = [name for name, taken in _volumes(tree, "", stacks=False) if taken]
    return names if _some_are_volumes(tree, names) else []


def _items(tree: Tree, names: Sequence[str]) -> file_table.Files:
    sources, broken, plan = sources_of(tree, {WHOLE: tuple(names)})
    return file_table.Files(sources[WHOLE], broken[WHOLE], plan.notes, plan.grid.levels)


_TABLED = file_table.Kind(
    "volume", "volume_table", _every, _items, short=lambda name: name.removesuffix(".gz")
)


def _class_tree(tree: Tree, items: Item) -> ClassTree | None:
    splits = split_folders(tree)
    layout = "class folders of volumes" if not splits else "split folders of volumes"
    uses = frozenset(splits.values() if splits else tree.folders())
    found = ClassTree(layout, uses, {}, Counter())
    for split, inside in (splits or {WHOLE: ""}).items():
        found.splits[split] = {}
        found.bases[split] = inside
        for folder in tree.folders(inside):
            names: list[str] = []
            for name, taken in items(tree, folder):
                if taken:
                    names.append(name)
                else:
                    found.ignored[_kind(tree, name)] += 1
            if names:
                found.splits[split][folder.rpartition("/")[2]] = tuple(names)
    return found if found.count else None


def _kind(tree: Tree, name: str) -> str:
    return IGNORED if tree.options.leaves_out(name) else files.extension(name)


def _volumes(tree: Tree, folder: str, *, stacks: bool) -> Iterator[tuple[str, bool]]:
    """Files of volumes below a class folder, and folders of DICOM slices in it."""
    for entry in tree.entries(folder):
        name = below(folder, entry.name)
        if entry.kind == "folder" and not tree.options.leaves_out(name):
            if _holds_slices(tree, name):
                yield name, True
            else:
                yield from _volumes(tree, name, stacks=stacks)
        elif entry.kind == "file":
            yield name, not tree.options.leaves_out(name) and is_volume(tree, name, stacks=stacks)


def is_volume(tree: Tree, name: str, *, stacks: bool) -> bool:
    """Whether a file is a volume, by the end of its name, or by its content where that has none."""
    end = suffix_of(name)
    if end:
        return stacks or not SUFFIXES[end].asked
    return "." not in name.rpartition("/")[2] and is_slice(tree.root / name)


def _holds_slices(tree: Tree, folder: str) -> bool:
    inside = tree.files(folder)
    if any(SUFFIXES.get(suffix_of(name)) is DICOM for name in inside):
        return True
    bare = [name for name in inside if "." not in name.rpartition("/")[2]]
    return any(is_slice(tree.root / name) for name in bare[:_LOOKED_AT])


def _frames(tree: Tree, folder: str) -> Iterator[tuple[str, bool]]:
    """Folders below a class folder that hold pictures themselves."""
    for entry in tree.entries(folder):
        name = below(folder, entry.name)
        if entry.kind == "folder" and not tree.options.leaves_out(name):
            if tree.pictures(name):
                yield name, True
            else:
                yield from _frames(tree, name)
        elif entry.kind == "file":
            yield name, False


def _are_volumes(tree: Tree, found: ClassTree) -> bool:
    """Whether something else than arrays is there, or one of the first arrays has the axes of a volume."""
    names = [n for held in found.splits.values() for each in held.values() for n in each]
    return tree.options.asks_for(VOLUMES) or _some_are_volumes(tree, names)


def _some_are_volumes(tree: Tree, names: Sequence[str]) -> bool:
    arrays = [name for name in names if suffix_of(name) in (".npy", ".npz")]
    return len(arrays) < len(names) or any(
        _is_sound(tree.root / name) for name in arrays[:: -(-len(arrays) // _LOOKED_AT) or 1]
    )


def _is_sound(path: Path) -> bool:
    try:
        head(path)
    except DataError:
        return False
    return True


def listing(tree: Tree, found: ClassTree) -> Listing:
    """The volumes and their classes, as labels; their headers are read.

    Raises:
        DataError: a class has no volumes to train on, or they cannot be brought to one grid.
    """
    classes = class_names(found.splits)
    names = {
        split: tuple(name for c in classes for name in held.get(c, ()))
        for split, held in found.splits.items()
    }
    sources, broken, plan = sources_of(tree, names)
    parts: dict[str, Part] = {}
    for split, held in found.splits.items():
        labels = np.repeat(np.arange(len(classes)), [len(held.get(c, ())) for c in classes])
        escaped = tuple(map(shown, names[split]))
        parts[split] = Part(escaped, Labels(labels), sources[split], broken[split])
    left = sum(count for end, count in found.ignored.items() if named_like_picture(f"x{end}"))
    notes = [*plan.notes, *([f"{left:,} pictures among them are left out"] if left else [])]
    return Listing(
        found.layout,
        tuple(map(shown, classes)),
        parts,
        found.ignored,
        "; ".join(notes),
        levels=plan.grid.levels,
    )


def sources_of(
    tree: Tree, names: dict[str, tuple[str, ...]], *, stretch: bool = False
) -> tuple[dict[str, VolumeFiles], dict[str, dict[int, str]], Plan]:
    """Where the volumes of each split are, which cannot be read by their headers, and what they have in common; stretch: as `planned` has it."""
    every = [name for held in names.values() for name in held]
    found = heads(tree.root, every)
    plan = planned(
        [one if isinstance(one, Head) else None for one in found],
        size=_asked(tree),
        stretch=stretch,
        levels=tree.options.levels,
    )
    sources: dict[str, VolumeFiles] = {}
    broken: dict[str, dict[int, str]] = {}
    at = 0
    for split, held in names.items():
        own = found[at : at + len(held)]
        lost = {i: one for i, one in enumerate(own) if isinstance(one, str)}
        lost |= {i - at: why for i, why in plan.broken.items() if at <= i < at + len(held)}
        known = tuple(one if isinstance(one, Head) else None for one in own)
        sources[split], broken[split] = VolumeFiles(tree.root, held, known, plan), lost
        at += len(held)
    return sources, broken, plan


def heads(root: Path, names: Sequence[str]) -> list[Head | str]:
    """What the header of each volume says, or why it cannot be read."""

    def one(path: Path) -> Head | str:
        try:
            return head(path)
        except DataError as error:
            return str(error)

    def work(index: I64) -> list[Head | str]:
        return [one(root / names[i]) for i in workers.each(index)]

    chunks = workers.everything(len(names), 8)
    done = workers.in_order(work, chunks, named=lambda i: shown(root / names[i]))
    return [each for chunk in done for each in chunk.result]


def _asked(tree: Tree) -> tuple[int, int, int] | None:
    """The size of all that was asked for with the layout.

    Raises:
        ArgumentError: it is none.
    """
    given = tree.options.settings.get("grid")
    if not given:
        return None
    try:
        return read_size(given)
    except ValueError as error:
        raise ArgumentError(f"layout={tree.options.layout}: grid: {error}") from error
