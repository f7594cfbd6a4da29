"""Which layout lies at a path: the first of a table that finds itself there and has no doubts.

A layout is a function `find(tree) -> Candidate | None` in a file of its own and a row of `LAYOUTS`, which are in order
of precedence: those that say most plainly what they are come first. What it does not use, and what else the same files
could be, is counted and said; where the first guess would probably be wrong nothing is guessed.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from striate.data import archives, documents, files, pictures
from striate.data.files import shown
from striate.data.index import IGNORED, SPLITS, Candidate, Listing, Options, command, quoted
from striate.data.layouts import (
    box_table,
    cifar,
    class_folders,
    coco,
    csv_table,
    file_table,
    idx,
    imagenet,
    instance_folders,
    labelme,
    masks,
    npz,
    pair_lists,
    series,
    series_items,
    shards,
    sounds,
    unlabelled,
    voc,
    volume_folders,
    volume_masks,
    webdataset,
    yolo,
)
from striate.data.layouts.tree import Tree
from striate.data.series import reading
from striate.errors import ArgumentError, DataError, nearest

EXPECTED = (
    "a folder of class folders, of pictures with masks, boxes or a table of labels, the files of MNIST or CIFAR, an .npz file, "
    "a zip or tar of one of these, or shards"
)
_NEVER = (  # what is said of a pickled file
    "and pickles are never read, since opening one can run a program: fetch the data in another form (CIFAR: the binary "
    "version), or save the arrays as an .npz file of x_train and y_train"
)
_DEEPEST = 8  # single folders that are entered
_DENSE = {
    "detect",
    "localise",
    "segment",
    "instances",
}  # tasks that the same pictures may have targets for
_USUAL = {  # layouts that a refusal names, by task
    "classify": ("class_folders", "csv"),
    "regress": ("csv",),
    "segment": ("masks", "pairs", "coco"),
    "instances": ("instance_folders", "masks", "coco"),
    "detect": ("coco", "yolo", "voc", "box_table"),
    "localise": ("voc", "box_table", "imagenet"),
    "forecast": ("series",),
}
_SLIGHT = 10  # a layout with so many times fewer items than another is a by-product of it


class Layout(NamedTuple):
    """How a layout is found, what it looks like, the settings it takes, and the files that hold it alone."""

    find: Callable[[Tree], Candidate | None]
    looks: str
    settings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


LAYOUTS: dict[str, Layout] = {
    "shards": Layout(shards.find, "index.json, index.bin and tars, as --shards writes them"),
    "idx": Layout(idx.find, "the four idx files of MNIST"),
    "cifar": Layout(cifar.find, "the binary batches of CIFAR", cifar.SETTINGS),
    "imagenet": Layout(
        imagenet.find,
        "ImageNet: synset folders in train, a flat val with a file of labels, boxes in LOC_train_solution.csv or XML files",
    ),
    "volume_masks": Layout(
        volume_masks.find,
        "images/ beside masks/ with volumes of the same names",
        volume_folders.SETTINGS,
    ),
    "volume_table": Layout(
        volume_folders.find_table,
        "a table of volumes and what belongs to them",
        (*file_table.SETTINGS, *volume_folders.SETTINGS),
    ),
    "volume_folders": Layout(
        volume_folders.find, "a folder of volumes for each class", volume_folders.SETTINGS
    ),
    "series_items": Layout(
        series_items.find,
        "series with a label or numbers each",
        (),
        (*reading.TABLES, ".npz"),
    ),
    "npz": Layout(
        npz.find, "an .npz file with x_train and y_train, or bytes and offsets", (), (".npz",)
    ),
    "webdataset": Layout(webdataset.find, "tars with 000123.jpg beside 000123.cls"),
    "voc": Layout(voc.find, "pictures with XML files of Pascal VOC"),
    "coco": Layout(coco.find, "COCO JSON beside the folders of its pictures", (), (".json",)),
    "labelme": Layout(labelme.find, "pictures with LabelMe JSON files"),
    "yolo": Layout(yolo.find, "pictures with YOLO text files, data.yaml", (), (".yaml", ".yml")),
    "pairs": Layout(
        pair_lists.find, 'lists of "picture mask" a line, such as train.txt', pair_lists.SETTINGS
    ),
    "instance_folders": Layout(
        instance_folders.find, "a folder of masks for each picture, a file an object"
    ),
    "masks": Layout(
        masks.find, "images/ beside masks/ with files of the same names", masks.SETTINGS
    ),
    "box_table": Layout(
        box_table.find,
        "a table of boxes in pictures and their labels",
        box_table.SETTINGS,
        documents.TABLE_SUFFIXES,
    ),
    "csv": Layout(
        csv_table.find,
        "a table of pictures and what belongs to them",
        csv_table.SETTINGS,
        documents.TABLE_SUFFIXES,
    ),
    "series": Layout(
        series.find,
        "a table of numbers step by step, and a graph beside it",
        series.SETTINGS,
        reading.SUFFIXES,
    ),
    "class_folders": Layout(class_folders.find, "a folder of pictures for each class"),
    "deep_folders": Layout(class_folders.find_deep, "class folders in folders, named by both"),
    "sound_table": Layout(
        sounds.find_table, "a table of sounds and what belongs to them", file_table.SETTINGS
    ),
    "sound_folders": Layout(sounds.find_folders, "a folder of sounds for each class"),
    "sound_names": Layout(
        sounds.find_names, "sounds with the class in their names", sounds.NAME_SETTINGS
    ),
    "lower_folders": Layout(
        class_folders.find_inner_classes, "class folders in folders that share names"
    ),
    "frames": Layout(
        volume_folders.find_frames, "class folders of folders of frames", volume_folders.SETTINGS
    ),
    "pictures": Layout(unlabelled.find, "pictures with nothing beside them"),
}

Found = dict[str, Candidate]


def read(path: Path, options: Options) -> Listing:
    """Read the layout at an existing path.

    Raises:
        ArgumentError: a layout was asked for that there is not.
        DataError: nothing there is a layout we know; the message says what is there.
    """
    _check(options)
    if path.is_dir():
        return _folder(path, options)
    if not path.is_file():
        raise DataError(
            f"{shown(path)} is neither a folder nor a regular file; expected {EXPECTED}"
        )
    found = _file(path, options)
    if found is not None:
        return found
    if archives.is_archive(path):
        folder, left = archives.unpack(path, options.store)
        listing = _folder(folder, options, name=path)
        ignored = Counter(listing.ignored) + Counter(left)
        return replace(listing, layout=f"{listing.layout} in an archive", ignored=ignored)
    if pictures.holds_picture(path):
        raise DataError(f"{shown(path)} is a single picture; expected {EXPECTED}")
    if idx.NAME.fullmatch(path.name):
        raise DataError(
            f"{shown(path)} is one of the four idx files; give the folder that holds them"
        )
    if path.name in cifar.NAMES:
        raise DataError(
            f"{shown(path)} is one of the batches of CIFAR; give the folder that holds them"
        )
    if archives.is_cut_zip(path):
        raise DataError(f"{shown(path)} is a damaged zip: its end is missing; fetch it again")
    if files.is_pickle(path):
        raise DataError(f"{shown(path)} is pickled, {_NEVER}")
    raise DataError(f"{shown(path)} is no data that is known here; expected {EXPECTED}")


def _check(options: Options) -> None:
    """Refuse a layout that there is not, and settings that it does not take."""
    if options.layout is None:
        return
    name, colon, _ = options.layout.partition(":")
    if name not in LAYOUTS:
        raise ArgumentError(f"layout: no layout {name!r}; {nearest(name, LAYOUTS)}")
    known = LAYOUTS[name].settings
    strange = [key for key in options.settings if colon and key not in known]
    if strange:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise ArgumentError(
            f"layout={options.layout}: no setting {strange[0]!r} of {name}; {takes}"
        )


def _file(path: Path, options: Options) -> Listing | None:
    """What one file holds by itself."""
    tree = Tree(path.parent, options, given=path.name, name=path)
    rows = {
        name: layout
        for name, layout in LAYOUTS.items()
        if path.suffix.lower() in layout.files and (not options.layout or options.asks_for(name))
    }
    found: Found = {}
    refused: list[DataError] = []  # what the first layout says counts where no other takes the file
    for name, row in rows.items():
        try:
            candidate = row.find(_seen(tree, name))
        except DataError as error:
            refused.append(error)
            continue
        if candidate is not None:
            found[name] = candidate
    if refused and not found:
        raise refused[0]
    found = _fit(found, tree)
    return _read(_chosen(found, tree), found) if found else None


def _folder(root: Path, options: Options, name: Path | None = None) -> Listing:
    tree = _entered(Tree(root, options, name=name or root))
    found = _found(tree)
    if not found:
        raise DataError(_nothing(tree))
    taken = _chosen(found, tree)
    listing = _read(taken, found)
    used = found[taken].uses | listing.tables.keys()
    unused = _count_unused(tree, used, list(found.values()))
    return replace(listing, ignored=Counter(listing.ignored) + unused)


def _read(taken: str, found: Found) -> Listing:
    """The layout that was taken, why, and what else it could have been."""
    others = tuple((key, c.count) for key, c in found.items() if key != taken and not c.doubt)
    doubts = tuple(c.doubt for key, c in found.items() if key != taken and c.doubt)
    read_as = (taken, found[taken].why)
    return replace(found[taken].read(), read_as=read_as, others=others, doubts=doubts)


def _entered(tree: Tree) -> Tree:
    """The folder itself, or the one below it where it holds nothing but that and that is no class."""
    for _ in range(_DEEPEST):
        seen = [e for e in tree.entries() if e.kind in ("file", "folder")]
        if len(seen) != 1 or seen[0].kind != "folder" or seen[0].name.lower() in SPLITS:
            break
        inside = tree.entries(seen[0].name)
        if not any(
            e.kind == "folder" or _is_data(f"{seen[0].name}/{e.name}", e, tree) for e in inside
        ):
            break
        tree = Tree(tree.root / seen[0].name, tree.options, name=tree.name)
    return tree


def _is_data(name: str, entry: files.Entry, tree: Tree) -> bool:
    known = entry.name.lower().endswith((".npz", ".bin", ".tar")) or idx.NAME.fullmatch(entry.name)
    return entry.kind == "file" and bool(known) and not tree.options.leaves_out(name)


def _found(tree: Tree) -> Found:
    """The layout that was asked for, else every one that finds itself, in order of precedence.

    Raises:
        DataError: the one that was asked for does not, or none is good for the task that was asked for.
    """
    asked = (tree.options.layout or "").partition(":")[0]
    names = [asked] if asked else list(LAYOUTS)
    found = {name: c for name in names if (c := LAYOUTS[name].find(_seen(tree, name))) is not None}
    if asked and not found:
        raise DataError(
            f"{shown(tree.name)} cannot be read as {asked}, which is {LAYOUTS[asked].looks}; "
            f"striate data {quoted(tree.name)} says what it could be"
        )
    return _fit(found, tree)


def _fit(found: Found, tree: Tree) -> Found:
    """Those that are good for the task that was asked for, all where none was.

    Raises:
        DataError: some were found, and none of them is.
    """
    task = tree.options.task
    fit = {name: c for name, c in found.items() if task is None or _good_for(c, task)}
    if found and not fit:
        known = "; ".join(f"{name} for {' or '.join(c.tasks)}" for name, c in found.items())
        looks = [LAYOUTS[name].looks for name in _USUAL.get(task or "", ())]
        wanted = f"; {task} reads {', or '.join(looks)}" if looks else ""
        raise DataError(
            f"{shown(tree.name)} has nothing for task={task}: it is read as {known}{wanted}"
        )
    return fit


def _seen(tree: Tree, name: str) -> Tree:
    """A folder as a layout looks at it: what is to be given back has whatever targets the layout finds."""
    if tree.options.task != unlabelled.RECONSTRUCT or name == "pictures":
        return tree
    return replace(tree, options=replace(tree.options, task=None))


def _good_for(candidate: Candidate, task: str) -> bool:
    """Whether the targets of a layout are of a task; pictures can be given back whatever belongs to them."""
    if task != unlabelled.RECONSTRUCT:
        return task in candidate.tasks
    return not candidate.doubt and "forecast" not in candidate.tasks


def _chosen(found: Found, tree: Tree) -> str:
    """The first that has no doubts and is no by-product of another.

    Raises:
        DataError: all have doubts; with those, and the command for each.
    """
    if tree.options.layout:
        return next(iter(found))
    most = max(candidate.count for candidate in found.values())
    first = next(iter(found.values()))
    for name, candidate in found.items():
        if candidate.doubt and candidate.rivals:
            first = candidate
            break
        if not candidate.doubt and candidate.count * _SLIGHT >= most:
            _refuse_two_tasks(name, found, tree)
            return name
    commands = [
        f"{command(tree.name, name)} ({candidate.count:,} items)"
        for name, candidate in found.items()
        if candidate.count
    ]
    if len(commands) < 2:
        raise DataError(first.doubt)
    raise DataError(f"{first.doubt}; say how to read it: {' or '.join(commands)}")


def _refuse_two_tasks(taken: str, found: Found, tree: Tree) -> None:
    """Boxes and masks of the same pictures: which of them is wanted cannot be guessed."""
    first = found[taken]
    if tree.options.task == unlabelled.RECONSTRUCT:
        return
    for name, other in found.items():
        apart = not set(first.tasks) & set(other.tasks) and {*first.tasks, *other.tasks} <= _DENSE
        if apart and not other.doubt and other.count * _SLIGHT >= first.count:
            choices = [
                f"{each.count:,} items as {key}: --task {each.tasks[0]}"
                for key, each in ((taken, first), (name, other))
            ]
            raise DataError(f"{shown(tree.name)} holds targets for two tasks; {', '.join(choices)}")


def _count_unused(tree: Tree, used: frozenset[str], candidates: list[Candidate]) -> Counter[str]:
    """What lies at the top and is not used: what is data by itself by name, everything else by kind."""
    alone = {suffix for layout in LAYOUTS.values() for suffix in layout.files}
    others = frozenset[str]().union(*(c.uses for c in candidates)) - used
    unused: Counter[str] = Counter()
    for entry in tree.entries():
        if entry.name in used:
            continue
        if tree.options.leaves_out(entry.name):
            unused[IGNORED] += 1
        elif entry.kind == "folder":
            unused[f"{shown(entry.name)}/"] += sum(1 for _ in tree.walk(entry.name))
        elif entry.name in others or Path(entry.name).suffix.lower() in alone:
            unused[shown(entry.name)] += 1
        else:
            unused[files.kind(entry)] += 1
    return unused


def _nothing(tree: Tree) -> str:
    """Why a folder gives nothing, in words that show what it holds."""
    name = shown(tree.name)
    entries = [e for e in tree.walk() if not tree.options.leaves_out(e.name)]
    suffixes = pictures.SUFFIXES | pictures.OTHER_SUFFIXES
    loose = [e for e in entries if e.kind == "file" and Path(e.name).suffix.lower() in suffixes]
    if loose:
        return (
            f"{name} holds {len(loose)} picture{'s' * (len(loose) != 1)} but no class folders: "
            "put the pictures of each class into a folder of its own, or give task=reconstruct, which needs no classes"
        )
    if not entries:
        return f"{name} is empty; expected {EXPECTED}"
    kinds = Counter(files.kind(e) for e in entries).most_common()
    listed = ", ".join(f"{kind} {count}" for kind, count in kinds[:8])
    links = " (links are not followed)" if files.LINK in dict(kinds) else ""
    many = len(entries)
    found = f"{name} holds no pictures among its {many} file{'s' * (many != 1)} ({listed}){links}"
    regular = (e.name for e in entries[:100] if e.kind == "file")
    pickled = next((one for one in regular if files.is_pickle(tree.root / one)), None)
    if pickled is not None:
        return f"{found}; {shown(pickled)} is pickled, {_NEVER}"
    return f"{found}; expected {EXPECTED}"
