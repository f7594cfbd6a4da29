"""From what annotation files say of pictures to targets: boxes or masks, in the places of the upright picture.

Each layout of objects reads its files into `Annotation`s; what follows is the same for all. A box is x0, y0, x1, y1 in
pixels, as edges: 0 is the left edge of the first pixel, W the right edge of the last. What is wrong with a box is
counted and named: one that reaches outside is cut, one that was drawn backwards is turned round, one without area or
wholly outside is left out; where more than 1 % and more than five boxes have one of these faults, it is no slip of the
hand but a misreading of the file, and the pictures that have it are broken. An annotation that cannot be understood
makes its picture broken.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from striate.data import pictures, workers
from striate.data.files import shown
from striate.data.index import WHOLE, Listing, Part
from striate.data.instances import NOWHERE, IdOutlines
from striate.data.layouts.annotations import (
    BACKGROUND,
    BACKWARDS,
    BOXED,
    CUT,
    DETECT,
    FLAT,
    INSTANCES,
    LOCALISE,
    NO_OUTLINE,
    NO_PICTURE,
    OTHER_SHAPES,
    OUTLINED,
    OUTSIDE,
    SEGMENT,
    TWICE,
    Annotation,
    Annotations,
    ObjectFaults,
    Shape,
)
from striate.data.layouts.tree import Tree
from striate.data.masks import F64, MOST, Drawing, Outline, OutlineMasks, Polygons, Runs
from striate.data.pictures import Head
from striate.data.pillow import without_warnings
from striate.data.sources import I64, Files
from striate.data.targets import IGNORE, Boxes, Instances, Masks, Objects, OneBox
from striate.errors import DataError
from striate.text import some

_LEFT_OUT = (FLAT, OUTSIDE, TWICE, NO_PICTURE, OTHER_SHAPES)
_SERIOUS = (FLAT, OUTSIDE, BACKWARDS)  # where they are many, the file is misread
_SHARE, _FEW = 0.01, 5  # as for broken pictures
_OFTEN = 0.1  # share of boxes that reach outside beyond which a misreading is likely
_SLACK = 0.5  # pixels that a box may reach outside by rounding
_SOME = 5  # names that a message lists


class _PictureObjects(NamedTuple):
    """The objects of one picture in pixels of the picture that they were drawn on, sound ones only.

    Attributes:
        boxes: [m, 4].
        shapes: m of them.
        size: height and width of that picture.
        orientation: how it is turned to be upright, 1 to 8 as EXIF numbers it.
        doubtful: whether EXIF turns it and the annotation does not say of which of the two it is.
        faults: what was wrong with single objects, and where.
        fault: why the annotation cannot be used.
    """

    boxes: F64
    shapes: list[Shape]
    size: tuple[int, int]
    orientation: int = 1
    doubtful: bool = False
    faults: tuple[tuple[str, str], ...] = ()
    fault: str = ""


def listing(tree: Tree, annotated: Annotations, task: str) -> Listing:
    """Boxes ("detect"), those of one class each ("localise"), masks ("segment") or single objects ("instances") from annotations.

    Raises:
        DataError: there are no objects, for masks no outlines, or for one class each many pictures with none or several.
    """
    _drop_unannotated(annotated)
    _leave_out(tree, annotated)
    classes = annotated.classes or _classes(annotated)
    if not classes or not any(a.shapes for held in annotated.parts.values() for a in held):
        raise DataError(
            f"{shown(tree.name)} holds annotations ({annotated.layout}) but no object in any of them{_why_none(annotated)}"
        )
    if task != LOCALISE and all(
        s.crowd for held in annotated.parts.values() for a in held for s in a.shapes
    ):
        raise DataError(
            f"{shown(tree.name)}: every object is a crowd or difficult ({annotated.layout}), which are neither learned nor "
            "missed: take iscrowd, or difficult, from those that are to be learned"
        )
    _check_classes(annotated, {*classes, "", BACKGROUND} if task in OUTLINED else {*classes})
    faults = annotated.faults
    objects = {split: _all_objects(tree, held, task) for split, held in annotated.parts.items()}
    for each in objects.values():
        for item in each:
            for kind, place in item.faults:
                faults.add(kind, place)
    wrong = _misread(faults, sum(len(a.shapes) for held in annotated.parts.values() for a in held))
    if task in OUTLINED and not any(
        s.outline for each in objects.values() for i in each for s in i.shapes
    ):
        lost = next((item.fault for each in objects.values() for item in each if item.fault), "")
        lost = lost or next(
            (f"{place}, one of the {kind}" for kind, place in faults.first(_SERIOUS)), ""
        )
        raise DataError(
            f"{shown(tree.name)} has no outline that can be used ({annotated.layout}): {lost}"
            if lost
            else f"{shown(tree.name)} has boxes ({annotated.layout}) but no outlines, of which masks could be made: task={DETECT}"
        )
    alone = _of_no_class(objects, annotated.parts, tree) if task == LOCALISE else {}
    make = {SEGMENT: _masks, LOCALISE: _one_box, INSTANCES: _instances}.get(task, _boxes)
    parts: dict[str, Part] = {}
    for split, held in annotated.parts.items():
        names = tuple(a.picture for a in held)
        parts[split] = Part(
            tuple(map(shown, names)),
            make(objects[split], classes),
            Files(tree.root, names, tree.options.limits),
            _broken(objects[split], wrong) | alone.get(split, {}),
        )
    ignored = annotated.ignored + Counter({kind: faults.counts[kind] for kind in _LEFT_OUT})
    return Listing(
        annotated.layout,
        _named(classes, task),
        parts,
        +ignored,
        "; ".join([*annotated.notes, *_notes(annotated, classes, objects, task)]),
        task,
        faults=faults.faults(),
        warnings=_doubtful_boxes(
            faults, sum(len(a.shapes) for held in annotated.parts.values() for a in held)
        ),
    )


def _doubtful_boxes(faults: ObjectFaults, total: int) -> tuple[str, ...]:
    """That many boxes reach outside: annotations of such pictures are hardly ever drawn so."""
    count = faults.counts[CUT] + faults.counts[OUTSIDE]
    if count <= max(2, _OFTEN * total):
        return ()
    line = (
        f"{count:,} of {total:,} boxes reach outside their pictures: look whether their numbers are of another size, in "
        "another order (y before x), or corners, centres and sizes taken for one another"
    )
    return (line,)


def _why_none(annotated: Annotations) -> str:
    """Why there is no object, where a picture or an object of which it is known was faulty."""
    faults = (a.fault for held in annotated.parts.values() for a in held if a.fault)
    first = next(faults, "")
    first = first or next(
        (f"{kind}, {place} first" for kind, place in annotated.faults.first()), ""
    )
    return f": {first}" if first else ""


def _named(classes: Sequence[str], task: str) -> tuple[str, ...]:
    """The classes of the targets of a task; single objects are not told apart by them."""
    if task == INSTANCES:
        return ()
    return tuple(map(shown, classes if task in BOXED else (BACKGROUND, *_things(classes))))


def _drop_unannotated(annotated: Annotations) -> None:
    """Leave out splits without a single annotation file, of which nobody knows what is in them.

    Raises:
        DataError: the training split is one.
    """
    for split, held in list(annotated.parts.items()):
        if any(a.file or a.fault for a in held):
            continue
        of = "" if split == WHOLE else f" of {split}"
        words = f"none of the {_many(len(held), 'picture')}{of} has an annotation file"
        if split in ("train", WHOLE):
            raise DataError(f"{words} ({annotated.layout})")
        annotated.notes.append(f"{words}: {split} is not taken")
        annotated.ignored["pictures without an annotation file"] += len(held)
        del annotated.parts[split]


def _leave_out(tree: Tree, annotated: Annotations) -> None:
    """Take away the objects of classes that match an `ignore` pattern."""
    options = tree.options
    annotated.classes = tuple(c for c in annotated.classes if not options.leaves_out(c))
    for held in annotated.parts.values() if options.ignore else ():
        for annotation in held:
            shapes = [s for s in annotation.shapes if not options.leaves_out(s.label)]
            annotated.ignored["objects (ignored)"] += len(annotation.shapes) - len(shapes)
            annotation.shapes = shapes


def _classes(annotated: Annotations) -> tuple[str, ...]:
    """The names that occur, in order; numbers by their value."""
    names = {s.label for held in annotated.parts.values() for a in held for s in a.shapes} - {""}
    if all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _things(classes: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in classes if name != BACKGROUND)


def _check_classes(annotated: Annotations, known: set[str]) -> None:
    """A picture with an object of a class that there is not is broken."""
    for held in annotated.parts.values():
        for annotation in held:
            strange = next((s for s in annotation.shapes if s.label not in known), None)
            if strange is not None and not annotation.fault:
                annotation.fault = f"{annotation.at(strange.place)}: {shown(strange.label)} is no class of {annotated.named_by}"


def heads(tree: Tree, names: Sequence[str]) -> list[Head | None]:
    """The headers of pictures below the root, read in threads; None where one cannot be read."""

    def one(name: str) -> Head | None:
        try:
            return pictures.head_of(tree.root / name, tree.options.limits)
        except DataError:
            return None

    def work(index: I64) -> list[Head | None]:
        return [one(names[i]) for i in workers.each(index)]

    with without_warnings():
        chunks = workers.in_order(work, workers.everything(len(names)), named=names.__getitem__)
        return [head for done in chunks for head in done.result]


def _all_objects(tree: Tree, held: list[Annotation], task: str) -> list[_PictureObjects]:
    found = heads(tree, [a.picture for a in held])
    return [_objects_of(a, head, task) for a, head in zip(held, found, strict=True)]


def _objects_of(annotation: Annotation, head: Head | None, task: str) -> _PictureObjects:
    """The objects of one picture, checked."""
    size, orientation, doubtful, fault = _drawn_on(annotation, head)
    none = _PictureObjects(np.empty((0, 4)), [], size, orientation, fault=annotation.fault or fault)
    if none.fault or not annotation.shapes or min(size) < 1:
        return none
    shapes = annotation.shapes
    if annotation.shares:
        shapes = [_in_pixels(shape, size) for shape in shapes]
    strange = next((s for s in shapes if _of_another_size(s, size)), None)
    if strange is not None:
        fault = f"{annotation.at(strange.place)}: run lengths of another size than the picture"
        return none._replace(fault=fault)
    corners = np.array([s.corners(drawn=task in OUTLINED) for s in shapes], np.float64)
    if not annotation.shares and _look_like_shares(corners, size):
        fault = f"{annotation.at(shapes[0].place)}: shares from 0 to 1, where pixels are expected"
        return none._replace(fault=fault)
    boxes, kinds = _checked(corners, size)
    _mark_twice(shapes, boxes, kinds)
    faults = [
        (kind, annotation.at(shape.place))
        for shape, kind in zip(shapes, kinds, strict=True)
        if kind
    ]
    if task in OUTLINED:
        faults += [(NO_OUTLINE, annotation.at(s.place)) for s in shapes if s.outline is None]
    kept = [i for i, kind in enumerate(kinds) if kind not in _LEFT_OUT]
    sound = [shapes[i] for i in kept]
    return _PictureObjects(boxes[kept], sound, size, orientation, doubtful, tuple(faults))


def _drawn_on(annotation: Annotation, head: Head | None) -> tuple[tuple[int, int], int, bool, str]:
    """Which picture coordinates are of: its height and width, how it is turned to be upright, and what is wrong.

    Between the last two: whether it could be the other one of the stored and the upright picture.
    """
    stated = annotation.size if annotation.size and min(annotation.size) > 0 else None
    if head is None:  # the picture is broken itself, which is found when it is decoded
        return (0, 0), 1, False, ""
    upright = (head.height, head.width)
    if annotation.shares or stated is None or stated == upright:
        same = annotation.shares or stated is None or stated == stated[::-1]
        clear = head.orientation == 1 or (head.orientation in pictures.SWAPPED and not same)
        return upright, 1, not clear, ""
    if head.orientation in pictures.SWAPPED and stated == upright[::-1]:
        return stated, head.orientation, False, ""
    fault = (
        f"{annotation.at('')}: made for {stated[1]} x {stated[0]} pixels, the picture has "
        f"{upright[1]} x {upright[0]}"
    )
    return upright, 1, False, fault


def _in_pixels(shape: Shape, size: tuple[int, int]) -> Shape:
    """A shape whose coordinates are shares, in pixels."""
    height, width = size
    box, outline = shape.box, shape.outline
    if box is not None:
        box = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
    if isinstance(outline, Polygons):
        scale = np.array([width, height], np.float64)
        outline = Polygons(tuple(ring * scale for ring in outline.rings))
    return shape._replace(box=box, outline=outline)


def _of_another_size(shape: Shape, size: tuple[int, int]) -> bool:
    return isinstance(shape.outline, Runs) and shape.outline.size != size


def _look_like_shares(corners: F64, size: tuple[int, int]) -> bool:
    """Whether all corners of a picture's boxes lie in its first pixel, and not at its edges."""
    inside = bool(((corners >= 0) & (corners <= 1)).all())
    return inside and min(size) > 1 and bool((corners % 1 != 0).any())


def _checked(corners: F64, size: tuple[int, int]) -> tuple[F64, list[str]]:
    """Boxes [m, 4] within the picture, and what was wrong with each; "" where nothing was."""
    height, width = size
    low, high = (
        np.minimum(corners[:, :2], corners[:, 2:]),
        np.maximum(corners[:, :2], corners[:, 2:]),
    )
    most = np.array([width, height], np.float64)
    inner_low, inner_high = np.clip(low, 0, most), np.clip(high, 0, most)
    over = np.maximum(inner_low - low, high - inner_high)
    faults = {
        CUT: (over > _SLACK).any(1),
        BACKWARDS: (corners[:, 2:] < corners[:, :2]).any(1),
        OUTSIDE: (inner_high <= inner_low).any(1),
        FLAT: (high <= low).any(1),
    }
    kinds = [""] * len(corners)
    for kind, found in faults.items():  # of several the last is the one that counts
        for i in np.flatnonzero(found):
            kinds[i] = kind
    return np.concatenate([inner_low, inner_high], 1), kinds


def _mark_twice(shapes: list[Shape], boxes: F64, kinds: list[str]) -> None:
    """Note which boxes repeat an earlier one of the same class exactly, where outlines do not tell them apart."""
    seen: set[tuple[str, bytes]] = set()
    for i, shape in enumerate(shapes):
        outline = shape.outline.content() if shape.outline is not None else b""
        key = (shape.label, boxes[i].tobytes() + outline)
        if key in seen and not kinds[i]:
            kinds[i] = TWICE
        seen.add(key)


def _misread(faults: ObjectFaults, total: int) -> set[str]:
    """The serious faults that too many boxes have."""
    return {
        kind
        for kind in _SERIOUS
        if faults.counts[kind] > _FEW and faults.counts[kind] > _SHARE * total
    }


def _broken(objects: list[_PictureObjects], wrong: set[str]) -> dict[int, str]:
    """The pictures whose annotation cannot be used, and why."""
    found: dict[int, str] = {}
    for i, item in enumerate(objects):
        first = next(((kind, place) for kind, place in item.faults if kind in wrong), None)
        if item.fault:
            found[i] = item.fault
        elif first is not None:
            found[i] = f"{first[1]}: one of many {first[0]}"
    return found


def _boxes(objects: list[_PictureObjects], classes: Sequence[str]) -> Boxes:
    numbers = {name: k for k, name in enumerate(classes)}
    return Boxes.of(
        [
            Objects(
                turned(item.boxes, item.size, item.orientation).astype(np.float32),
                np.array([numbers[s.label] for s in item.shapes], np.int64),
                np.array([s.crowd for s in item.shapes], np.bool_),
            )
            for item in objects
        ]
    )


def _of_no_class(
    objects: dict[str, list[_PictureObjects]], names: dict[str, list[Annotation]], tree: Tree
) -> dict[str, dict[int, str]]:
    """By split the pictures with no object or with several classes, where one class each is learned, and why they cannot be used.

    Raises:
        DataError: they are many, so that something else is to be learned.
    """
    found = {
        split: {
            i: _not_one(item, names[split][i])
            for i, item in enumerate(each)
            if not _one_class(item)
            and not item.fault
            and min(item.size)  # without a size it is broken itself
        }
        for split, each in objects.items()
    }
    count, total = (sum(len(each) for each in parts.values()) for parts in (found, objects))
    if count > max(_FEW, _SHARE * total) and not tree.options.skip:
        first = next(reason for each in found.values() for reason in each.values())
        raise DataError(
            f"{shown(tree.name)}: {count:,} of {_many(total, 'picture')} have no object or objects of several classes, and "
            f"task={LOCALISE} learns one class each ({first}); --task {DETECT} learns any number, --broken skip leaves these "
            "pictures out"
        )
    return found


def _one_class(item: _PictureObjects) -> bool:
    return len({shape.label for shape in item.shapes}) == 1


def _not_one(item: _PictureObjects, annotation: Annotation) -> str:
    """Why a picture cannot be learned as one class with its boxes."""
    where = annotation.at("") or shown(annotation.picture)
    if item.shapes:
        first, other = list(dict.fromkeys(shape.label for shape in item.shapes))[:2]
        place = next(shape.place for shape in item.shapes if shape.label == other)
        return f"{annotation.at(place)}: {shown(other)} beside {shown(first)}, expected objects of one class"
    if item.faults:
        kind, place = item.faults[0]
        return f"{place}: no object is left, {kind} are left out"
    return f"{where}: no object, expected one"


def _one_box(objects: list[_PictureObjects], classes: Sequence[str]) -> OneBox:
    """The objects of each picture; none of a picture that is broken. Difficult ones count as all others."""
    found = _boxes(objects, classes)
    one = np.array([_one_class(item) for item in objects], np.bool_)
    ends = np.where(one, found.ends, found.starts)
    return OneBox(found.boxes, found.labels, np.zeros_like(found.crowd), found.starts, ends)


def turned(boxes: F64, size: tuple[int, int], orientation: int) -> F64:
    """Boxes [m, 4] of a stored picture of height and width `size`, in the picture turned upright.

    Args:
        boxes: x0, y0, x1, y1.
        size: of the stored picture.
        orientation: 1, or one of those of EXIF that exchange height and width: 5 to 8.
    """
    if orientation not in pictures.SWAPPED:
        return boxes
    height, width = size
    x0, y0, x1, y1 = boxes.T
    across = (height - y1, height - y0) if orientation in (6, 7) else (y0, y1)
    down = (width - x1, width - x0) if orientation in (7, 8) else (x0, x1)
    return np.stack([across[0], down[0], across[1], down[1]], 1)


def _masks(objects: list[_PictureObjects], classes: Sequence[str]) -> Masks:
    """Later objects lie over earlier ones; crowds, and boxes without an outline, lie below all and count nowhere."""
    numbers = {BACKGROUND: 0} | {name: k for k, name in enumerate(_things(classes), 1)}
    if len(numbers) > MOST:
        raise DataError(
            f"{len(numbers):,} classes, but masks hold at most {MOST}: use task={DETECT}"
        )

    def drawing(item: _PictureObjects) -> Drawing:
        nowhere: list[tuple[int, Outline]] = []
        layers: list[tuple[int, Outline]] = []
        for shape, box in zip(item.shapes, item.boxes, strict=True):
            outline = shape.outline
            if outline is None:
                outline = _of_box(box)
            if shape.crowd or shape.outline is None:
                nowhere.append((IGNORE, outline))
            else:
                layers.append((numbers.get(shape.label, IGNORE), outline))
        return Drawing(item.size, item.orientation, (*nowhere, *layers))

    return Masks(OutlineMasks([drawing(item) for item in objects]))


def _instances(objects: list[_PictureObjects], classes: Sequence[str]) -> Instances:
    """Later objects lie over earlier ones; crowds, and boxes without an outline, lie below all and count nowhere."""
    del classes

    def drawing(item: _PictureObjects) -> Drawing:
        outlines = [
            (shape, shape.outline or _of_box(box))
            for shape, box in zip(item.shapes, item.boxes, strict=True)
        ]
        nowhere = [(NOWHERE, o) for shape, o in outlines if shape.crowd or shape.outline is None]
        single = [o for shape, o in outlines if not shape.crowd and shape.outline is not None]
        return Drawing(item.size, item.orientation, (*nowhere, *enumerate(single, 1)))

    return Instances(IdOutlines([drawing(item) for item in objects]))


def _of_box(box: F64) -> Polygons:
    x0, y0, x1, y1 = box
    return Polygons((np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]),))


def _notes(
    annotated: Annotations,
    classes: Sequence[str],
    objects: dict[str, list[_PictureObjects]],
    task: str,
) -> list[str]:
    """What was understood in a way that is worth a word."""
    annotations = [a for held in annotated.parts.values() for a in held]
    items = [item for each in objects.values() for item in each]
    notes: list[str] = []
    empty = [
        a for a, item in zip(annotations, items, strict=True) if not item.shapes and not item.fault
    ]
    if task == DETECT and all(len(item.shapes) == 1 for item in items):
        notes.append(
            f"every picture has one object: --task {LOCALISE} learns its label and its box"
        )
    notes += _notes_of_one_class(items, classes, task)
    if empty and task != LOCALISE:
        bare = sum(not a.file for a in empty)
        more = f", {bare:,} of them without an annotation file" if bare else ""
        notes.append(f"{_many(len(empty), 'picture')} without objects, used as such{more}")
    crowds = sum(s.crowd for item in items for s in item.shapes)
    if crowds and task != LOCALISE:
        notes.append(f"crowds or difficult, neither learned nor missed: {_many(crowds, 'object')}")
    sideways = sum(item.orientation != 1 for item in items)
    if sideways:
        notes.append(
            f"turned with their picture, being made for it as stored and not as EXIF turns it: "
            f"{_many(sideways, 'annotation')}"
        )
    doubtful = sum(item.doubtful for item in items)
    if doubtful:
        notes.append(
            f"taken to be of the picture as EXIF turns it, which they do not say: "
            f"{_many(doubtful, 'annotation')}"
        )
    lost = _only_held_out(annotated, classes)
    if lost:
        notes.append(f"no object in train of {some(lost, _SOME)}")
    return notes


def _notes_of_one_class(
    items: Sequence[_PictureObjects], classes: Sequence[str], task: str
) -> list[str]:
    """How several objects of one class are learned, or that they could be learned so."""
    several = sum(len(item.shapes) > 1 and _one_class(item) for item in items)
    if not several:
        return []
    if task == LOCALISE:
        said = "with several boxes of one class: the largest is learned, of an answer the nearest counts"
        return [f"{_many(several, 'picture')} {said}"]
    if task == DETECT and len(classes) > 1 and all(map(_one_class, items)):
        return [
            f"every picture has objects of one class: --task {LOCALISE} learns it and the largest box"
        ]
    return []


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _only_held_out(annotated: Annotations, classes: Sequence[str]) -> list[str]:
    if "train" not in annotated.parts:
        return []
    trained = {s.label for a in annotated.parts["train"] for s in a.shapes}
    return [shown(name) for name in classes if name not in trained]
