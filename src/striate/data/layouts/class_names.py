"""Names of classes from a file beside the data: a name a line, with or without its number or its colour."""

import re
from dataclasses import dataclass
from pathlib import Path

from striate.data import files
from striate.data.files import shown
from striate.data.layouts.tree import Tree, below
from striate.errors import DataError

FILES = (
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
_LARGEST = 2**20  # bytes
_HEADERS = {"name", "names", "class", "classes", "label", "labels", "class name", "class_name"}


@dataclass(frozen=True)
class Names:
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


def beside(tree: Tree, folders: list[str]) -> Names | None:
    """The names from the first known file in one of these folders.

    Raises:
        DataError: the file cannot be read, or names one class twice.
    """
    for folder in folders:
        there = {name.rpartition("/")[2].lower(): name for name in tree.files(folder)}
        for name in FILES:
            if name in there:
                return read(tree.root, there[name])
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


def read(root: Path, name: str) -> Names:
    """What a file says.

    Raises:
        DataError: it cannot be read, is empty, or names one class twice.
    """
    try:
        text = files.read(root / name, most=_LARGEST).decode("utf-8-sig")
    except (DataError, UnicodeDecodeError) as error:
        raise DataError(
            f"{shown(root / name)}: the names of classes cannot be read ({error})"
        ) from None
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("# ")]
    found = _colored(lines) or _numbered(lines) or _plain(lines)
    if not found:
        raise DataError(f"{shown(root / name)} holds no names of classes, expected one a line")
    names = tuple(shown(each) for each, _ in found)
    twice = next((each for i, each in enumerate(names) if each in names[:i]), None)
    if twice is not None:
        raise DataError(f"{shown(root / name)} names the class {twice} twice")
    values = tuple(value for _, value in found if value is not None)
    colors = bool(_colored(lines))
    return Names(name, names, values if len(values) == len(names) else None, colors)


Rows = list[tuple[str, int | None]]


def _colored(lines: list[str]) -> Rows:
    """Lines with three numbers from 0 to 255, or #rrggbb, beside a name; a first line without them is a header."""
    rows = [_color(line) for line in lines]
    rows = rows[1:] if rows and rows[0] is None else rows
    sound = [row for row in rows if row is not None]
    return [*sound] if sound and len(sound) == len(rows) else []


def _color(line: str) -> tuple[str, int] | None:
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


def _numbered(lines: list[str]) -> Rows:
    """Lines with one number before or behind a comma, colon or tab; or a number and a name after a space."""
    first = [re.fullmatch(r"(\d+)(?:\s*[,;:\t]\s*|\s+)(\S.*)", line) for line in lines]
    last = [re.fullmatch(r"(\S.*?)\s*[,;:\t]\s*(\d+)", line) for line in lines]
    for rows, number, name in ((first, 1, 2), (last, 2, 1)):
        rest = rows[1:] if rows and rows[0] is None else rows
        sound = [row for row in rest if row is not None]
        if sound and len(sound) == len(rest):
            return [(row[name].strip(" \t,;:"), int(row[number])) for row in sound]
    return []


def _plain(lines: list[str]) -> Rows:
    names = [line.strip(" \t,;") for line in lines]
    if names and names[0].lower() in _HEADERS:
        names = names[1:]
    return [(name, None) for name in names if name]
