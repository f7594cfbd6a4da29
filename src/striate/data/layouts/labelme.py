"""Polygons, rectangles, circles and masks in LabelMe JSON, a file beside each picture.

https://github.com/wkentaro/labelme. Coordinates are pixels as edges, of the upright picture. Shapes of one `group_id`
are parts of one object. `__ignore__` counts nowhere in a mask, `_background_` is background.
"""

import base64
import binascii
import math
from typing import Any

import numpy as np

from striate.data import documents, pictures
from striate.data.files import shown
from striate.data.index import Candidate, Listing
from striate.data.layouts.annotation_targets import listing
from striate.data.layouts.annotations import (
    BACKGROUND,
    BOXED,
    DETECT,
    INSTANCES,
    LOCALISE,
    OTHER_SHAPES,
    SEGMENT,
    Annotation,
    Annotations,
    Corners,
    FilePairs,
    ObjectFaults,
    Shape,
    is_number,
    missing_picture,
    pair_files,
    split_by_folder,
)
from striate.data.layouts.tree import Tree
from striate.data.masks import F64, Outline, Polygons, Runs
from striate.data.pictures import Limits
from striate.errors import DataError

_CLASSES = ("labels.txt", "classes.txt", "class_names.txt")
_SPECIAL = {"__ignore__": "", "_background_": BACKGROUND}
_LARGEST = 256 * documents.MB  # the picture may be in the file
_CORNERS = 64  # of the polygon that stands for a circle
_OUTLINED = ("polygon", "circle", "mask", "rectangle")

Json = dict[str, Any]


def find(tree: Tree) -> Candidate | None:
    """JSON files with shapes, and the pictures that they belong to."""
    found = pair_files(tree, ".json")
    first = next((file for _, file in found.pairs if file), "")
    if not first or not _is_labelme(tree, first):
        return None
    uses = found.tops() | {name for name in tree.files() if name in _CLASSES}
    return Candidate(
        "LabelMe JSON",
        found.annotated,
        uses,
        lambda: _read(tree, found),
        f"{shown(first)} has shapes",
        tasks=(DETECT, SEGMENT, LOCALISE, INSTANCES),
    )


def _is_labelme(tree: Tree, file: str) -> bool:
    try:
        return bool(_content(tree, file))
    except DataError:
        return False


def _content(tree: Tree, file: str) -> Json:
    """What a file holds.

    Raises:
        DataError: it cannot be read, or has no shapes; with the reason alone.
    """
    content = documents.read_json(tree.root / file, most=_LARGEST)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise DataError("has no shapes")
    return content


def _read(tree: Tree, found: FilePairs) -> Listing:
    faults = ObjectFaults()
    annotations = [_annotation(tree, picture, file, faults) for picture, file in found.pairs]
    lost = [file for file in found.unmatched if _is_labelme(tree, file)]
    found.ignored[".json"] += len(found.unmatched) - len(lost)
    annotations += [missing_picture(found, file, "") for file in lost]
    outlined = any(s.outline and s.box is None for a in annotations for s in a.shapes)
    task = tree.options.task or (SEGMENT if outlined else DETECT)
    notes: list[str] = []
    if task in BOXED:
        for annotation in annotations:
            annotation.shapes = _joined(annotation.shapes)
        if outlined:
            notes.append("the boxes of outlines; task=segment takes them as masks")
    elif tree.options.task is None:
        notes.append("masks drawn from outlines; task=detect takes their boxes")
    named_by, classes = _named_classes(tree)
    parts = split_by_folder(annotations, found.ignored)
    reading = Annotations("LabelMe JSON", parts, classes, named_by, found.ignored, notes, faults)
    return listing(tree, reading, task)


def _named_classes(tree: Tree) -> tuple[str, tuple[str, ...]]:
    """The file that names classes, one a line, and the names."""
    for file in _CLASSES:
        if file in tree.files():
            names = (line for _, line in documents.read_lines(tree.root / file))
            return file, tuple(dict.fromkeys(name for name in names if name not in _SPECIAL))
    return "", ()


def _annotation(tree: Tree, picture: str, file: str, faults: ObjectFaults) -> Annotation:
    result = Annotation(picture, file)
    if not file:
        return result
    try:
        content = _content(tree, file)
        result.size = _size(content)
        for number, given in enumerate(content["shapes"], 1):
            shape = _shape(given, f"shape {number}", result.size, tree.options.limits)
            if shape is None:
                faults.add(OTHER_SHAPES, f"{shown(file)} shape {number}")
            else:
                result.shapes.append(shape)
    except DataError as error:
        result.shapes, result.fault = [], f"{shown(file)} {error}"
    return result


def _size(content: Json) -> tuple[int, int] | None:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
    return None


def _shape(given: Any, place: str, size: tuple[int, int] | None, limits: Limits) -> Shape | None:
    """One shape; None where it has no area: points and lines.

    Raises:
        DataError: it is none; with its place.
    """
    if not isinstance(given, dict) or not isinstance(given.get("label"), str) or not given["label"]:
        raise DataError(f"{place}: no label")
    kind = given.get("shape_type") or "polygon"
    if kind not in _OUTLINED:
        return None
    label = str(given["label"]).strip()
    points = _points(given.get("points"), place, 3 if kind == "polygon" else 2)
    box: Corners | None = None
    outline: Outline
    if kind == "mask":
        outline = _mask(given.get("mask"), points, place, size, limits)
    elif kind == "circle":
        outline = _circle(points)
    elif kind == "rectangle":
        low, high = points.min(0), points.max(0)  # any two corners that face each other
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        x0, y0, x1, y1 = box
        outline = Polygons((np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]),))
    else:
        outline = Polygons((points,))
    group = given.get("group_id")
    where = place if group is None else f"{place} group {group}"
    return Shape(_SPECIAL.get(label, label), where, box, outline)


def _points(given: Any, place: str, least: int) -> F64:
    fine = isinstance(given, list) and all(
        isinstance(point, list) and len(point) == 2 and all(map(is_number, point))
        for point in given
    )
    if not fine or len(given) < least:
        raise DataError(f"{place}: expected {least} points or more, each x and y")
    return np.array(given, np.float64).reshape(-1, 2)


def _circle(points: F64) -> Polygons:
    """Of its middle and a point on it."""
    radius = math.dist(points[0], points[1])
    angles = np.linspace(0, 2 * math.pi, _CORNERS, endpoint=False)
    return Polygons((points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], 1),))


def _mask(
    given: Any, points: F64, place: str, size: tuple[int, int] | None, limits: Limits
) -> Runs:
    """A mask that is given as a picture of a part of the whole: points are the first and the last pixel of it."""
    if size is None or size[0] * size[1] > limits.max_pixels:
        raise DataError(f"{place}: a mask, but no imageHeight and imageWidth that can be")
    try:
        data = base64.b64decode(given, validate=True) if isinstance(given, str) else b""
    except binascii.Error:
        data = b""
    try:
        part = np.asarray(pictures.loaded(data, limits).convert("L")) > 0
    except DataError as error:
        raise DataError(f"{place}: its mask: {error}") from None
    x, y = (int(side) for side in points.min(0))
    whole = np.zeros(size, np.bool_)
    if x < 0 or y < 0 or y + part.shape[0] > size[0] or x + part.shape[1] > size[1]:
        raise DataError(f"{place}: its mask reaches outside the picture")
    whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    flat = whole.T.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=False))
    return Runs(np.diff(np.concatenate([[0], starts, [flat.size]])), size)


def _joined(shapes: list[Shape]) -> list[Shape]:
    """Objects for boxes: parts of one group and class as one, regions that are no objects left out."""
    found: dict[tuple[str, str], Shape] = {}
    for shape in shapes:
        if shape.label in ("", BACKGROUND):
            continue
        place, _, group = shape.place.partition(" group ")
        x0, y0, x1, y1 = shape.corners(drawn=False)
        key = (shape.label, f"group {group}" if group else place)
        if key in found:
            a, b, c, d = found[key].corners(drawn=False)
            x0, y0, x1, y1 = min(a, x0), min(b, y0), max(c, x1), max(d, y1)
        found[key] = Shape(shape.label, place, (x0, y0, x1, y1))
    return list(found.values())
