"""What is inside the net: its first kernels, its feature maps, its layers and what they cost."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from striate.see import Kernels, Maps
from striate.tasks import Section, Tile
from striate.tasks.section import (
    Beside,
    Branch,
    Column,
    Figure,
    Fold,
    Gallery,
    Legend,
    Part,
    Scale,
    Text,
    Tree,
)
from striate.text import SPACE, compact, number, size
from striate.workbench.report.content import Content


def kernels_section(kernels: Kernels) -> Section:
    """The first kernels as tiles, with their facts."""
    facts, scale = kernels.as_dict(), number(kernels.scale)
    colored = kernels.in_colour
    painted = (
        "Red, green and blue weights are painted as colours; mid grey is zero."
        if colored
        else "Blue weights are below zero, orange ones above."
    )
    said = (
        f"{facts['shown']} of {facts['shape'][0]} kernels of {facts['path']} ({facts['op']}), each "
        f"{size(facts['shape'][1:])}. {painted} One scale for all; weights from {number(facts['min'])} to "
        f"{number(facts['max'])}."
    )
    tiles = [Tile(tile, alt=f"kernel {i}") for i, tile in enumerate(kernels.tiles(), 1)]
    scale_ = Scale(f"\N{MINUS SIGN}{scale}", f"+{scale}", "grey" if colored else "diverging")
    parts: list[Part] = [Gallery(tiles, "small"), scale_, Text(said, soft=True)]
    return Section("First kernels", parts=parts, name="Kernels")


def maps_section(maps: Maps, titles: list[str]) -> Section:
    """A few items, each with its picture and the channels of the stages."""
    said = "The first channels of each stage; within a stage one colour scale holds for all items."
    scales = Legend(
        [
            ("0 to the largest value", "sequential"),
            ("around zero, where values below it occur", "diverging"),
        ]
    )
    names = [*titles, *[""] * len(maps.inputs)]
    items = [
        Beside(
            [
                Gallery([Tile(picture, names[i], alt=names[i] or f"item {i + 1}")]),
                Beside([_stage(stage, i) for stage in maps.stages], "stages"),
            ],
            "item",
        )
        for i, picture in enumerate(maps.pictures())
    ]
    parts: list[Part] = [Text(said, soft=True), scales, *items]
    return Section("What the stages see", parts=parts, name="Feature maps")


def _stage(stage: Any, item: int) -> Gallery:
    tiles = [
        Tile(tile, alt=f"{stage.path}, channel {c}") for c, tile in enumerate(stage.tiles(item), 1)
    ]
    facts = stage.as_dict()
    reach = f"{'±' if stage.signed else '0 to '}{stage.scale:.3g}"
    return Gallery(tiles, "channels", caption=f"{facts['path']} {size(facts['shape'])}, {reach}")


def layers_section(content: Content) -> Section | None:
    """The layer table with the shares of each, and how far the weights moved."""
    if content.sheet is None:
        return None
    inputs = content.sheet.get("inputs", [])
    said = (
        f"For an input of {' and '.join(size(shape) for shape in inputs)}. One multiply-add (MAC) counts one; the exact "
        "figure is shown where the pointer rests."
    )
    parts: list[Part] = [Text(said, soft=True)] if inputs else []
    parts.append(_layers(content.sheet["layers"], content.sheet["totals"]))
    if content.movement:
        moved = (
            "Correlation of every layer's weights with those that the training began with: near 1 the layer was "
            "taken over, near 0 it was learned anew."
        )
        figure = Figure(content.movement.as_svg(), moved)
        is_open = bool(content.recipe.get("weights"))
        parts.append(Fold("How far the weights moved", [figure], open=is_open))
    return Section("Layers and costs", parts=parts)


def _layers(layers: Sequence[Mapping[str, Any]], totals: Mapping[str, Any]) -> Tree:
    """The layers by the modules that hold them, each with its sums; below two levels they are folded."""
    columns = [
        Column("operation", minor=True),
        Column("output", "number", minor=True),
        Column("parameters", "number"),
        Column("MACs", "number"),
        Column("weights", "number", minor=True),
    ]
    found = _grouped([(tuple(layer["path"].split(".")), layer) for layer in layers], ())
    return Tree(columns, found, _branch("total", [totals], "", ""))


def _grouped(
    rows: Sequence[tuple[tuple[str, ...], Mapping[str, Any]]], above: tuple[str, ...]
) -> list[Branch]:
    """Neighbours below one module are one row with them below it, wherever they are more than one."""
    found: list[Branch] = []
    depth = len(above)
    for key, group in groupby(rows, key=lambda row: row[0][depth : depth + 1]):
        some = list(group)
        name = ".".join(above + key) or "the net itself"
        deeper = [row for row in some if len(row[0]) > depth + 1]
        if len(some) == 1 or not deeper:
            found += [_leaf(path, layer) for path, layer in some]
        else:
            last = some[-1][1]
            below = _grouped(some, above + key)
            found.append(
                _branch(
                    name,
                    [layer for _, layer in some],
                    f"{len(some)} operations",
                    size(last["output"]),
                    below,
                )
            )
    return found


def _leaf(path: tuple[str, ...], layer: Mapping[str, Any]) -> Branch:
    field = layer.get("field")
    hint = f"receptive field {size(field['size'])}" if field else ""
    return _branch(
        ".".join(path) or "the net itself",
        [layer],
        str(layer["op"]),
        size(layer["output"]),
        hint=hint,
    )


def _branch(
    name: str,
    layers: Sequence[Mapping[str, Any]],
    op: str,
    output: str,
    below: Sequence[Branch] = (),
    hint: str = "",
) -> Branch:
    """A row with short sums, their exact figures beside them."""
    params, macs = (sum(layer.get(key) or 0 for layer in layers) for key in ("params", "macs"))
    cells = [
        (op, ""),
        (output, ""),
        _cell(params, "", f"{params:,} parameters"),
        _cell(macs, "MACs", f"{macs:,} multiply-adds"),
        _cell(4 * params, "B", f"{4 * params:,} bytes at 4 bytes a parameter"),
    ]
    return Branch(name, cells, below, hint)


def _cell(value: int, unit: str, exact: str) -> tuple[str, str]:
    """A number in three figures, and the exact one; empty for nothing."""
    if not value:
        return ("", "")
    joint = "" if unit == "B" and value >= 1000 else SPACE
    return (f"{compact(value)}{joint if unit else ''}{unit}", exact)
