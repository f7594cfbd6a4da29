"""What is inside the net: its first kernels, its feature maps, its layers and what they cost."""

from typing import Any

from striate.see import Kernels, Maps
from striate.tasks import Section, Tile
from striate.tasks.section import (
    Beside,
    Column,
    Figure,
    Fold,
    Gallery,
    Legend,
    Part,
    Scale,
    Table,
    Text,
)
from striate.text import number, size
from striate.workbench.report.content import Content

TALL = 24  # layers from which on their table scrolls


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
        f"For an input of {' and '.join(size(shape) for shape in inputs)}. One multiply-add (MAC) counts one; bars "
        "are shares of the whole net."
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


def _layers(layers: list[dict[str, Any]], totals: dict[str, Any]) -> Table:
    fields = any(layer.get("field") for layer in layers)
    columns = [Column("layer", "code"), Column("operation"), Column("output", "number")]
    columns += [Column("field", "number")] if fields else []
    for title in ("parameters", "MACs"):
        columns += [Column(title, "number"), Column("share", "bar", minor=True)]
    rows: list[list[Any]] = []
    for layer in layers:
        field = layer.get("field")
        row = [layer["path"], layer["op"], size(layer["output"])]
        row += [size(field["size"]) if field else ""] if fields else []
        for key in ("params", "macs"):
            count, whole = layer.get(key) or 0, totals.get(key)
            row += [count or "", count / whole if whole and count else ""]
        rows.append(row)
    blank = [""] * (3 if fields else 2)
    total = ["total", *blank, totals["params"], "", totals["macs"], ""]
    return Table(columns, rows, total=total, tall=len(rows) > TALL)
