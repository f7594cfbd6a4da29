"""Pictures and volumes in NumPy's .npz files: ready arrays, or encoded pictures end to end. Never unpickled.

Arrays: x_train, y_train, [x_val, y_val], [x_test, y_test], or x, y alone; [classes]. Those that can be no pictures,
such as [N, D, H, W], are volumes; see `npz_volumes`.
Encoded: bytes (uint8), offsets (N + 1), labels (N), [classes]; one file, or a file for each split
whose names differ in the words train, val and test only.
"""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from striate.data import files
from striate.data.array_pictures import pixels, scale
from striate.data.files import shown
from striate.data.index import WHOLE, Candidate, Listing, Options, Part, coded, numbered
from striate.data.layouts import npz_volumes
from striate.data.layouts.label_columns import CLASSIFY, MULTILABEL
from striate.data.layouts.tree import Tree
from striate.data.sources import Block, Pixels
from striate.data.targets import Labels, MultiLabels, Targets
from striate.errors import DataError

Array = npt.NDArray[np.generic]
Shapes = dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]]

_MOST = 2**34  # bytes of one array
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_ENCODED = {"bytes", "offsets", "labels"}
# lower-case key -> (split, "x" or "y")
ROLES = {
    **{f"{kind}_{word}": (split, kind) for kind in "xy" for word, split in _SPLITS.items()},
    **{f"{word}_images": (split, "x") for word, split in _SPLITS.items()},
    **{f"{word}_labels": (split, "y") for word, split in _SPLITS.items()},
    "x": (WHOLE, "x"),
    "y": (WHOLE, "y"),
}


def find(tree: Tree) -> Candidate | None:
    """The fullest of the .npz files of a folder, or the one that was named.

    Raises:
        DataError: the one that was named holds no pictures that we know how to read; the message lists its keys.
    """
    if tree.given:
        return _given(tree)
    names = [name for name in tree.files() if name.lower().endswith(".npz")]
    found: list[Candidate] = []
    unsound: list[DataError] = []
    families: dict[str, dict[str, str]] = {}
    for name in names:
        try:
            shapes = headers(tree.root / name)
        except DataError as error:
            unsound.append(error)
            continue
        if shapes.keys() >= _ENCODED:
            family, split = _family(name)
            families.setdefault(family, {})[split] = name
        elif roles := _roles(shapes):
            found.append(_arrays(tree, name, roles, shapes))
    found += [_encoded(tree, members) for members in families.values()]
    if not found and unsound:
        return _unsound(unsound[0])
    return max(found, key=lambda each: each.count, default=None)


def _given(tree: Tree) -> Candidate:
    path = tree.root / tree.given
    shapes = headers(path)
    if shapes.keys() >= _ENCODED:
        return _encoded(tree, {WHOLE: tree.given})
    roles = _roles(shapes)
    if not roles:
        raise DataError(
            f"{shown(path)} holds {', '.join(map(shown, shapes)) or 'nothing'}; expected x_train and y_train "
            "(and x_test, y_test), or bytes, offsets and labels"
        )
    return _arrays(tree, tree.given, roles, shapes)


def _unsound(error: DataError) -> Candidate:
    """A file that cannot be read at all: said where there is nothing else."""

    def read() -> Listing:
        raise error

    return Candidate("npz", 0, frozenset(), read, doubt=str(error))


def headers(path: Path) -> Shapes:
    """Shape and type of each array, from the headers alone."""
    found: Shapes = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    version = np.lib.format.read_magic(file)
                    read = np.lib.format.read_array_header_1_0
                    if version != (1, 0):
                        read = np.lib.format.read_array_header_2_0
                    shape, _, dtype = read(file)
                    found[name.removesuffix(".npy")] = shape, dtype
    except files.UNSOUND as error:
        if files.is_pointer(path):
            raise DataError(f"{shown(path)} is {files.POINTED}") from error
        raise DataError(f"{shown(path)} is no sound .npz file ({error})") from error
    return found


def _load(path: Path, key: str, shapes: Shapes) -> Array:
    shape, dtype = shapes[key]
    if dtype.hasobject:
        raise DataError(
            f"{shown(path)}: {shown(key)} holds Python objects, which are never unpickled; "
            "save it again as plain numbers"
        )
    if np.prod(shape, dtype=object) * dtype.itemsize > _MOST:
        raise DataError(
            f"{shown(path)}: {shown(key)} is {list(shape)}; the limit is {_MOST:,} bytes"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[key]
    except files.UNSOUND as error:
        raise DataError(f"{shown(path)}: {shown(key)} cannot be read ({error})") from error


def _class_names(path: Path, shapes: Shapes) -> Sequence[str] | None:
    if "classes" not in shapes:
        return None
    names = _load(path, "classes", shapes)
    if names.dtype.kind not in "US" or names.ndim != 1:
        raise DataError(
            f"{shown(path)}: classes is {names.dtype} {list(names.shape)}, expected [K] names"
        )
    return [shown(n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n)) for n in names]


def _roles(shapes: Shapes) -> dict[tuple[str, str], str]:
    """(split, "x" | "y") -> key, if there is a training part or a whole one."""
    roles = {ROLES[key.lower()]: key for key in shapes if key.lower() in ROLES}
    if ("train", "x") in roles:
        return {role: key for role, key in roles.items() if role[0] != WHOLE}
    return roles if (WHOLE, "x") in roles else {}


def _arrays(tree: Tree, name: str, roles: dict[tuple[str, str], str], shapes: Shapes) -> Candidate:
    splits = [split for split in ("train", "val", "test", WHOLE) if (split, "x") in roles]
    count = sum(shapes[roles[split, "x"]][0][0] for split in splits if shapes[roles[split, "x"]][0])

    def read() -> Listing:
        path = tree.root / name
        for split in splits:
            if (split, "y") not in roles:
                raise DataError(
                    f"{shown(path)} has {roles[split, 'x']} but no labels for it (y_{split})"
                )
        if npz_volumes.are_volumes(shapes[roles[splits[0], "x"]][0]):
            held = {
                split: tuple(_load(path, roles[split, kind], shapes) for kind in "xy")
                for split in splits
            }
            names = {split: f"{shown(path)}: {roles[split, 'x']}" for split in splits}
            return npz_volumes.listing(held, names, _class_names(path, shapes), tree.options.levels)
        labels = {split: _load(path, roles[split, "y"], shapes) for split in splits}
        classes, targets, task = _targets(labels, _class_names(path, shapes), tree.options.task)
        parts: dict[str, Part] = {}
        first = roles[splits[0], "x"]
        given = tree.options.levels
        of = scale(_load(path, first, shapes), f"{shown(path)}: {first}", given)
        for split in splits:
            key = roles[split, "x"]
            images = pixels(_load(path, key, shapes), f"{shown(path)}: {key}", of, first)
            _same_length(split, len(images), len(targets[split]))
            parts[split] = Part(numbered(split, len(images)), targets[split], Pixels(images))
        note = f"{first} is {of.words}, which sets the range of all" if of.stated else ""
        deep = of.stated or any(part.source.dtype == np.float32 for part in parts.values())
        levels, warnings = (of.levels, of.warnings) if deep else (None, ())
        return Listing(
            "npz arrays", classes, parts, note=note, task=task, levels=levels, warnings=warnings
        )

    why = f"{shown(name)} holds {roles[splits[0], 'x']}"
    tasks = (CLASSIFY, MULTILABEL)
    if (splits[0], "y") in roles and npz_volumes.are_volumes(shapes[roles[splits[0], "x"]][0]):
        x, y = (shapes[roles[splits[0], kind]] for kind in "xy")
        tasks = npz_volumes.tasks(x[0], y[0], y[1])
    return Candidate("npz arrays", count, frozenset([name]), read, why, tasks=tasks)


def _targets(
    labels: dict[str, Array], names: Sequence[str] | None, asked: str | None
) -> tuple[tuple[str, ...], dict[str, Targets], str]:
    """Classes, targets of each split and the task: zeros and ones [N, K] are any number of labels each, or one-hot.

    Raises:
        DataError: labels of another shape or type, or not as many columns as names.
    """
    several = all(
        y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all() for y in labels.values()
    )
    if not several:
        classes, codes = coded(labels, names)
        if asked == MULTILABEL:
            flags = {
                split: np.eye(len(classes), dtype=np.uint8)[held] for split, held in codes.items()
            }
            return classes, {split: MultiLabels(held) for split, held in flags.items()}, MULTILABEL
        return classes, {split: Labels(held) for split, held in codes.items()}, CLASSIFY
    widths = {y.shape[1] for y in labels.values()} | ({len(names)} if names else set())
    if len(widths) > 1:
        raise DataError(
            f"the labels have {' and '.join(map(str, sorted(widths)))} columns or names, expected as many in every split"
        )
    classes = tuple(names or (str(k) for k in range(widths.pop())))
    one_hot = all((y.sum(1) == 1).all() for y in labels.values())
    if one_hot and asked != MULTILABEL:
        return classes, {split: Labels(y.argmax(1)) for split, y in labels.items()}, CLASSIFY
    flags = {split: np.ascontiguousarray(y, np.uint8) for split, y in labels.items()}
    return classes, {split: MultiLabels(y) for split, y in flags.items()}, MULTILABEL


def _same_length(split: str, pictures: int, labels: int) -> None:
    if pictures != labels:
        raise DataError(f"{split} has {pictures} pictures but {labels} labels")


def _family(name: str) -> tuple[str, str]:
    """The name with its split word taken out, and the split."""
    match = re.search(r"(?<![a-z])(train|validation|valid|val|test)(?![a-z])", name.lower())
    if match is None:
        return name, WHOLE
    return f"{name[: match.start()]}*{name[match.end() :]}", _SPLITS[match[1]]


def _encoded(tree: Tree, members: dict[str, str]) -> Candidate:
    root = tree.root
    splits = [split for split in ("train", "val", "test", WHOLE) if split in members]
    if splits == ["train"]:
        members = {WHOLE: members["train"]}
        splits = [WHOLE]
    shapes = {split: headers(root / members[split]) for split in splits}
    count = sum(shapes[split]["labels"][0][0] for split in splits if shapes[split]["labels"][0])

    def read() -> Listing:
        first = splits[0]
        names = _class_names(root / members[first], shapes[first])
        labels = {s: _load(root / members[s], "labels", shapes[s]) for s in splits}
        classes, codes = coded(labels, names)
        parts: dict[str, Part] = {}
        for split in splits:
            block = _block(root / members[split], shapes[split], tree.options)
            _same_length(split, len(block), len(codes[split]))
            parts[split] = Part(numbered(split, len(block)), Labels(codes[split]), block)
        return Listing("npz of encoded pictures", classes, parts)

    why = f"{shown(members[splits[0]])} holds bytes, offsets and labels"
    return Candidate("npz of encoded pictures", count, frozenset(members.values()), read, why)


def _block(path: Path, shapes: Shapes, options: Options) -> Block:
    data, offsets = _load(path, "bytes", shapes), _load(path, "offsets", shapes)
    if (
        data.dtype != np.uint8
        or data.ndim != 1
        or offsets.dtype.kind not in "ui"
        or offsets.ndim != 1
    ):
        raise DataError(
            f"{shown(path)}: bytes is {data.dtype} {list(data.shape)} and offsets {offsets.dtype} "
            f"{list(offsets.shape)}, expected uint8 [total] and whole numbers [N + 1]"
        )
    ends = offsets.astype(np.int64)
    sound = (
        len(ends) > 0
        and ends[0] >= 0
        and ends[-1] <= len(data)
        and bool(np.all(np.diff(ends) >= 0))
    )
    if not sound:
        raise DataError(
            f"{shown(path)}: offsets do not rise from 0 to {len(data):,}, the number of bytes"
        )
    return Block(data.data, ends[:-1], ends[1:], options.limits)
