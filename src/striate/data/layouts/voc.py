"""Boxes in the XML of Pascal VOC: one file a picture, lists of names below ImageSets.

http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html. There a box goes from its first to its last
pixel, counted from 1: xmin 1, xmax 2 is two pixels wide, 0 to 2 as edges. Many tools that write such files count from
0; which of the two it is follows from what occurs: where more boxes begin at 0 than at 1, they count from 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from striate.data import documents
from striate.data.documents import Node
from striate.data.files import shown
from striate.data.index import Candidate, Listing
from striate.data.layouts.annotation_targets import listing
from striate.data.layouts.annotations import (
    BOXED,
    DETECT,
    Annotation,
    Annotations,
    Corners,
    FilePairs,
    Lists,
    Shape,
    missing_picture,
    ordered_splits,
    pair_files,
    split_by_folder,
    split_by_lists,
)
from striate.data.layouts.tree import Tree, below
from striate.errors import DataError

_LISTS = "ImageSets"
_USES = (
    "Main",
    "Layout",
    "Action",
    "Segmentation",
    "",
)  # folders of lists, the first that has some
_SPLITS = ("train", "val", "trainval", "test")
_CLASSES = ("classes.txt", "predefined_classes.txt", "labels.txt")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_FRACTIONS = (
    0.1  # from so many boxes on that have fractions of pixels, none of them are numbers of pixels
)


class Counting(NamedTuple):
    """What numbers of pixels are as edges: what is added to the first and to the last of a box."""

    first: int
    last: int
    words: str


FROM_1 = Counting(-1, 0, "boxes from their first to their last pixel, counted from 1")
FROM_0 = Counting(0, 1, "boxes from their first to their last pixel, counted from 0")
EDGES = Counting(0, 0, "boxes as edges, counted from 0")


def find(tree: Tree) -> Candidate | None:
    """XML files with a root of the name "annotation" and the pictures that they belong to."""
    listed = [entry.name for entry in tree.all() if f"/{_LISTS}/" in f"/{entry.name}"]
    found = pair_files(tree, ".xml", others=listed)
    first = next((file for _, file in found.pairs if file), "")
    if not first or not _is_annotation(tree, first):
        return None
    lists = _lists(tree, found)
    uses = found.tops() | {name for name in tree.folders() if name == _LISTS and lists}
    uses |= {name for name in tree.files() if name in _CLASSES}
    return Candidate(
        "Pascal VOC",
        len(found.pairs) if lists else found.annotated,
        uses,
        lambda: _read(tree, found, lists),
        f"{shown(first)} is an annotation of Pascal VOC",
        tasks=BOXED,
    )


def _is_annotation(tree: Tree, file: str) -> bool:
    try:
        return documents.read_xml(tree.root / file).tag == "annotation"
    except DataError:
        return True  # read again as the annotation of one picture, which is then broken


def _read(tree: Tree, found: FilePairs, lists: Lists) -> Listing:
    ignored = found.ignored
    annotations = [annotation_of(tree, picture, file) for picture, file in found.pairs]
    annotations += [_unmatched(tree, found, file) for file in found.unmatched]
    counting = counted([_raw(a) for a in annotations], [a.size for a in annotations])
    for annotation in annotations:
        annotation.shapes = [
            s._replace(box=edges(s.box, counting)) for s in annotation.shapes if s.box
        ]
    parts = (
        split_by_lists(annotations, lists, ignored)
        if lists
        else split_by_folder(annotations, ignored)
    )
    named_by, classes = _named_classes(tree)
    layout = "Pascal VOC with lists" if lists else "Pascal VOC"
    return listing(
        tree,
        Annotations(layout, parts, classes, named_by, ignored, [counting.words]),
        tree.options.task or DETECT,
    )


def _unmatched(tree: Tree, found: FilePairs, file: str) -> Annotation:
    """An annotation whose picture is not there."""
    try:
        name = documents.read_xml(tree.root / file).word("filename")
    except DataError:
        name = ""
    return missing_picture(found, file, name)


def _raw(annotation: Annotation) -> list[Corners]:
    return [shape.box for shape in annotation.shapes if shape.box]


def annotation_of(tree: Tree, picture: str, file: str) -> Annotation:
    """What one file says, its numbers as they are."""
    result = Annotation(picture, file)
    try:
        if file:
            _fill(result, documents.read_xml(tree.root / file))
    except DataError as error:
        result.shapes, result.fault = [], f"{shown(file)} {error}"
    return result


def _fill(result: Annotation, root: Node) -> None:
    if root.tag != "annotation":
        raise DataError(f"line {root.line}: <{shown(root.tag)}>, expected <annotation>")
    size = root.first("size")
    if size is not None:
        height, width = (_whole(size.word(side)) for side in ("height", "width"))
        result.size = (height, width)
    result.shapes = [_object(node) for node in root.all("object")]


def _whole(text: str) -> int:
    """A number of pixels; 0 where none is stated."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _object(node: Node) -> Shape:
    name, box = node.word("name"), node.first("bndbox")
    if not name:
        raise DataError(f"line {node.line}: an object without a name")
    if box is None:
        raise DataError(f"line {node.line}: an object without a bndbox")
    numbers: list[float] = []
    for side in _SIDES:
        text = box.word(side)
        try:
            numbers.append(float(text))
        except ValueError:
            raise DataError(
                f"line {box.line}: {side} is {shown(text) or 'missing'}, expected a number"
            ) from None
    if not np.isfinite(numbers).all():
        raise DataError(f"line {box.line}: a box with numbers that are not finite")
    x0, y0, x1, y1 = numbers
    difficult = node.word("difficult") == "1"
    return Shape(name, f"line {box.line}", (x0, y0, x1, y1), crowd=difficult)


def counted(
    boxes: Sequence[Sequence[Corners]], sizes: Sequence[tuple[int, int] | None]
) -> Counting:
    """How the numbers of the boxes of all pictures count pixels.

    Args:
        boxes: of each picture, as its file has them.
        sizes: height and width of each as its file states them.
    """
    flat = np.array([box for each in boxes for box in each], np.float64).reshape(-1, 4)
    if not len(flat) or (flat % 1 != 0).any(1).mean() > _FRACTIONS:
        return EDGES if len(flat) else FROM_1
    zeros, ones = (flat[:, :2] == 0).any(1).sum(), (flat[:, :2] == 1).any(1).sum()
    if zeros <= ones:
        return FROM_1
    stated = [size or (0, 0) for size, each in zip(sizes, boxes, strict=True) for _ in each]
    most = np.array(stated, np.float64).reshape(-1, 2)[:, ::-1]
    ends, before = (flat[:, 2:] == most).any(1).sum(), (flat[:, 2:] == most - 1).any(1).sum()
    return FROM_0 if before > ends else EDGES


def edges(box: Corners, counting: Counting) -> Corners:
    """Numbers of pixels as edges; a box that is drawn backwards stays so, one without area too."""
    x0, y0, x1, y1 = box
    (a, c), (b, d) = _side(x0, x1, counting), _side(y0, y1, counting)
    return a, b, c, d


def _side(low: float, high: float, counting: Counting) -> tuple[float, float]:
    if low == high:
        return low, high
    if low < high:
        return low + counting.first, high + counting.last
    return low + counting.last, high + counting.first


def _lists(tree: Tree, found: FilePairs) -> Lists:
    """The names of each split, of all folders of lists: a year of the challenge each."""
    lists: Lists = {}
    for base in sorted(_bases(tree)):
        homes = [home for home in found.homes.values() if home.startswith(base)]
        for split, names in _lists_of(tree, base).items():
            listed = lists.setdefault(split, [])
            listed += [(below(homes[0] if homes else "", name), place) for name, place in names]
    return ordered_splits(lists)


def _bases(tree: Tree) -> set[str]:
    """The folders that hold one of lists, each with a slash behind it; "" for the root."""
    names = (f"/{entry.name}" for entry in tree.all() if entry.kind == "file")
    parts = (name.partition(f"/{_LISTS}/") for name in names)
    return {f"{base}/".lstrip("/") for base, _, rest in parts if rest}


def _lists_of(tree: Tree, base: str) -> Lists:
    """The lists of the first folder that has some: train.txt, else those of classes together: cat_train.txt."""
    inside = f"{base}{_LISTS}"
    for use in (f"{inside}/{use}".rstrip("/") for use in _USES):
        files = tree.files(use) if use == inside or use in tree.folders(inside) else []
        for pattern in ("/{split}.txt", "_{split}.txt"):
            lists: Lists = {}
            for split in _SPLITS:
                for file in files:
                    if file.endswith(pattern.format(split=split)):
                        lists.setdefault(split, []).extend(_names(tree, file))
            if lists := {split: names for split, names in lists.items() if names}:
                return ordered_splits(lists)
    return {}


def _names(tree: Tree, file: str) -> list[tuple[str, str]]:
    """The names of a list, one a line, and where each stands; a flag may follow, -1 where the picture has no object.

    Raises:
        DataError: it cannot be read.
    """
    try:
        lines = documents.read_lines(tree.root / file)
    except DataError as error:
        raise DataError(f"{shown(file)}: {error}") from None
    flagged = bool(lines) and all(line.rpartition(" ")[2] in ("1", "0", "-1") for _, line in lines)
    names = ((line.rpartition(" ")[0].strip() if flagged else line, n) for n, line in lines)
    return [(name, f"{shown(file)} line {n}") for name, n in names]


def _named_classes(tree: Tree) -> tuple[str, tuple[str, ...]]:
    """The file that names classes, one a line, and the names."""
    for file in _CLASSES:
        if file in tree.files():
            names = tuple(line for _, line in documents.read_lines(tree.root / file))
            return file, tuple(dict.fromkeys(names))
    return "", ()
