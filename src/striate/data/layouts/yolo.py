"""Boxes and outlines in YOLO text: one file a picture, a line an object, all numbers shares of the width and height.

`class x y width height` is a box by its centre; `class x1 y1 x2 y2 x3 y3 ...` an outline; where `data.yaml` states
`kpt_shape`, key points follow the box and are left out. https://docs.ultralytics.com/datasets/. `data.yaml` names the
classes and the folders of the splits. Coordinates are taken to be of the picture turned upright as EXIF says, since the
files state no size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from striate.data import documents
from striate.data.files import shown
from striate.data.index import Candidate, Listing
from striate.data.layouts.annotation_targets import listing
from striate.data.layouts.annotations import (
    BOXED,
    DETECT,
    LOCALISE,
    SEGMENT,
    Annotation,
    Annotations,
    FilePairs,
    Lists,
    Shape,
    missing_picture,
    ordered_splits,
    pair_files,
    plain_parts,
    split_by_folder,
    split_by_lists,
)
from striate.data.layouts.tree import Tree, named_like_picture
from striate.data.masks import Polygons
from striate.errors import DataError

_YAML = (".yaml", ".yml")
_FIRST = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CLASSES = ("classes.txt", "obj.names", "labels.txt", "predefined_classes.txt")
_LISTS = ("train", "val", "valid", "test")
_FARTHEST = 2.0  # a share past it, or below -1, is none: pixels or per cent
_LOOKED_AT = 20  # label files whose lines tell whether this is the layout


@dataclass(frozen=True)
class Config:
    """What `data.yaml` says.

    Attributes:
        file: its name; "" where there is none.
        names: of the classes, by number.
        paths: folders or lists of each split.
        points: numbers that follow the box of an object.
    """

    file: str = ""
    names: dict[int, str] = field(default_factory=dict[int, str])
    paths: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    points: int = 0


def find(tree: Tree) -> Candidate | None:
    """Text files with lines of numbers, and the pictures that they belong to."""
    listed = [name for name in tree.files() if name.lower().endswith(".txt")]
    named = [e.name for e in tree.all() if e.name.rpartition("/")[2] in _CLASSES]
    found = pair_files(tree, ".txt", others=[*listed, *named] if _has_folders(tree) else named)
    if not found.annotated or not _is_yolo(tree, found):
        return None
    files = [*_configs(tree), *(f"{split}.txt" for split in _LISTS), *_CLASSES]
    uses = found.tops() | {name for name in files if name in tree.files()}
    first = next(file for _, file in found.pairs if file)
    return Candidate(
        "YOLO text",
        len(found.pairs) if _configs(tree) else found.annotated,
        uses,
        lambda: _read(tree, found),
        f"the lines of {shown(first)} are boxes or outlines",
        tasks=(DETECT, SEGMENT, LOCALISE),
    )


def _has_folders(tree: Tree) -> bool:
    """Whether pictures lie in folders, so that text files at the top belong to none."""
    return not any(named_like_picture(name) for name in tree.files())


def _is_yolo(tree: Tree, found: FilePairs) -> bool:
    """Whether the first label files with content hold lines of five numbers or more."""
    files = [file for _, file in found.pairs if file][:_LOOKED_AT]
    for file in files:
        try:
            lines = documents.read_lines(tree.root / file)
        except DataError:
            continue
        if lines:
            return _is_line(lines[0][1]) or any(_is_line(line) for _, line in lines)
    return bool(_configs(tree))


def _is_line(line: str) -> bool:
    words = line.split()
    numbers = len(words) >= 5 and all(map(_is_number, words))
    return numbers and float(words[0]) >= 0 and float(words[0]) % 1 == 0


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _read(tree: Tree, found: FilePairs) -> Listing:
    config = _config(tree)
    named_by, names = config.file, config.names
    notes: list[str] = []
    if not names:
        named_by, names = _listed_classes(tree, found)
    if not names:
        notes.append("no data.yaml or classes.txt names the classes: they are called by number")
    annotations = _annotations(tree, found, config)
    for annotation in annotations.values():
        _name(annotation, names, named_by)
    lost = [file for file in found.unmatched if _belongs(tree, found, file)]
    found.ignored[".txt"] += len(found.unmatched) - len(lost)
    unmatched = [missing_picture(found, file, "") for file in lost]
    held = [*annotations.values(), *unmatched]
    lists = _configured(tree, config, notes) if config.paths else _root_lists(tree)
    parts = (
        split_by_lists(held, lists, found.ignored)
        if lists
        else split_by_folder(held, found.ignored)
    )
    task = tree.options.task or DETECT
    outlined = any(s.outline for a in held for s in a.shapes)
    if task in BOXED and outlined:
        notes.append("the boxes of outlines; task=segment takes them as masks")
    reading = Annotations("YOLO text", parts, tuple(names.values()), named_by, found.ignored, notes)
    return listing(tree, reading, task)


def _belongs(tree: Tree, found: FilePairs, file: str) -> bool:
    """Whether a text file without a picture lies among label files and looks like one."""
    if file.rpartition("/")[0] not in found.homes:
        return False
    try:
        lines = documents.read_lines(tree.root / file)
    except DataError:
        return True
    return not lines or any(_is_line(line) for _, line in lines)


def _annotations(tree: Tree, found: FilePairs, config: Config) -> dict[str, Annotation]:
    """By picture; where the configuration names folders, all pictures in them."""
    files = dict(found.pairs)
    if config.paths:
        files |= {
            e.name: files.get(e.name, "")
            for e in tree.all()
            if e.kind == "file"
            and named_like_picture(e.name)
            and not tree.options.leaves_out(e.name)
        }
    return {name: _annotation(tree, name, file, config.points) for name, file in files.items()}


def _annotation(tree: Tree, picture: str, file: str, points: int) -> Annotation:
    """What one file says; classes are called by number."""
    result = Annotation(picture, file, shares=True)
    if not file:
        return result
    try:
        for number, line in documents.read_lines(tree.root / file):
            result.shapes.append(_shape(line, f"line {number}", points))
    except DataError as error:
        result.shapes, result.fault = [], f"{shown(file)} {error}"
    return result


def _shape(line: str, place: str, points: int) -> Shape:
    """The object of a line.

    Raises:
        DataError: it is none; with the place.
    """
    words = line.split()
    if not all(map(_is_number, words)):
        strange = next(word for word in words if not _is_number(word))
        raise DataError(f"{place}: {shown(strange[:40])}, where a number is expected")
    label, *numbers = map(float, words)
    if label < 0 or label % 1:
        raise DataError(f"{place}: the class {words[0]}, expected a whole number from 0")
    if points and len(numbers) == 4 + points:
        numbers = numbers[:4]
    far = next((n for n in numbers if not -1 <= n <= _FARTHEST), None)
    if far is not None:
        raise DataError(
            f"{place}: {far:g}, where a share of the picture from 0 to 1 is expected (pixels or per cent?)"
        )
    if len(numbers) == 4:
        x, y, width, height = numbers
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return Shape(str(int(label)), place, box)
    if len(numbers) < 6 or len(numbers) % 2:
        raise DataError(
            f"{place}: {len(words)} numbers, expected 5 for a box or 7, 9, 11 ... for an outline"
            + (
                "; a sixth is the confidence of a prediction: take it away"
                if len(words) == 6
                else ""
            )
        )
    return Shape(str(int(label)), place, outline=Polygons((np.array(numbers).reshape(-1, 2),)))


def _name(annotation: Annotation, names: dict[int, str], named_by: str) -> None:
    """Call classes by their names; a picture with a number that has none is broken."""
    if not names:
        return
    for i, shape in enumerate(annotation.shapes):
        number = int(shape.label)
        if number not in names:
            annotation.shapes, annotation.fault = (
                [],
                (
                    f"{annotation.at(shape.place)}: class {number}, but {named_by} names {len(names)} "
                    f"({min(names)} to {max(names)})"
                ),
            )
            return
        annotation.shapes[i] = shape._replace(label=names[number])


def _configs(tree: Tree) -> list[str]:
    """Names of YAML files at the top that may describe the data, the likeliest first."""
    if tree.given:
        return [tree.given] if tree.given.lower().endswith(_YAML) else []
    files = [name for name in tree.files() if name.lower().endswith(_YAML)]
    return sorted(files, key=lambda name: (name.lower() not in _FIRST, name))


def _config(tree: Tree) -> Config:
    """What the first YAML file at the top says that names classes.

    Raises:
        DataError: it cannot be read, or its classes are not to be understood.
    """
    for file in _configs(tree):
        try:
            content = documents.read_yaml(tree.root / file)
        except DataError as error:
            raise DataError(f"{shown(file)} {error}") from None
        if isinstance(content, dict) and ("names" in content or "nc" in content):
            return _configured_by(shown(file), content)
    return Config()


def _configured_by(file: str, content: dict[Any, Any]) -> Config:
    names = _names(file, content.get("names"))
    count = content.get("nc")
    if names and isinstance(count, int) and count != len(names):
        raise DataError(f"{file}: nc is {count}, but there are {len(names)} names")
    if not names and isinstance(count, int) and 0 < count < 100_000:
        names = {k: str(k) for k in range(count)}
    shape = content.get("kpt_shape")
    points = math.prod(shape) if isinstance(shape, list) and _are_numbers(shape) else 0
    below = content.get("path")
    base = below if isinstance(below, str) else ""
    given = {"train": content.get("train"), "test": content.get("test")}
    given["val"] = content.get("val", content.get("valid", content.get("validation")))
    paths = {
        split: [f"{base}/{path}" for path in _texts(file, split, given[split])]
        for split in ("train", "val", "test")
    }
    return Config(file, names, {split: held for split, held in paths.items() if held}, points)


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int) and 0 < value < 1000 for value in values)


def _texts(file: str, key: str, value: Any) -> list[str]:
    """A text or several."""
    values = value if isinstance(value, list) else [value] if value else []
    if not all(isinstance(each, str) for each in values):
        raise DataError(f"{file}: {key} is no path and no list of paths")
    return [str(each) for each in values]


def _names(file: str, given: Any) -> dict[int, str]:
    """Names of classes, from a list or a dictionary."""
    if given is None:
        return {}
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not isinstance(given, dict) or not all(
        isinstance(key, int) and not isinstance(key, bool) and key >= 0 for key in given
    ):
        raise DataError(f"{file}: names is no list of names, and no dictionary of them by number")
    strange = [value for value in given.values() if isinstance(value, bool | list | dict | None)]
    if strange:
        raise DataError(
            f"{file}: names has {strange[0]!r}, which is no word: put it in quotes if it is the name of a class"
        )
    names = {int(key): str(value) for key, value in sorted(given.items())}
    double = next((n for n in names.values() if list(names.values()).count(n) > 1), None)
    if double is not None:
        raise DataError(f"{file}: names has {shown(double)} twice")
    return names


def _listed_classes(tree: Tree, found: FilePairs) -> tuple[str, dict[int, str]]:
    """The file that lists the classes, at the top or beside the label files, and the names."""
    homes = ["", *sorted(found.homes), *sorted(found.homes.values())]
    there = {entry.name for entry in tree.all() if entry.kind == "file"}
    for home in dict.fromkeys(homes):
        for name in _CLASSES:
            file = f"{home}/{name}".lstrip("/")
            if file in there:
                lines = documents.read_lines(tree.root / file)
                return shown(file), _names(shown(file), [line for _, line in lines])
    return "", {}


def _configured(tree: Tree, config: Config, notes: list[str]) -> Lists:
    """The pictures of each split by the folders and lists that the configuration names."""
    there = {
        split: [name for path in paths for name in _below(tree, config.file, split, path)]
        for split, paths in config.paths.items()
    }
    lists = {split: names for split, names in there.items() if names}
    for split in config.paths.keys() - lists.keys():
        where = f"{config.file}: {split} is {shown(config.paths[split][0].lstrip('/'))}, which is not here"
        if split == "train" and lists:
            raise DataError(f"{where}; put its pictures below {shown(tree.name)}")
        notes.append(where)
    for split in ("val", "test"):
        if split in lists and "train" in lists and _same(lists[split], lists["train"]):
            del lists[split]
            notes.append(
                f"{config.file} gives the same pictures as {split} and as train: {split} is not taken"
            )
    return lists


def _same(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> bool:
    return {name for name, _ in one} == {name for name, _ in other}


def _below(tree: Tree, file: str, split: str, path: str) -> list[tuple[str, str]]:
    """The pictures of a path: those in a folder, or those that a list names; [] where it is not here.

    The path may be one of another machine: its longest end that is here counts.
    """
    parts = plain_parts(path)
    for k in range(len(parts)):
        end = "/".join(parts[k:])
        if end.lower().endswith(".txt") and any(e.name == end for e in tree.all()):
            return _lines(tree, end)
        names = [
            e.name
            for e in tree.all()
            if e.name.startswith(f"{end}/") and e.kind == "file" and named_like_picture(e.name)
        ]
        if names:
            return [
                (name, f"{file}: {split}") for name in names if not tree.options.leaves_out(name)
            ]
    return []


def _lines(tree: Tree, file: str) -> list[tuple[str, str]]:
    try:
        return [
            (line, f"{shown(file)} line {n}") for n, line in documents.read_lines(tree.root / file)
        ]
    except DataError as error:
        raise DataError(f"{shown(file)} {error}") from None


def _root_lists(tree: Tree) -> Lists:
    """Lists of pictures at the top: train.txt, val.txt, test.txt."""
    lists: Lists = {}
    for name in _LISTS:
        file = f"{name}.txt"
        lines = _lines(tree, file) if file in tree.files() else []
        if lines and all(named_like_picture(line) for line, _ in lines):
            lists["val" if name == "valid" else name] = lines
    return ordered_splits(lists)
