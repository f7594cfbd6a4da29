"""Annotation files: the objects that they name in pictures, and which file belongs to which picture and split.

Every layout of objects reads its files into `Annotation`s; `annotation_targets` makes boxes or masks of them. A file
belongs to a picture if their paths are the same once the extension and the folders that only say "pictures" or
"annotations" are left out: images/train/a.jpg and labels/train/a.txt, train/images/a.jpg and train/labels/a.txt,
JPEGImages/a.jpg and Annotations/a.xml, a.jpg and a.json. Where that finds few, equal stems that occur once suffice.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import PurePosixPath
from typing import NamedTuple, TypeVar

from striate.data import files
from striate.data.files import shown
from striate.data.index import IGNORED, WHOLE, Fault
from striate.data.layouts.tree import IMAGE, MASK, Tree, below, named_like_picture, role
from striate.data.masks import Outline

DETECT, LOCALISE, SEGMENT, INSTANCES = "detect", "localise", "segment", "instances"
BOXED = (DETECT, LOCALISE)  # tasks that take boxes
OUTLINED = (SEGMENT, INSTANCES)  # tasks that need the outlines of objects
BACKGROUND = "background"
Corners = tuple[float, float, float, float]

FLAT = "boxes without area"
OUTSIDE = "boxes outside the picture"
BACKWARDS = "boxes drawn backwards"
CUT = "boxes that reach outside the picture"
TWICE = "boxes given twice"
NO_PICTURE = "annotations of no picture"
NUMBERED_TWICE = "annotations with a number given twice"
LISTED_TWICE = "pictures listed twice"
OTHER_SHAPES = "points and lines"
NO_OUTLINE = "objects without an outline"
_DONE = {
    FLAT: "left out",
    OUTSIDE: "left out",
    BACKWARDS: "turned round",
    CUT: "cut at its edge",
    TWICE: "used once",
    NO_PICTURE: "left out",
    NUMBERED_TWICE: "used where they differ",
    LISTED_TWICE: "taken as one",
    OTHER_SHAPES: "left out",
    NO_OUTLINE: "the pixels of their boxes count nowhere",
}
_NAMED = 20  # places of each fault that are remembered
# fmt: off
_ANNOTATIONS = frozenset([
    "annotations", "annotation", "annots", "annot", "ann", "labels", "label", "xmls", "xml", "jsons", "json", "txts",
    "txt", "bboxes", "boxes",
])
# fmt: on
_YEAR = re.compile(r"[-_]?(19|20)\d\d$")
NO_SPLIT = "pictures in no split"

T = TypeVar("T")
Lists = dict[str, list[tuple[str, str]]]  # split -> names, and where each is listed


class Shape(NamedTuple):
    """One object as its file has it.

    Attributes:
        label: the name of its class; "" for a region that counts nowhere in a mask.
        place: where it stands in the file, such as "line 12".
        box: its corners; None where it has an outline alone.
        outline: its area; None where it has a box alone.
        crowd: whether it is neither learned nor missed.
    """

    label: str
    place: str
    box: Corners | None = None
    outline: Outline | None = None
    crowd: bool = False

    def corners(self, *, drawn: bool) -> Corners:
        """Its box, or the extent of its outline, which comes first where it is to be drawn."""
        if self.outline is not None and (drawn or self.box is None):
            return self.outline.box()
        return self.box or (0.0, 0.0, 0.0, 0.0)


@dataclass
class Annotation:
    """What is known of one picture.

    Attributes:
        picture: its name relative to the root.
        file: of the annotation, relative to the root; "" where there is none.
        shapes: its objects.
        size: height and width as the annotation states them.
        shares: whether coordinates are shares of the width and height, not pixels.
        fault: why the annotation cannot be used.
    """

    picture: str
    file: str = ""
    shapes: list[Shape] = field(default_factory=list[Shape])
    size: tuple[int, int] | None = None
    shares: bool = False
    fault: str = ""

    def at(self, place: str) -> str:
        """A place in its file, for messages."""
        return f"{shown(self.file)} {place}".strip()


class ObjectFaults:
    """What was wrong with single objects: counted by kind, the first places remembered."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._places: dict[str, list[str]] = {}

    def add(self, kind: str, place: str) -> None:
        """Count one."""
        self.counts[kind] += 1
        places = self._places.setdefault(kind, [])
        if len(places) < _NAMED:
            places.append(place)

    def first(self, kinds: Sequence[str] = ()) -> list[tuple[str, str]]:
        """The kinds that occur, of these if any are named, each with its first place."""
        places = self._places.items()
        return [(kind, at[0]) for kind, at in places if at and (not kinds or kind in kinds)]

    def faults(self) -> tuple[Fault, ...]:
        """All of them."""
        return tuple(
            Fault(kind, _DONE[kind], self.counts[kind], tuple(places))
            for kind, places in self._places.items()
        )


@dataclass
class Annotations:
    """What a layout of objects found.

    Attributes:
        layout: in words.
        parts: the annotations of each split.
        classes: their names in the order of their numbers; () where those that occur are meant.
        named_by: the file that names the classes.
        ignored: what was not used, counted by kind.
        notes: how things were understood.
        faults: what was wrong with single objects.
    """

    layout: str
    parts: dict[str, list[Annotation]]
    classes: tuple[str, ...] = ()
    named_by: str = ""
    ignored: Counter[str] = field(default_factory=Counter[str])
    notes: list[str] = field(default_factory=list[str])
    faults: ObjectFaults = field(default_factory=ObjectFaults)


@dataclass
class FilePairs:
    """What was found.

    Attributes:
        pairs: pictures and their annotation files, in order; "" where a picture has none.
        unmatched: annotation files without a picture.
        ignored: what lies in the folders that are used and belongs to nothing, counted by kind.
    """

    pairs: list[tuple[str, str]]
    unmatched: list[str] = field(default_factory=list[str])
    ignored: Counter[str] = field(default_factory=Counter[str])

    @property
    def annotated(self) -> int:
        """How many pictures have an annotation file."""
        return sum(bool(file) for _, file in self.pairs)

    @cached_property
    def homes(self) -> dict[str, str]:
        """Folders of annotation files -> the folder of their pictures."""
        return {_folder(file): _folder(name) for name, file in self.pairs if file}

    def tops(self) -> frozenset[str]:
        """The names at the top that are used."""
        names = [name for pair in self.pairs for name in pair if name] + self.unmatched
        return frozenset(name.partition("/")[0] for name in names)


def pair_files(tree: Tree, suffix: str, *, others: Iterable[str] = ()) -> FilePairs:
    """Pictures and the files with this extension that belong to them.

    Pictures without one are taken where others in their folder have one.

    Args:
        tree: what lies there.
        suffix: of annotation files, such as ".xml".
        others: files that are no annotations but lists of classes or of pictures.
    """
    if not any(entry.name.lower().endswith(suffix) for entry in tree.all()):
        return FilePairs([])  # soon said of large folders of other layouts
    ignored: Counter[str] = Counter()
    found: list[str] = []
    written: list[str] = []
    passed: list[str] = []
    left = frozenset(others)
    for entry in tree.all():
        if tree.options.leaves_out(entry.name):
            ignored[IGNORED] += "/" in entry.name  # those at the top are counted by `table`
        elif entry.name in left:
            continue
        elif entry.kind == "file" and named_like_picture(entry.name):
            found.append(entry.name)
        elif entry.kind == "file" and entry.name.lower().endswith(suffix):
            written.append(entry.name)
        elif "/" in entry.name:
            passed.append(entry.name)
    matched = _matched(found, written)
    homes = {_folder(name) for name in matched}
    taken = [name for name in found if name in matched or _folder(name) in homes]
    used = set(matched.values())
    unmatched = [name for name in written if name not in used] if matched else []
    result = FilePairs([(name, matched.get(name, "")) for name in taken], unmatched, ignored)
    counted = set(taken)
    unused = [*passed, *(name for name in found if name not in counted)]
    tops = result.tops()
    for name in unused:
        if "/" in name and name.partition("/")[0] in tops:
            ignored[files.extension(name)] += 1
    return result


def _matched(found: Sequence[str], written: Sequence[str]) -> dict[str, str]:
    """Pictures -> annotation files."""
    by_key = _once((pair_key(name), name) for name in written)
    matched = {name: by_key[k] for name in found if (k := pair_key(name)) in by_key}
    if 2 * len(matched) >= min(len(found), len(written)):
        return matched
    by_stem = _once((PurePosixPath(name).stem, name) for name in written)
    stems = _once((PurePosixPath(name).stem, name) for name in found)
    loose = {picture: by_stem[stem] for stem, picture in stems.items() if stem in by_stem}
    return loose if len(loose) > len(matched) else matched


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those whose key occurs once."""
    found: dict[str, str] = {}
    double: set[str] = set()
    for k, name in pairs:
        if k in found:
            double.add(k)
        found[k] = name
    return {k: name for k, name in found.items() if k not in double}


def among_pictures(name: str) -> bool:
    """Whether a folder of a path is called like one of pictures."""
    roles = (role(part) for part in PurePosixPath(name).parts[:-1])
    return any(found is not None and found.kind == IMAGE for found in roles)


def pair_key(name: str) -> str:
    """A path without its extension and the folders that say what kind of files are in them.

    >>> [pair_key(x) for x in ("images/train/a.jpg", "train/labels/a.txt", "train_annotations/a.xml", "a.json")]
    ['train/a', 'train/a', 'train/a', 'a']
    """
    path = PurePosixPath(name)
    return "/".join([word for part in path.parts[:-1] if (word := _plain(part))] + [path.stem])


@cache
def _plain(folder: str) -> str:
    """The split that the name of a folder says, "" where it says what kind of files are in it, else the name."""
    found = role(folder)
    if folder.lower() in _ANNOTATIONS or (found is not None and found.kind == IMAGE):
        return found.split if found else ""
    if found is not None and found.split and found.kind == MASK and holds_annotations(folder):
        return found.split
    return _split(folder) or folder


def holds_annotations(folder: str) -> bool:
    """Whether the name of a folder holds a word for annotations."""
    return any(word in folder.lower() for word in _ANNOTATIONS)


def _split(folder: str) -> str:
    """The split that a folder stands for, a year behind its name or not."""
    found = role(_YEAR.sub("", folder))
    return found.split if found is not None else ""


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def split_of_path(name: str) -> str:
    """The split that a folder in a path stands for: "train", "val", "test"; "" if none does.

    >>> split_of_path("images/train2017/a.jpg"), split_of_path("valid/images/a.jpg"), split_of_path("images/a.jpg")
    ('train', 'val', '')
    """
    for part in PurePosixPath(name).parts[:-1]:
        if split := _split(part):
            return split
    return ""


def split_by_folder(
    annotations: Sequence[Annotation], ignored: Counter[str]
) -> dict[str, list[Annotation]]:
    """The annotations of each split, by the folders of their pictures; `WHOLE` where no folder names one."""
    found: dict[str, list[Annotation]] = {"train": [], "val": [], "test": [], "": []}
    for annotation in annotations:
        found[split_of_path(annotation.picture)].append(annotation)
    outside = found.pop("")
    if len(outside) == len(annotations):
        return {WHOLE: outside}
    ignored[NO_SPLIT] += len(outside)
    return {split: held for split, held in found.items() if held}


def split_by_lists(
    annotations: Sequence[Annotation], lists: Lists, ignored: Counter[str]
) -> dict[str, list[Annotation]]:
    """The annotations of each split, by lists of names; a name without a picture is a broken item.

    Args:
        annotations: of all pictures.
        lists: for each split pairs of a name, which is a stem, a file name or a path, and where it is listed.
        ignored: counts the pictures that no list names.
    """
    known = _by_name(annotations)
    home = _folder(annotations[0].picture) if annotations else ""
    parts: dict[str, list[Annotation]] = {}
    used: set[int] = set()
    for split, names in lists.items():
        held: dict[int, Annotation] = {}
        for name, place in names:
            annotation = _found(known, name)
            if annotation is None:
                missed = f"{place}: there is no picture {shown(name)}"
                parts_of = plain_parts(name)
                picture = "/".join(parts_of) if len(parts_of) > 1 else below(home, name)
                annotation = Annotation(picture, fault=missed)
                known[name] = annotation
            held.setdefault(id(annotation), annotation)
        used |= held.keys()
        parts[split] = list(held.values())
    ignored[NO_SPLIT] += sum(id(annotation) not in used for annotation in annotations)
    return {split: held for split, held in parts.items() if held}


def _found(known: dict[str, Annotation], name: str) -> Annotation | None:
    """By the longest end of a path that is known, then without the extension of a picture.

    A picture that lies in the folder of another split than the path says is not meant.
    """
    parts = plain_parts(name)
    ends = ["/".join(parts[k:]) for k in range(len(parts))]
    if parts and named_like_picture(parts[-1]):
        ends.append(PurePosixPath(parts[-1]).stem)
    annotation = next((known[end] for end in ends if end in known), None)
    if annotation is None or not _contradict(
        split_of_path(name), split_of_path(annotation.picture)
    ):
        return annotation
    return None


def _contradict(one: str, other: str) -> bool:
    return bool(one and other) and one != other


def plain_parts(path: str) -> list[str]:
    r"""The folders and the name of a path that another machine wrote, without those that lead upwards.

    >>> plain_parts("../train/images"), plain_parts(r"C:\data\a.jpg")
    (['train', 'images'], ['C:', 'data', 'a.jpg'])
    """
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]


def _by_name(annotations: Sequence[Annotation]) -> dict[str, Annotation]:
    """Annotations by path, file name and stem of their picture, where these are theirs alone."""
    known: dict[str, Annotation] = {}
    counts: Counter[str] = Counter()
    for annotation in annotations:
        path = PurePosixPath(annotation.picture)
        for name in {annotation.picture, str(path.with_suffix("")), path.name, path.stem}:
            counts[name] += 1
            known[name] = annotation
    return {name: annotation for name, annotation in known.items() if counts[name] == 1}


def missing_picture(pairs: FilePairs, file: str, name: str) -> Annotation:
    """A broken item: an annotation whose picture is not there.

    Args:
        pairs: what was found.
        file: of the annotation.
        name: that the annotation gives its picture; "" if it gives none.
    """
    home = pairs.homes.get(_folder(file), _folder(file))
    plain = (plain_parts(name) or [PurePosixPath(file).stem])[-1]
    return Annotation(
        below(home, plain), file, fault=f"{shown(file)}: its picture {shown(plain)} is missing"
    )


def ordered_splits(parts: Mapping[str, T]) -> dict[str, T]:
    """Splits in their order; "trainval" is left out where it is only two others together, else it is "train"."""
    found = dict(parts)
    both = found.pop("trainval", None)
    if both is not None:
        found.setdefault("train", both)
    return {split: found[split] for split in ("train", "val", "test", WHOLE) if split in found}


def is_number(value: object) -> bool:
    """Whether a value of JSON may be a coordinate: a number, not true or false, and not beyond any picture."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
