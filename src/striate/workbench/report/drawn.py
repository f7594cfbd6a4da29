"""From the parts of sections to what the template writes: cells as text, intervals and bars as drawings, pictures with their data."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from striate.inputs import Drawn
from striate.metrics import Interval
from striate.see import paint
from striate.svg import Axis, bar, finite, share_axis, whisker
from striate.tasks import Section
from striate.tasks.section import (
    Beside,
    Column,
    Facts,
    Figure,
    Fold,
    Gallery,
    Legend,
    Part,
    Table,
    Tile,
    Tree,
    Wrong,
)
from striate.text import DASH, number, percent, printable, setting

PIXELATED = 64  # pictures smaller than this are enlarged without smoothing
THUMBNAIL = 192  # pixels of the longer side of an embedded picture
ROW = 360  # the same of the views of one item, which are larger
SMALL = 96  # the same of a strip
OPEN = 24  # rows of a tree whose outermost branches are open
CHANNEL = 64
WIDE = 320  # the same of what is drawn in place of a picture
MATRIX = 4096  # of pixels that are cells
RIGHT = ("number", "share")  # kinds of cells that stand at the right


def sections(found: Sequence[Section]) -> list[dict[str, Any]]:
    """What the template needs of each; anchors are made of the names."""
    drawn: list[dict[str, Any]] = []
    for section in found:
        name = section.name or section.title
        taken = {each["anchor"] for each in drawn}
        drawn.append(
            {
                "title": section.title,
                "name": name,
                "anchor": _anchor(name, taken),
                "text": section.text,
                "parts": [part(each) for each in section.parts],
            }
        )
    return drawn


def _anchor(name: str, taken: set[str]) -> str:
    """Letters and numbers of a name, with a number behind where another section has them already."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "section"
    numbered = (plain if n == 1 else f"{plain}-{n}" for n in range(1, len(taken) + 2))
    return next(each for each in numbered if each not in taken)


def part(one: Part) -> dict[str, Any]:
    """One part, drawn; `part` names its macro."""
    drawn: dict[str, Any] = {"part": one.part, "one": one}
    match one:
        case Table():
            drawn |= _table(one)
        case Figure():
            drawn |= _figure(one)
        case Gallery():
            drawn["tiles"] = [_tile(tile, one.form) for tile in one.tiles]
        case Legend():
            drawn["entries"] = [_entry(*entry) for entry in one.entries]
        case Facts():
            drawn["values"] = {key: setting(value) for key, value in one.values.items()}
        case Beside():
            drawn["columns"] = [
                [part(each) for each in (column if isinstance(column, Sequence) else [column])]
                for column in one.columns
            ]
        case Fold():
            drawn["parts"] = [part(each) for each in one.parts]
        case Tree():
            drawn["open"] = sum(1 + len(row.children) for row in one.rows) <= OPEN
        case _:
            pass
    return drawn


# -------------------------------------------------------------------------------------- tables


def _table(table: Table) -> dict[str, Any]:
    """Rows of cells, those that are folded apart; every interval of a column lies on one axis."""
    axes = [_axis(table, k) for k in range(len(table.columns))]
    rows = [
        {"cells": list(_cells(row, table.columns, axes)), "marked": i in table.marked}
        for i, row in enumerate(table.rows)
    ]
    first = table.first or len(rows)
    return {
        "heads": [_head(column, axis) for column, axis in zip(table.columns, axes, strict=True)],
        "rows": rows[:first],
        "folded": rows[first:],
        "total": list(_cells(table.total, table.columns, axes)) if table.total else [],
    }


def _axis(table: Table, column: int) -> Axis | None:
    """From the ends of all known intervals of a column."""
    if table.columns[column].kind != "interval":
        return None
    cells = [row[column] for row in table.rows if isinstance(row[column], Interval)]
    ends = [end for cell in cells if cell.known for end in (cell.low, cell.high)]
    return share_axis(finite([*ends, *table.within]) or [0.0, 1.0])


def _head(column: Column, axis: Axis | None) -> dict[str, Any]:
    ends = [axis.form(axis.low), axis.form(axis.high)] if axis else []
    return {"column": column, "ends": ends, "right": column.kind in RIGHT}


def _cells(
    row: Sequence[Any], columns: Sequence[Column], axes: Sequence[Axis | None]
) -> Iterator[dict[str, Any]]:
    for value, column, axis in zip(row, columns, axes, strict=True):
        yield {"kind": column.kind, "value": _cell(value, column.kind, axis)}


def _cell(value: Any, kind: str, axis: Axis | None) -> Any:
    """What a cell shows; text is shown as it is."""
    if isinstance(value, str):
        return value
    if value is None:
        return DASH
    if kind == "interval" and axis is not None:
        known = value.known and len(finite([value.value, value.low, value.high])) == 3
        return Markup(whisker(value.value, value.low, value.high, axis)) if known else ""  # noqa: S704 - escaped by svg
    if kind == "bar":
        return Markup(bar(value))  # noqa: S704 - numbers alone
    if kind == "share":
        return percent(value)
    return number(value) if isinstance(value, int | float) else setting(value)


# ------------------------------------------------------------------------------------ pictures


def _figure(figure: Figure) -> dict[str, Any]:
    low, high = figure.widths or (0, 0)
    style = [f"min-width: {low:.0f}px"] if low else []
    style += [f"max-width: {high:.0f}px"] if high else []
    return {
        "svg": Markup(figure.svg),  # noqa: S704 - of striate.svg, which escapes every text
        "picture": None if figure.picture is None else picture_tag(figure.picture, MATRIX),
        "style": "; ".join(style),
        "legend": part(figure.legend) if figure.legend else None,
    }


def _tile(tile: Tile, form: str) -> dict[str, Any]:
    limit = {"row": ROW, "channels": CHANNEL, "strip": SMALL}.get(form, THUMBNAIL)
    pieces = [tile.title] if isinstance(tile.title, str) else tile.title
    return {
        "one": tile,
        "pieces": [(piece, isinstance(piece, Wrong)) for piece in pieces if piece],
        "alt": tile.alt or "".join(pieces) or "picture",
        "hint": tile.alt if form in ("small", "channels", "strip") else "",
        "bars": [(each, percent(each.share), Markup(bar(each.share))) for each in tile.bars],  # noqa: S704 - numbers alone
        **_shown(tile.picture, limit),
    }


def _shown(picture: NDArray[np.uint8] | Drawn, limit: int) -> dict[str, Any]:
    """A picture, or the drawing and the sound of what is none."""
    if not isinstance(picture, Drawn):
        return {"picture": picture_tag(picture, limit), "svg": "", "sound": ""}
    sound = base64.b64encode(picture.sound).decode()
    return {
        "picture": picture_tag(picture.picture, max(limit, WIDE)),
        "svg": Markup(picture.svg),  # noqa: S704 - of striate.svg, which escapes every text
        "sound": Markup(f"data:audio/wav;base64,{sound}") if sound else "",  # noqa: S704 - base64
    }


def _entry(name: str, color: tuple[int, int, int] | str) -> Mapping[str, str]:
    """A name with its swatch: a line of the drawing kit, or a colour."""
    if isinstance(color, str):
        return {"name": name, "kind": color, "color": ""}
    r, g, b = (int(channel) for channel in color)
    return {"name": name, "kind": "block", "color": f"rgb({r} {g} {b})"}


def picture_tag(pixels: NDArray[np.uint8], limit: int = THUMBNAIL) -> dict[str, Any]:
    """What an <img> needs: its data, its own size, and whether it is enlarged without smoothing."""
    from PIL import Image

    grey = pixels.ndim == 3 and pixels.shape[2] == 1
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
    small = max(picture.size) < PIXELATED
    picture.thumbnail((limit, limit))
    large = max(picture.size) > 96 or (limit == SMALL and not small)
    photo = large and picture.mode in ("L", "RGB")
    return {
        "src": Markup(paint.data_uri(picture, "JPEG" if photo else "PNG")),  # noqa: S704 - base64
        "width": picture.width,
        "height": picture.height,
        "pixelated": small or picture.mode == "RGBA",
    }


def words(value: object) -> object:
    """What every expression of the template passes through before it is escaped."""
    return value if hasattr(value, "__html__") else printable(str(value), 600)
