"""What the values of masks stand for: numbers or colours, the names of classes, pixels that count nowhere.

Masks say nothing of this themselves. Names of classes come from a file beside them, a name a line with or without its
number or colour; the values are those that occur when the masks are decoded. What is concluded is said, and refused
where it would be a guess.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from striate.data import files, pictures, workers
from striate.data.files import shown
from striate.data.layouts.tree import Tree, below
from striate.data.masks import MOST, Coding, shown_value
from striate.data.pictures import Limits
from striate.data.sources import I64
from striate.data.targets import IGNORE
from striate.errors import DataError

READ = 500  # masks that are decoded to find out which values there are
_COLORS = 4096  # distinct colours up to which they are counted
_VOID = 255  # the usual number of pixels that count nowhere
_LOW = 40  # class numbers up to which 255 beside them is no class of its own
_END = 24  # values from 0 and from 255 that count as near them
_BORDERS = 0.1  # share of pixels that smeared borders between two classes may have
_FEW = 8  # values that are no smear yet
_FLAT = 16  # levels that the neighbours of a pixel within a class lie apart at most
_INSIDE = 0.1  # share of the pixels between the ends that may lie so, or they are a third class
_VOIDS = {"void", "ignore", "ignored", "unlabeled", "unlabelled", "dontcare", "don't care"}
_SHARE, _SOME = 0.01, 5  # masks with unknown values up to which they are single faults
NAME_FILES = (
    "class_dict.csv",
    "label_colors.txt",
    "labelmap.txt",
    "_classes.csv",
    "classes.csv",
    "classes.txt",
    "codes.txt",
    "class_names.txt",
    "names.txt",
    "labels.txt",
    "label_map.txt",
    "classes.names",
)
_LARGEST_NAMES = 2**20  # bytes
_HEADERS = {"name", "names", "class", "classes", "label", "labels", "class name", "class_name"}
_Rows = list[tuple[str, int | None]]  # a name, and its number or colour where the file gives one


@dataclass(frozen=True)
class ClassNames:
    """Names of classes.

    Attributes:
        file: that they stand in, relative to the root.
        names: in the order of the file.
        values: the number or colour (red * 65536 + green * 256 + blue) of each; None where the file gives none.
        colors: whether `values` are colours.
    """

    file: str
    names: tuple[str, ...]
    values: tuple[int, ...] | None = None
    colors: bool = False


def names_beside(tree: Tree, folders: list[str]) -> ClassNames | None:
    """The names from the first known file in one of these folders.

    Raises:
        DataError: the file cannot be read, or names one class twice.
    """
    for folder in folders:
        there = {name.rpartition("/")[2].lower(): name for name in tree.files(folder)}
        for name in NAME_FILES:
            if name in there:
                return read_names(tree.root, there[name])
    return None


def folders_above(paths: list[str]) -> list[str]:
    """The root and every folder on the way to these, those nearest to the root first."""
    found = {""}
    for path in paths:
        at = ""
        for part in path.split("/"):
            at = below(at, part)
            found.add(at)
    return sorted(found, key=lambda path: (path.count("/") + bool(path), path))


def read_names(root: Path, name: str) -> ClassNames:
    """What a file says.

    Raises:
        DataError: it cannot be read, is empty, or names one class twice.
    """
    try:
        text = files.read(root / name, most=_LARGEST_NAMES).decode("utf-8-sig")
    except (DataError, UnicodeDecodeError) as error:
        raise DataError(
            f"{shown(root / name)}: the names of classes cannot be read ({error})"
        ) from None
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("# ")]
    found = _colored_names(lines) or _numbered_names(lines) or _plain_names(lines)
    if not found:
        raise DataError(f"{shown(root / name)} holds no names of classes, expected one a line")
    names = tuple(shown(each) for each, _ in found)
    twice = next((each for i, each in enumerate(names) if each in names[:i]), None)
    if twice is not None:
        raise DataError(f"{shown(root / name)} names the class {twice} twice")
    values = tuple(value for _, value in found if value is not None)
    colors = bool(_colored_names(lines))
    return ClassNames(name, names, values if len(values) == len(names) else None, colors)


def _colored_names(lines: list[str]) -> _Rows:
    """Lines with three numbers from 0 to 255, or #rrggbb, beside a name; a first line without them is a header."""
    rows = [_color_name(line) for line in lines]
    rows = rows[1:] if rows and rows[0] is None else rows
    sound = [row for row in rows if row is not None]
    return [*sound] if sound and len(sound) == len(rows) else []


def _color_name(line: str) -> tuple[str, int] | None:
    hexed = re.search(r"#([0-9a-fA-F]{6})\b", line)
    plain = re.search(r"(?<![\w.])(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})(?![\w.])", line)
    found = hexed or plain
    if found is None:
        return None
    if hexed:
        value = int(hexed[1], 16)
    else:
        red, green, blue = (int(found[k]) for k in (1, 2, 3))
        if max(red, green, blue) > 255:
            return None
        value = red * 65536 + green * 256 + blue
    name = (line[: found.start()] + " " + line[found.end() :]).strip(" \t,;:")
    return (re.sub(r"\s+", " ", name), value) if name else None


def _numbered_names(lines: list[str]) -> _Rows:
    """Lines with one number before or behind a comma, colon or tab; or a number and a name after a space."""
    first = [re.fullmatch(r"(\d+)(?:\s*[,;:\t]\s*|\s+)(\S.*)", line) for line in lines]
    last = [re.fullmatch(r"(\S.*?)\s*[,;:\t]\s*(\d+)", line) for line in lines]
    for rows, number, name in ((first, 1, 2), (last, 2, 1)):
        rest = rows[1:] if rows and rows[0] is None else rows
        sound = [row for row in rest if row is not None]
        if sound and len(sound) == len(rest):
            return [(row[name].strip(" \t,;:"), int(row[number])) for row in sound]
    return []


def _plain_names(lines: list[str]) -> _Rows:
    names = [line.strip(" \t,;") for line in lines]
    if names and names[0].lower() in _HEADERS:
        names = names[1:]
    return [(name, None) for name in names if name]


@dataclass
class ValueCounts:
    """What the masks that were read hold.

    Attributes:
        pixels: of each value: grey levels, palette indices, or colours.
        masks: in how many masks each value occurs.
        first: a mask that holds it.
        colored: masks with colours in them.
        palettes: the colour of each palette index, by file.
        jpeg: the first mask that is a JPEG, or "".
        count: masks that could be read.
        many: the first mask with more colours than can be counted.
        flat: pixels far from 0 and 255 whose neighbours are about the same.
    """

    pixels: Counter[int] = field(default_factory=Counter[int])
    masks: Counter[int] = field(default_factory=Counter[int])
    first: dict[int, str] = field(default_factory=dict[int, str])
    colors: Counter[int] = field(default_factory=Counter[int])
    color_masks: Counter[int] = field(default_factory=Counter[int])
    colored: int = 0
    palettes: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    jpeg: str = ""
    count: int = 0
    many: str = ""
    flat: int = 0


@dataclass(frozen=True)
class MaskValues:
    """The values of one mask: pixels of each number, of each colour where it has colours; () where they are too many."""

    name: str
    numbers: dict[int, int]
    colors: dict[int, int] | None
    palette: dict[int, int]
    jpeg: bool
    flat: int


@dataclass(frozen=True)
class Meaning:
    """How masks are decoded, the names of their classes, and what was concluded, in words."""

    coding: Coding
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def count_values(root: Path, names: Sequence[str], limits: Limits) -> ValueCounts:
    """The values of all masks, or of `READ` of them spread evenly; broken ones are passed over.

    Raises:
        DataError: none of them can be read; with the reason of the first.
    """
    index = np.arange(len(names))
    if len(names) > READ:
        index = np.unique(np.linspace(0, len(names) - 1, READ).astype(np.int64))
    failed: list[str] = []

    def work(numbers: I64) -> list[MaskValues]:
        read: list[MaskValues] = []
        for i in workers.each(numbers):
            try:
                read.append(_mask_values(names[i], files.read(root / names[i]), limits))
            except DataError as error:
                failed.append(f"{shown(names[i])}: {error}")
        return read

    found = ValueCounts()
    for done in workers.in_order(work, workers.chunks_of(index, 16), named=lambda i: names[i]):
        for mask in done.result:
            _add(found, mask)
    if not found.count:
        raise DataError(f"none of {len(index):,} masks can be read: {failed[0]}")
    return found


def _mask_values(name: str, data: bytes, limits: Limits) -> MaskValues:
    im = pictures.loaded(data, limits)
    jpeg = pictures.format_of(data[:16], ("JPEG",)) is not None
    palette: dict[int, int] = {}
    colors: dict[int, int] | None = {}
    if im.mode == "P":
        numbers = _histogram(im)
        palette = _palette(im, numbers)
        colors = {}
        for k, count in numbers.items():
            colors[palette[k]] = colors.get(palette[k], 0) + count
    elif im.mode in ("L", "LA", "La"):
        numbers = _histogram(im.getchannel(0))
    elif im.mode in ("1", "I", "I;16", "I;16L", "I;16B", "I;16N"):
        values, counts = np.unique(np.asarray(im).astype(np.int64), return_counts=True)
        numbers = dict(zip(values.tolist(), counts.tolist(), strict=True))
    elif im.mode in ("RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "PA", "RGBa"):
        numbers, colors = _of_colors(im.convert("RGB"))
    else:
        raise DataError(
            f"a mask of mode {im.mode}, where numbers or colours of classes are expected"
        )
    flat = _flat(im) if len(numbers) > _FEW and not palette else 0
    return MaskValues(name, numbers, colors, palette, jpeg, flat)


def _flat(im: Image.Image) -> int:
    """Pixels between the ends whose neighbours are about the same: the inside of a class, not a smeared border."""
    grey = np.asarray(im.convert("L"), np.int16)
    if min(grey.shape) < 3:
        return 0
    around = np.lib.stride_tricks.sliding_window_view(grey, (3, 3))
    middle = grey[1:-1, 1:-1]
    even = around.max((2, 3)) - around.min((2, 3)) <= _FLAT
    return int(np.count_nonzero(even & (middle > _END) & (middle < 255 - _END)))


def _histogram(im: Image.Image) -> dict[int, int]:
    return {k: count for k, count in enumerate(im.histogram()[:256]) if count}


def _palette(im: Image.Image, used: dict[int, int]) -> dict[int, int]:
    flat = (im.getpalette("RGB") or []) + [0] * 768
    return {k: flat[3 * k] * 65536 + flat[3 * k + 1] * 256 + flat[3 * k + 2] for k in used}


def _of_colors(rgb: Image.Image) -> tuple[dict[int, int], dict[int, int] | None]:
    """Grey levels where all colours are grey, else none; and colours, None where they are too many."""
    found = rgb.getcolors(_COLORS)
    if found is None:
        return {}, None
    triples = {colour: count for count, colour in found}  # pyright: ignore[reportAssignmentType]
    colors = {r * 65536 + g * 256 + b: n for (r, g, b), n in triples.items()}  # pyright: ignore[reportGeneralTypeIssues]
    if all(value == (value & 255) * 65793 for value in colors):
        return {value & 255: count for value, count in colors.items()}, {}
    return {}, colors


def _add(found: ValueCounts, mask: MaskValues) -> None:
    found.count += 1
    found.flat += mask.flat
    if mask.jpeg and not found.jpeg:
        found.jpeg = mask.name
    if mask.colors is None:
        found.many = found.many or mask.name
    elif mask.colors:
        found.colors.update(mask.colors)
        found.color_masks.update(mask.colors.keys())
        found.colored += not mask.palette
        for value in mask.colors:
            found.first.setdefault(-1 - value, mask.name)
    for k, colour in mask.palette.items():
        found.palettes.setdefault(k, set()).add(colour)
    found.pixels.update(mask.numbers)
    found.masks.update(mask.numbers.keys())
    for value in mask.numbers:
        found.first.setdefault(value, mask.name)


def meaning(found: ValueCounts, names: ClassNames | None, void: str | None) -> Meaning:
    """What the values stand for.

    Args:
        found: which there are.
        names: of classes, from a file.
        void: the value that counts nowhere, as typed: a number, #rrggbb or "none"; None where nobody said.

    Raises:
        DataError: smeared values, more than can be classes, or values that the names do not cover.
    """
    if found.many:
        raise DataError(
            f"{shown(found.many)} has more than {_COLORS:,} colours, so that they are no classes: {_advice(found)}"
        )
    moving = any(len(colours) > 1 for colours in found.palettes.values())
    colors = bool(found.colored) or moving or _are_colors(found, names)
    if colors and not found.palettes:
        found = _grey_as_colors(found)
    notes = [
        "indices of the palettes mean other colours in other files: colours are taken"
    ] * moving
    values = found.colors if colors else found.pixels
    given = _void(void, colors=colors)
    if given is None and void is None and not colors:
        given = _void_of(found, names)
        notes += [f"{_VOID} counts nowhere (layout=masks:ignore=none makes it a class)"] * (
            given is not None
        )
    counted = {value: n for value, n in values.items() if value != given}
    smeared = None if colors else _smeared_middle(counted, found, names)
    if smeared is not None:
        return _two_smeared_classes(smeared, names, notes)
    _refuse_many(counted, found, colors=colors)
    table, classes = _with_names(sorted(counted), names, found, colors=colors)
    if names is not None:
        table, classes, given, void_notes = _without_void(
            table, classes, given, asked=void is not None
        )
        notes += void_notes
    if len(classes) < 2:
        only = ", ".join(shown_value(value, colors=colors) for value in counted) or "none"
        raise DataError(
            f"all masks hold one value only ({only}): at least two are needed to tell apart"
        )
    if given is not None:
        table = (*table, (given, IGNORE))
    elif names is None and void is None and len(classes) > 2:
        notes.append(
            "no classes.txt names the values; one that counts nowhere is left out with layout=masks:ignore=VALUE; where they "
            "number single objects, give task=instances"
        )
    return Meaning(Coding(colors, tuple(table)), classes, tuple(notes))


def _are_colors(found: ValueCounts, names: ClassNames | None) -> bool:
    """Whether a file gives colours, and those are the colours of the palettes or the grey levels of the masks."""
    if names is None or not names.colors or names.values is None:
        return False
    used = set(found.colors) if found.palettes else {value * 65793 for value in found.pixels}
    return bool(used) and used <= set(names.values)


def _grey_as_colors(found: ValueCounts) -> ValueCounts:
    """Grey masks among coloured ones: their levels are colours too."""
    for value, count in found.pixels.items():
        found.colors[value * 65793] += count
        found.color_masks[value * 65793] += found.masks[value]
    return found


def _void(text: str | None, *, colors: bool) -> int | None:
    """The value that counts nowhere, as it was typed."""
    if text is None or text == "none":
        return None
    try:
        value = int(text.removeprefix("#"), 16) if text.startswith("#") else int(text)
    except ValueError:
        raise DataError(f"layout=masks:ignore={text}: expected a number, #rrggbb or none") from None
    return value * 65793 if colors and not text.startswith("#") else value


def _void_of(found: ValueCounts, names: ClassNames | None) -> int | None:
    """255 where it stands beside class numbers; not where it is one of two values, or the brightest of some greys."""
    rest = sorted(set(found.pixels) - {_VOID})
    if _VOID not in found.pixels or len(rest) < 2 or len(rest) > _VOID - 1:
        return None
    if names is not None and (names.values is None or _VOID not in names.values):
        return _VOID if rest[-1] < max(len(names.names) + 1, 2) else None
    dense = rest[-1] + 1 <= 4 * len(rest) and rest[-1] < _VOID - _LOW
    return _VOID if found.palettes or dense or rest[-1] <= _LOW else None


def _smeared_middle(
    counted: dict[int, int], found: ValueCounts, names: ClassNames | None
) -> int | None:
    """The value between two extremes where the borders between two classes are smeared; None where none are.

    Raises:
        DataError: smeared classes that are more than two.
    """
    if len(counted) <= max(2, len(names.names) if names else 0):
        return None
    two = names is None or len(names.names) <= 2
    if two and _is_two_smeared(counted, found.flat):
        return 128
    if found.jpeg:
        raise DataError(
            f"{shown(found.jpeg)} is a JPEG, which smears class numbers: the masks hold {len(counted)} values from "
            f"{min(counted)} to {max(counted)}; save masks as PNG"
        )
    return None


def _is_two_smeared(counted: dict[int, int], flat: int) -> bool:
    """Whether values from 0 to 255 gather at both ends, with no third place between where many lie."""
    counts = np.zeros(256)
    if min(counted) > _END or not 255 - _END <= max(counted) <= 255:
        return False
    counts[list(counted)] = list(counted.values())
    between = counts[_END + 1 : 255 - _END]
    upper_peak = 128 + int(np.argmax(counts[128:]))
    smear = float(between.sum())
    return bool(
        np.count_nonzero(counts) > _FEW
        and smear <= _BORDERS * counts.sum()
        and flat <= _INSIDE * smear
        and upper_peak >= 255 - _END
    )


def _advice(found: ValueCounts) -> str:
    if found.jpeg:
        return f"{shown(found.jpeg)} is a JPEG, which smears them; save masks as PNG"
    return "they were smoothed when they were resized, or are no masks; save masks as PNG, without smoothing"


def _two_smeared_classes(middle: int, names: ClassNames | None, notes: list[str]) -> Meaning:
    """Two classes whose values are smeared: below and above the middle."""
    table = tuple((value, int(value >= middle)) for value in range(256))
    classes = names.names if names is not None else ("0", "255")
    classes = ("background", *classes) if len(classes) == 1 else classes
    note = f"the borders of the masks are smeared: values under {middle} are {classes[0]}, the others {classes[1]}"
    return Meaning(Coding(colors=False, table=table), classes, (*notes, note))


def _refuse_many(counted: dict[int, int], found: ValueCounts, *, colors: bool) -> None:
    """More values than classes can have."""
    what = "colours" if colors else "values"
    if len(counted) > (_FEW if colors and found.jpeg else MOST):
        raise DataError(
            f"the masks hold {len(counted):,} {what}, too many to be classes: {_advice(found)}"
        )


Table = tuple[tuple[int, int], ...]


def _with_names(
    values: list[int], names: ClassNames | None, found: ValueCounts, *, colors: bool
) -> tuple[Table, tuple[str, ...]]:
    """Pairs of value and class number, and the names of the classes."""
    if names is None:
        classes = tuple(shown_value(value, colors=colors) for value in values)
        return tuple((value, k) for k, value in enumerate(values)), classes
    known = _values_of(names, values, colors=colors)
    strange = [value for value in values if value not in known]
    counts = found.color_masks if colors else found.masks
    often = [v for v in strange if counts[v] > max(_SOME, _SHARE * found.count)] or (
        strange if not set(values) & set(known) else []
    )
    if often:
        value = often[0]
        where = found.first.get(-1 - value if colors else value, "")
        raise DataError(
            f"{shown(names.file)} has no class for the value {shown_value(value, colors=colors)}, which "
            f"{counts[value]:,} of {found.count:,} masks hold ({shown(where)}): add it, or leave its pixels out with "
            f"layout=masks:ignore={shown_value(value, colors=colors)}"
        )
    return tuple(known.items()), _all_names(names, known)


def _all_names(names: ClassNames, known: dict[int, int]) -> tuple[str, ...]:
    extra = len(set(known.values())) - len(names.names)
    return ("background", *names.names) if extra == 1 else names.names


def _without_void(
    table: Table, classes: tuple[str, ...], given: int | None, *, asked: bool
) -> tuple[Table, tuple[str, ...], int | None, list[str]]:
    """The same without the class that counts nowhere: that of the value that was given, or the one called void."""
    known, void_notes = dict(table), list[str]()
    voids = [k for k, name in enumerate(classes) if name.lower() in _VOIDS]
    if given is None and not asked and len(voids) == 1 and len(classes) > 2:
        given = next((value for value, k in table if k == voids[0]), None)
        void_notes = [
            f"{classes[voids[0]]} counts nowhere (layout=masks:ignore=none makes it a class)"
        ]
    if given not in known:
        return table, classes, given, void_notes
    gone = known.pop(given)
    left = tuple((value, k - (k > gone)) for value, k in known.items())
    return left, tuple(name for k, name in enumerate(classes) if k != gone), given, void_notes


def _values_of(names: ClassNames, values: list[int], *, colors: bool) -> dict[int, int]:
    """Value -> class number, by the colours or numbers of a file, else by the order of its names."""
    count = len(names.names)
    if names.values is not None and names.colors == colors:
        return {value: k for k, value in enumerate(names.values)}
    if names.values is not None and not names.colors and not colors:
        return {value: k for k, value in enumerate(names.values)}
    if colors:
        raise DataError(
            f"the masks are in colours and {shown(names.file)} names no colours: write name,r,g,b a line into it"
        )
    two = len(values) == 2 and values[1] >= 128  # 0 and 255: the order of the names
    if two and count <= 2:
        return {values[0]: 0, values[1]: 1}
    top = values[-1] if values else 0
    if top == count and 0 not in values:
        return {k + 1: k for k in range(count)}
    if top == count and 0 in values and names.names[0].lower() not in ("background", "void"):
        return {k: k for k in range(count + 1)}  # 0 is the background, which the file leaves out
    return {k: k for k in range(count)}
