"""Boxes, polygons and run lengths in COCO JSON: one file a split. https://cocodataset.org/#format-data.

`instances_train2017.json` in `annotations/` with the pictures in `train2017/`, `images/` or beside; `_annotations.coco.json`
in the folder of each split. A box is x, y, width, height in pixels as edges. The pictures are those that the file lists.
A crowd (`iscrowd`) is a region of many objects: it is neither learned nor missed.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeGuard

import numpy as np

from striate.data import documents
from striate.data.files import shown
from striate.data.index import SPLITS, WHOLE, Candidate, Listing
from striate.data.layouts.annotation_targets import listing
from striate.data.layouts.annotations import (
    DETECT,
    INSTANCES,
    LISTED_TWICE,
    LOCALISE,
    NO_PICTURE,
    NUMBERED_TWICE,
    OUTLINED,
    SEGMENT,
    Annotation,
    Annotations,
    Corners,
    ObjectFaults,
    Shape,
    among_pictures,
    holds_annotations,
    is_number,
    ordered_splits,
    plain_parts,
    split_of_path,
)
from striate.data.layouts.tree import Tree, named_like_picture
from striate.data.masks import Outline, Polygons, runs
from striate.errors import DataError

_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_TASKS = (DETECT, SEGMENT, LOCALISE, INSTANCES)
_BLANK = b"\xef\xbb\xbf \t\r\n"  # before the first character, a mark of UTF-8 too
_MANY = 50  # JSON files in one folder: more are files of single pictures
_BLOCK = 2**20  # bytes searched at a time
_SPLIT = re.compile(r"(?:^|[^a-z])(trainval|train|validation|valid|val|test)(?:[^a-z]|$)")

_NO_OUTLINE: tuple[Any, ...] = (None, [], {}, [[]])

Json = dict[str, Any]
Id = int | str


def find(tree: Tree) -> Candidate | None:
    """JSON files with images, annotations and categories."""
    if tree.given and not tree.pictures() and holds_annotations(tree.root.name):
        tree = Tree(tree.root.parent, tree.options, f"{tree.root.name}/{tree.given}", tree.name)
    files = _chosen([name for name in _candidates(tree) if _is_coco(tree, name)])
    if not files:
        return _cut(tree)
    pictures = [e.name for e in tree.all() if e.kind == "file" and named_like_picture(e.name)]
    tops = {name.partition("/")[0] for name in files}
    uses = frozenset(tops | {name.partition("/")[0] for name in pictures})
    return Candidate(
        "COCO",
        len(pictures),
        uses,
        lambda: _read(tree, files, pictures),
        f"{shown(files[0])} has images, annotations and categories",
        tasks=_TASKS,
    )


def _cut(tree: Tree) -> Candidate | None:
    """A file that begins as one of COCO and ends before it is whole: named, so that nobody looks elsewhere for the fault."""
    for name in _candidates(tree):
        start, end = _both_ends(tree, name)
        begun = start.lstrip(_BLANK).startswith(b"{") and any(key in start for key in _KEYS[:2])
        if begun and not end.rstrip().endswith(b"}"):
            file, last = shown(name), shown(end[-20:].decode("utf-8", "replace"))
            words = f"{file} begins as COCO and ends in the middle, after {last!r}: fetch or write it again"
            why = f"{file} begins as COCO"
            return Candidate.unreadable("COCO", words, why=why, tasks=_TASKS)
    return None


def _both_ends(tree: Tree, name: str) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file; none where it cannot be read."""
    try:
        with (tree.root / name).open("rb") as file:
            start = file.read(_BLOCK)
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64))
            return start, file.read()
    except OSError:
        return b"", b""


def _candidates(tree: Tree) -> list[str]:
    """JSON files that may be annotations of many pictures: those of folders that hold few of them."""
    if tree.given:
        return [tree.given] if tree.given.lower().endswith(".json") else []
    names = [
        e.name
        for e in tree.all()
        if e.kind == "file"
        and e.name.lower().endswith(".json")
        and not tree.options.leaves_out(e.name)
    ]
    counts = Counter(name.rpartition("/")[0] for name in names)
    return [name for name in names if counts[name.rpartition("/")[0]] <= _MANY]


def _is_coco(tree: Tree, name: str) -> bool:
    """Whether a file holds the three keys of the format; it is searched, not parsed."""
    missing = set(_KEYS)
    tail = b""
    try:
        with (tree.root / name).open("rb") as file:
            while missing and (block := file.read(_BLOCK)):
                missing = {key for key in missing if key not in tail + block}
                tail = block[-len(max(_KEYS, key=len)) :]
    except OSError:
        return False
    return not missing


def _chosen(files: list[str]) -> list[str]:
    """Where some files are called instances, the others (captions, key points) are of the same pictures."""
    instances = [name for name in files if "instances" in name.rpartition("/")[2].lower()]
    return instances or files


def split_of_json(name: str) -> str:
    """The split that a JSON file is of, by its name, else by its folder.

    >>> split_of_json("annotations/instances_val2017.json"), split_of_json("valid/_annotations.coco.json")
    ('val', 'val')
    """
    found = _SPLIT.search(PurePosixPath(name).stem.lower())
    if found is None:
        return split_of_path(name) or WHOLE
    return "trainval" if found[1] == "trainval" else SPLITS[found[1]]


@dataclass
class _Categories:
    """The classes of all files together, by name; numbers of categories may differ from file to file."""

    names: list[str] = field(default_factory=list[str])
    parents: set[str] = field(default_factory=set[str])

    def add(self, file: str, content: Json) -> dict[Id, str]:
        """The categories of one file: number -> name.

        Raises:
            DataError: one has no number or no name, or a number stands for two names.
        """
        found: dict[Id, str] = {}
        for category in _records(content, "categories", file):
            number, name = _id(category.get("id")), category.get("name")
            if number is None or not isinstance(name, str) or not name.strip():
                raise DataError(
                    f"{file}: a category without a number or a name: {_short(category)}"
                )
            name = name.strip()
            if found.setdefault(number, name) != name:
                raise DataError(
                    f"{file}: category {number} is {shown(found[number])} and {shown(name)}"
                )
            if name not in self.names:
                self.names.append(name)
            self.parents.add(str(category.get("supercategory", "")))
        return found

    def used(self, annotations: Iterator[Annotation]) -> tuple[str, ...]:
        """All names but those that only head a group of others, as Roboflow writes them."""
        labels = {s.label for a in annotations for s in a.shapes}
        return tuple(name for name in self.names if name in labels or name not in self.parents)


def _read(tree: Tree, files: list[str], pictures: list[str]) -> Listing:
    ignored: Counter[str] = Counter()
    faults = ObjectFaults()
    notes: list[str] = []
    categories = _Categories()
    lists: dict[str, list[Annotation]] = {}
    taken: dict[str, str] = {}
    drawn = False
    for file in files:
        split = split_of_json(file)
        if split in lists:
            of = "say what is in all pictures" if split == WHOLE else f"are both of {split}"
            raise DataError(
                f"{shown(taken[split])} and {shown(file)} {'both ' * (split == WHOLE)}{of}: leave one out with ignore="
            )
        taken[split] = file
        opened = _File(tree, file, pictures, faults)
        lists[split] = opened.read(categories)
        drawn = drawn or opened.drawn
    for split, held in lists.items():
        if not held:
            raise DataError(f"{shown(taken[split])} lists no pictures, under images")
    parts = ordered_splits(lists)
    if WHOLE in parts and len(parts) > 1:
        raise DataError(
            f"{shown(taken[WHOLE])} is of no split, but {shown(next(f for f in files if f != taken[WHOLE]))} is: "
            "leave one out with ignore="
        )
    named = {a.picture for held in parts.values() for a in held}
    ignored["pictures in no list"] += sum(name not in named for name in pictures)
    classes = categories.used(a for held in parts.values() for a in held)
    heads = [name for name in categories.names if name not in classes]
    if heads:
        notes.append(
            f"no class: {', '.join(map(shown, heads))}, which only names a group of categories"
        )
    if drawn and tree.options.task is None:
        notes.append(
            "boxes alone are read: with the outlines task=segment learns a class for each pixel, task=instances single objects"
        )
    reading = Annotations("COCO", parts, classes, shown(files[0]), ignored, notes, faults)
    return listing(tree, reading, tree.options.task or DETECT)


class _File:
    """One file as it is read."""

    def __init__(self, tree: Tree, file: str, pictures: list[str], faults: ObjectFaults) -> None:
        self.tree, self.file, self.faults = tree, shown(file), faults
        self.located = _locator(file, pictures)
        self.images: dict[Id, Annotation] = {}
        self.by_picture: dict[str, Annotation] = {}
        self.source = file
        self.outlines = tree.options.task in OUTLINED
        self.drawn = False  # whether an object has an outline beside its box

    def read(self, categories: _Categories) -> list[Annotation]:
        """The annotations of its pictures.

        Raises:
            DataError: it is no COCO JSON; named.
        """
        try:
            content = documents.read_json(self.tree.root / self.source)
        except DataError as error:
            raise DataError(f"{self.file} {error}") from None
        if not isinstance(content, dict):
            raise DataError(f"{self.file} is no dictionary with images, annotations and categories")
        names = categories.add(self.file, content)
        for image in _records(content, "images", self.file):
            self._add_image(image)
        seen: dict[Id, Json] = {}
        for annotation in _records(content, "annotations", self.file):
            self._add_object(annotation, names, seen)
        return list(self.by_picture.values())

    def _add_image(self, image: Json) -> None:
        number, name = _id(image.get("id")), image.get("file_name")
        if number is None or not isinstance(name, str) or not name:
            raise DataError(
                f"{self.file}: an image without a number or a file_name: {_short(image)}"
            )
        picture = self.located(name)
        known = picture or "/".join(plain_parts(name))
        annotation = self.by_picture.get(known)
        if annotation is None:
            annotation = Annotation(known, self.source, size=_size(image))
            self.by_picture[annotation.picture] = annotation
        else:
            self.faults.add(LISTED_TWICE, f"{self.file} image {number}")
        if picture == "":
            annotation.fault = f"{self.file}: image {number}, {shown(name)}, could be several files"
        elif picture is None:
            annotation.fault = f"{self.file}: image {number}, {shown(name)}, is missing"
        other = self.images.setdefault(number, annotation)
        if other is not annotation:
            reason = f"{self.file}: image {number} is {shown(other.picture)} and {shown(annotation.picture)}"
            other.fault = annotation.fault = reason

    def _add_object(self, given: Json, names: dict[Id, str], seen: dict[Id, Json]) -> None:
        number = _id(given.get("id"))
        if number is not None:
            other = seen.setdefault(number, given)
            if other is not given:
                self.faults.add(NUMBERED_TWICE, f"{self.file} annotation {number}")
                if other == given:
                    return
        known = _id(given.get("image_id"))
        image = None if known is None else self.images.get(known)
        if image is None:
            self.faults.add(NO_PICTURE, f"{self.file} annotation {number}")
            return
        place = f"annotation {number}"
        try:
            image.shapes.append(self._shape(given, names, place, image.size))
        except DataError as error:
            image.fault = image.fault or f"{self.file} {place}: {error}"

    def _shape(
        self, given: Json, names: dict[Id, str], place: str, size: tuple[int, int] | None
    ) -> Shape:
        """One annotation; its outline where it is needed.

        Raises:
            DataError: with the reason alone.
        """
        category, box = _id(given.get("category_id")), given.get("bbox")
        if category is None or category not in names:
            raise DataError(
                f"category {_short(given.get('category_id'))} is not among the categories"
            )
        corners = None if box is None else _corners(box)
        self.drawn = self.drawn or (
            corners is not None and given.get("segmentation") not in _NO_OUTLINE
        )
        needed = self.outlines or corners is None
        outline = _outline(given.get("segmentation"), size) if needed else None
        if corners is None and outline is None:
            raise DataError("neither a bbox nor a segmentation")
        crowd = bool(given.get("iscrowd", 0))
        return Shape(names[category], place, corners, outline, crowd)


def _locator(file: str, pictures: list[str]) -> Callable[[str], str | None]:
    """Where the pictures of a file lie: by the longest end of a path that is there, in the folder of its split first.

    It gives None where there is none, and "" where several are as likely.
    """
    ends: dict[str, list[str]] = {}
    for name in pictures:
        ends.setdefault(name.rpartition("/")[2], []).append(name)
    split, home = split_of_json(file), file.rpartition("/")[0]

    def rank(parts: list[str], name: str) -> tuple[int, bool, bool, bool]:
        theirs = name.split("/")
        same = 0
        while same < min(len(parts), len(theirs)) and parts[-1 - same] == theirs[-1 - same]:
            same += 1
        here = name.rpartition("/")[0] == home
        return same, split_of_path(name) == split, here, among_pictures(name)

    def locate(name: str) -> str | None:
        parts = plain_parts(name)
        candidates = ends.get(parts[-1], []) if parts else []
        mine = [
            c for c in candidates if split_of_path(c) in ("", split) or split in (WHOLE, "trainval")
        ]
        ranks = [rank(parts, c) for c in mine]
        best = [c for c, r in zip(mine, ranks, strict=True) if r == max(ranks)]
        return best[0] if len(best) == 1 else "" if best else None

    return locate


def _records(content: Json, key: str, file: str) -> Iterator[Json]:
    records = content.get(key)
    if not isinstance(records, list):
        raise DataError(f"{file}: {key} is no list")
    for record in records:
        if not isinstance(record, dict):
            raise DataError(f"{file}: {key} holds {_short(record)}, which is no dictionary")
        yield record


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _id(value: Any) -> Id | None:
    """What stands for a picture or a category; None where nothing does.

    Numbers that a table made fractions of (3.0), or words ("3"), are the numbers.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isascii() and text.isdigit() else text or None
    return value if _is_id(value) else None


def _short(value: Any) -> str:
    text = shown(str(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _size(image: Json) -> tuple[int, int] | None:
    height, width = image.get("height"), image.get("width")
    if _is_id(height) and _is_id(width) and min(height, width) > 0:
        return height, width
    return None


def _corners(box: Any) -> Corners:
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        raise DataError(f"the bbox {_short(box)}, expected x, y, width and height")
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height


def _outline(given: Any, size: tuple[int, int] | None) -> Outline | None:
    """Polygons, or run lengths; None where there is none."""
    if isinstance(given, dict) and "counts" in given:
        stated = given.get("size")
        if not isinstance(stated, list) or len(stated) != 2 or not all(map(_is_id, stated)):
            raise DataError("run lengths without the height and width of their picture")
        if size is not None and tuple(stated) != size:
            raise DataError(
                f"run lengths of {stated[1]} x {stated[0]} pixels, the picture has {size[1]} x {size[0]}"
            )
        return runs(given["counts"], (stated[0], stated[1]))
    if given in _NO_OUTLINE:
        return None
    if not isinstance(given, list):
        raise DataError(f"the segmentation {_short(given)}, expected polygons or run lengths")
    return Polygons(tuple(_ring(each) for each in given))


def _ring(given: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    if (
        not isinstance(given, list)
        or len(given) < 6
        or len(given) % 2
        or not all(map(is_number, given))
    ):
        raise DataError(f"the polygon {_short(given)}, expected x and y of three corners or more")
    return np.array(given, np.float64).reshape(-1, 2)
