"""ImageNet as the challenge (ILSVRC) gives it: train/n01440764/*.JPEG, and a flat val/ whose labels lie in a file.

https://image-net.org/challenges/LSVRC/2012 and its form on Kaggle, below ILSVRC/Data/CLS-LOC. Classes are in the order of
their synsets, as the published weights have them, and are called by the first name of LOC_synset_mapping.txt,
synset_words.txt or map_clsloc.txt where one of these is there. The labels of val are those of the first of:

1. LOC_val_solution.csv: "ILSVRC2012_val_00000001,n01751748 111 108 441 193".
2. A text file with a synset a line, one for each picture in order.
3. val.txt with "name label" a line; a label is a synset or its number from 0 in their order. Pictures of val that such a list
   names may be called anything; otherwise they are ILSVRC2012_val_00000001.JPEG, whatever their format.
4. ILSVRC2012_validation_ground_truth.txt: numbers of the challenge from 1, which map_clsloc.txt gives their synsets.
5. Annotations/CLS-LOC/val/*.xml: the name of the first object.

With `task=localise` the pictures with boxes are taken: of LOC_train_solution.csv and LOC_val_solution.csv, or of the XML
files below Annotations/CLS-LOC. Pictures of test/ have no labels and are left.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from striate.data import documents
from striate.data.files import shown
from striate.data.index import Candidate, Listing, Part
from striate.data.layouts.annotation_targets import listing
from striate.data.layouts.annotations import LOCALISE, Annotation, Annotations, Corners, Shape
from striate.data.layouts.tree import Tree, below, named_like_picture
from striate.data.layouts.voc import annotation_of, counted, edges
from striate.data.sources import Files
from striate.data.targets import Labels
from striate.errors import DataError

SYNSET = re.compile(r"n\d{8}")
_VAL = re.compile(r"ILSVRC\d{4}_val_(\d{8})\.\w+", re.IGNORECASE)
_BASES = ("", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC", "CLS-LOC")
_NAMES = ("LOC_synset_mapping.txt", "synset_words.txt", "map_clsloc.txt")
_MAP = "map_clsloc.txt"  # "n02119789 1 kit_fox": a synset, its number in the challenge, its name
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_SOLUTION = "LOC_{split}_solution.csv"
_SOLUTIONS = frozenset(_SOLUTION.format(split=split) for split in ("train", "val"))
_BOXES = "Annotations/CLS-LOC"
_LISTED = 3

Box = tuple[str, Corners]  # synset and corners


class Found(NamedTuple):
    """Where things lie.

    Attributes:
        base: the folder of train and val.
        train: the pictures of each synset.
        val: pictures without a folder of their class, in order.
        files: of the root and the folders above and beside the data, by their plain names.
        boxes: the folder of XML files, "" where there is none.
    """

    base: str
    train: Mapping[str, Sequence[str]]
    val: Sequence[str]
    files: Mapping[str, str]
    boxes: str

    @property
    def tops(self) -> frozenset[str]:
        """The names at the top that are used."""
        first = [name for names in self.train.values() for name in names[:1]]
        used = [*first, *self.val[:1], *self.files.values(), *([self.boxes] if self.boxes else [])]
        return frozenset(name.partition("/")[0] for name in used)


def find(tree: Tree) -> Candidate | None:
    """Synset folders of training pictures, and validation pictures that lie in none."""
    for base in _BASES:
        if _is_folder(tree, base) and (found := _found(tree, base)):
            break
    else:
        return None
    count = sum(map(len, found.train.values())) + len(found.val)
    boxed = bool(found.boxes) or not _SOLUTIONS.isdisjoint(found.files)
    asked = tree.options.task == LOCALISE
    why = f"{shown(below(base, 'val'))}/ holds pictures of the ImageNet challenge beside synset folders"
    read = partial(_localised if asked else _classified, tree, found)
    tasks = ("classify", LOCALISE) if boxed else ("classify",)
    return Candidate("ImageNet", count, found.tops, read, why, tasks=tasks)


def _is_folder(tree: Tree, name: str) -> bool:
    """Whether a folder is there, looked for from the root down, so that no link is followed."""
    parts = name.split("/") if name else []
    return all(
        below("/".join(parts[:k]), part) in tree.folders("/".join(parts[:k]))
        for k, part in enumerate(parts)
    )


def _found(tree: Tree, base: str) -> Found | None:
    train, val = below(base, "train"), below(base, "val")
    folders = tree.folders(base)
    if train not in folders or val not in folders:
        return None
    synsets = [name for name in tree.folders(train) if SYNSET.fullmatch(name.rpartition("/")[2])]
    flat = tree.pictures(val)
    if len(synsets) < 2 or not flat:
        return None
    above = ["", *(b for b in ("ILSVRC", base, val, "devkit", "devkit/data") if b)]
    above += [name for name in tree.folders() if "devkit" in name.lower()]
    above += [below(name, "data") for name in above if "devkit" in name.lower()]
    above += ["ImageSets/CLS-LOC", "ILSVRC/ImageSets/CLS-LOC"]
    files = {
        name.rpartition("/")[2]: name
        for place in dict.fromkeys(above)
        if _is_folder(tree, place)
        for name in tree.files(place)
        if name.endswith((".txt", ".csv"))
    }
    pictures = [name for name in flat if _VAL.fullmatch(name.rpartition("/")[2])]
    if not pictures:  # of other names: those that a list says
        pictures = _listed(tree, files, flat)
    if not pictures:
        return None
    boxes = [name for name in (_BOXES, f"ILSVRC/{_BOXES}") if _is_folder(tree, name)]
    held = {name.rpartition("/")[2]: tree.pictures(name) for name in synsets}
    return Found(base, held, pictures, files, boxes[0] if boxes else "")


def _listed(tree: Tree, files: Mapping[str, str], flat: Sequence[str]) -> list[str]:
    """The pictures of val, where a text file says a label for one of them by its name."""
    stems = {_stem(name) for name in flat}
    for plain, name in files.items():
        if plain not in (*_NAMES, _TRUTH) and plain.endswith(".txt"):
            pairs = [line.split() for _, line in documents.read_lines(tree.root / name)]
            if any(len(pair) == 2 and _stem(pair[0]) in stems for pair in pairs):
                return list(flat)
    return []


# ----------------------------------------------------------------------------------------- labels


def _classified(tree: Tree, found: Found) -> Listing:
    """A class for each picture.

    Raises:
        DataError: nothing says the classes of val, or what says them does not fit.
    """
    synsets = sorted(found.train)
    words, of_val = _labels_of_val(tree, found)
    code = {name: k for k, name in enumerate(synsets)}
    strange = next((i for i, synset in enumerate(of_val) if synset and synset not in code), None)
    if strange is not None:
        raise DataError(
            f"{words}: {shown(found.val[strange])} is of {shown(of_val[strange])}, of which train has no folder: add it, or "
            f"leave its pictures out"
        )
    empty = next((name for name in synsets if not found.train[name]), "")
    if empty:
        raise DataError(
            f"the synset {empty} has no pictures in train: add some, or leave it out with ignore={empty}"
        )
    parts: dict[str, Part] = {}
    known = [(name, of_val[i]) for i, name in enumerate(found.val) if of_val[i]]
    of_train = [(name, synset) for synset in synsets for name in found.train[synset]]
    for split, pairs in (("train", of_train), ("val", known)):
        names = tuple(name for name, _ in pairs)
        labels = np.array([code[synset] for _, synset in pairs], np.int64)
        files = Files(tree.root, names, tree.options.limits)
        parts[split] = Part(tuple(map(shown, names)), Labels(labels), files)
    ignored = Counter(_unlabelled(tree, found))
    ignored.update({"pictures of val without a label": len(found.val) - len(known)})
    named = _named(tree, found, synsets)
    return Listing("ImageNet", named, parts, +ignored, f"the labels of val are those of {words}")


def _unlabelled(tree: Tree, found: Found) -> dict[str, int]:
    test = below(found.base, "test")
    there = test in tree.folders(found.base)
    return {f"{shown(test)}/ without labels": len(tree.pictures(test))} if there else {}


def _labels_of_val(tree: Tree, found: Found) -> tuple[str, list[str]]:
    """Where the labels of val stand, and the synset of each picture; "" where it has none.

    Raises:
        DataError: nothing says them, or it does not fit the pictures.
    """
    solution = found.files.get(_SOLUTION.format(split="val"))
    if solution:
        held = {name: boxes[0][0] for name, boxes in _solutions(tree, solution) if boxes}
        return shown(solution), [held.get(_stem(name), "") for name in found.val]
    lists = [
        name
        for plain, name in found.files.items()
        if plain not in (*_NAMES, _TRUTH) and plain.endswith(".txt")
    ]
    for name in lists:
        lines = [line for _, line in documents.read_lines(tree.root / name)]
        if (
            lines
            and all(SYNSET.fullmatch(line) for line in lines)
            and len(lines) > len(found.train)
            and all(map(_number, found.val))
        ):
            return shown(name), _in_order(found, lines, name)
    for name in lists:
        if (labels := _pairs(tree, found, name)) is not None:
            return shown(name), labels
    if _TRUTH in found.files:
        return shown(found.files[_TRUTH]), _by_number(tree, found)
    if found.boxes and _is_folder(tree, below(found.boxes, "val")):
        where = below(found.boxes, "val")
        return f"{shown(where)}/", [_first_object(tree, below(where, _stem(n))) for n in found.val]
    raise DataError(
        f"{shown(tree.name)}: nothing says the classes of the {len(found.val):,} pictures of val: add {_SOLUTION.format(split='val')}, "
        f"a file with a synset a line, or {_TRUTH} with {_MAP}"
    )


def _stem(name: str) -> str:
    """The name of a picture without folders and extension, which a list may leave out.

    >>> _stem("val/a.b.JPEG"), _stem("ILSVRC2012_val_00000001")
    ('a.b', 'ILSVRC2012_val_00000001')
    """
    plain = name.rpartition("/")[2]
    return plain.rpartition(".")[0] if named_like_picture(plain) else plain


def _number(name: str) -> int:
    """The number of a picture of val, from 1."""
    match = _VAL.fullmatch(name.rpartition("/")[2])
    return int(match[1]) if match else 0


def _in_order(found: Found, lines: Sequence[str], file: str) -> list[str]:
    """A label a line, the line's number being that of the picture.

    Raises:
        DataError: pictures without a number, or fewer lines than their numbers.
    """
    bare = next((name for name in found.val if not _number(name)), "")
    if bare:
        raise DataError(
            f"{shown(file)} has a label a line, and {shown(bare)} no number that says which is its: add a file with "
            '"name label" a line'
        )
    most = max(map(_number, found.val))
    if len(lines) < most:
        raise DataError(
            f"{shown(file)} has {len(lines):,} lines, and val a picture of number {most:,}: expected a line for each"
        )
    return [lines[_number(name) - 1] for name in found.val]


def _pairs(tree: Tree, found: Found, file: str) -> list[str] | None:
    """Labels from lines of a name and a label; None where a file is no such list.

    Lists that number the pictures themselves, as those in ImageSets do, say no classes.
    """
    pairs = [line.split() for _, line in documents.read_lines(tree.root / file)]
    stems = {_stem(name) for name in found.val}
    if not pairs or any(
        len(pair) != 2 or not ("_val_" in pair[0] or _stem(pair[0]) in stems) for pair in pairs
    ):
        return None
    labels = {_stem(name): label for name, label in pairs}
    synsets = sorted(found.train)
    if all(SYNSET.fullmatch(label) for label in labels.values()):
        return [labels.get(_stem(name), "") for name in found.val]
    if not all(label.isdecimal() for label in labels.values()):
        return None
    if [label for _, label in pairs] == [str(k + 1) for k in range(len(pairs))]:
        return None
    numbers = {name: int(label) for name, label in labels.items()}
    if max(numbers.values()) >= len(synsets):
        raise DataError(
            f"{shown(file)}: class {max(numbers.values())}, and train has {len(synsets)} synset folders, so 0 to "
            f"{len(synsets) - 1}; numbers count in the order of the synsets, from 0"
        )
    return [
        synsets[numbers[stem]] if (stem := _stem(name)) in numbers else "" for name in found.val
    ]


def _by_number(tree: Tree, found: Found) -> list[str]:
    """Labels from numbers of the challenge, which are in no order of the synsets.

    Raises:
        DataError: what gives the numbers their synsets is not there, or lacks one.
    """
    file = found.files[_TRUTH]
    lines = [line for _, line in documents.read_lines(tree.root / file)]
    if _MAP not in found.files:
        raise DataError(
            f"{shown(file)} has numbers of the challenge, which count in no order of the synsets: add {_MAP}, which gives each "
            "its synset"
        )
    rows = [line.split() for _, line in documents.read_lines(tree.root / found.files[_MAP])]
    synset = {row[1]: row[0] for row in rows if len(row) > 1}
    strange = next((k for k, line in enumerate(lines) if line not in synset), None)
    if strange is not None:
        raise DataError(
            f"{shown(file)} line {strange + 1}: {shown(lines[strange])[:40]!r} is no number of {_MAP}"
        )
    return _in_order(found, [synset[line] for line in lines], file)


def _first_object(tree: Tree, stem: str) -> str:
    """The synset of the first object of an XML file; "" where there is none."""
    try:
        root = documents.read_xml(tree.root / f"{stem}.xml")
    except DataError:
        return ""
    first = root.first("object")
    return first.word("name") if first is not None else ""


def _named(tree: Tree, found: Found, synsets: Sequence[str]) -> tuple[str, ...]:
    """The first name of each synset, with the synset where two have the same; the synsets where nothing names them."""
    file = next((found.files[name] for name in _NAMES if name in found.files), "")
    if not file:
        return tuple(synsets)
    rows = (line.split(maxsplit=1) for _, line in documents.read_lines(tree.root / file))
    words = {row[0]: row[1] for row in rows if len(row) > 1}
    if file.endswith(_MAP):
        words = {key: re.sub(r"^\d+ ", "", value).replace("_", " ") for key, value in words.items()}
    first = [words.get(name, name).split(",")[0].strip() for name in synsets]
    counts = Counter(first)
    return tuple(
        shown(name if counts[name] == 1 else f"{name} ({synset})")
        for name, synset in zip(first, synsets, strict=True)
    )


# ------------------------------------------------------------------------------------------ boxes


def _solutions(tree: Tree, file: str) -> Iterator[tuple[str, list[Box]]]:
    """The boxes of each picture of LOC_..._solution.csv.

    Raises:
        DataError: a line that is none of its form.
    """
    table = documents.read_table(tree.root / file, shown(file))
    for row in table.rows[1:]:
        name, *rest = row.cells
        words = rest[0].split() if rest else []
        try:
            yield name, [_box(words[k : k + 5]) for k in range(0, len(words), 5)]
        except (ValueError, IndexError) as error:
            raise DataError(
                f"{shown(file)} line {row.line}: {shown(' '.join(words))[:40]!r}, expected a synset and four numbers for each box"
            ) from error


def _box(words: Sequence[str]) -> Box:
    synset, *numbers = words
    x0, y0, x1, y1 = map(float, numbers)
    return synset, (x0, y0, x1, y1)


def _localised(tree: Tree, found: Found) -> Listing:
    """The pictures with boxes, and how many have none.

    Raises:
        DataError: no picture has one, or many have boxes of several classes.
    """
    ignored: Counter[str] = Counter(_unlabelled(tree, found))
    parts: dict[str, list[Annotation]] = {}
    every = {"train": [n for names in found.train.values() for n in names], "val": found.val}
    for split, names in every.items():
        each = _annotations(tree, found, split, names)
        if split == "train":
            _check_folders(each)
        parts[split] = [a for a in each if a.shapes or a.fault]
        ignored["pictures without a box"] += len(each) - len(parts[split])
    parts = {split: held for split, held in parts.items() if held}
    if "train" not in parts:
        raise DataError(
            f"{shown(tree.name)}: no picture of train has a box: add {_SOLUTION.format(split='train')}, or XML files below "
            f"{_BOXES}/train, or take --task classify"
        )
    flat = [a for held in parts.values() for a in held]
    way = counted([[s.box for s in a.shapes if s.box] for a in flat], [a.size for a in flat])
    synsets = sorted(found.train)
    named = dict(zip(synsets, _named(tree, found, synsets), strict=True))
    for a in flat:
        a.shapes = [
            s._replace(box=edges(s.box, way), label=named.get(s.label, s.label))
            for s in a.shapes
            if s.box
        ]
    reading = Annotations("ImageNet", parts, tuple(named.values()), "the synset folders of train", +ignored, [way.words])  # fmt: skip
    made = listing(tree, reading, LOCALISE)
    kinds = "; of the pictures those with a box"
    return replace(made, note=f"{made.note}{kinds}")


def _check_folders(annotations: Sequence[Annotation]) -> None:
    """A picture whose boxes are all of another synset than its folder is broken."""
    for each in annotations:
        synset, others = each.picture.split("/")[-2], {shape.label for shape in each.shapes}
        if len(others) == 1 and synset not in others:
            other = shown(others.pop())
            each.fault = (
                f"{each.at(each.shapes[0].place)}: boxes of {other} in the folder of {synset}"
            )


def _annotations(tree: Tree, found: Found, split: str, names: Sequence[str]) -> list[Annotation]:
    """What is known of the pictures of a split, from its solution or from XML files."""
    file = found.files.get(_SOLUTION.format(split=split))
    if file:
        held = dict(_solutions(tree, file))
        return [
            Annotation(name, file, [Shape(label, _stem(name), box) for label, box in held.get(_stem(name), [])])
            for name in names
        ]  # fmt: skip
    inside = below(found.boxes, split) if found.boxes else ""
    if not inside or not _is_folder(tree, inside):
        return [Annotation(name) for name in names]
    there = {e.name for e in tree.walk(inside)}
    each: list[Annotation] = []
    for name in names:
        folder = f"{_stem(name).partition('_')[0]}/" if split == "train" else ""
        xml = f"{inside}/{folder}{_stem(name)}.xml"
        each.append(annotation_of(tree, name, xml if xml in there else ""))
    return each
