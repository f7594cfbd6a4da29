"""Draws docs/rooms.svg from the imports: a box a room, in the order of pyproject.toml, with a line to each that it imports.

python docs/rooms.py
"""

import tomllib
from pathlib import Path

import grimp

from striate import svg

HERE = Path(__file__).parent
WIDE, HIGH, GAP, MARGIN = 92, 26, 10, 12
ROW = HIGH + 26


def layers() -> list[list[str]]:
    """The rooms of each layer, those of the top first; rooms that do not exist yet are left out."""
    settings = tomllib.loads((HERE.parent / "pyproject.toml").read_text())
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    rows = ([room.strip() for room in row.split("|")] for row in contract["layers"])
    return [kept for row in rows if (kept := [r for r in row if not r.startswith("(")])]


def imports(rooms: list[str]) -> set[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second."""
    graph = grimp.build_graph("striate", include_external_packages=False)
    found = set[tuple[str, str]]()
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            pair = tuple(f"{name}.".split(".")[1] for name in (module, other))
            if pair[0] != pair[1] and set(pair) <= set(rooms):
                found.add((pair[0], pair[1]))
    return found


def picture() -> str:
    """The whole picture."""
    rows = layers()
    width = max(len(row) for row in rows) * (WIDE + GAP) - GAP + 2 * MARGIN
    places: dict[str, tuple[float, float]] = {}
    for y, row in enumerate(rows):
        left = (width - len(row) * (WIDE + GAP) + GAP) / 2
        places |= {room: (left + x * (WIDE + GAP), MARGIN + y * ROW) for x, room in enumerate(row)}
    lines = [
        svg.tag(
            "line",
            svg.tip(f"{upper} imports {lower}"),
            {
                "x1": places[upper][0] + WIDE / 2, "y1": places[upper][1] + HIGH,
                "x2": places[lower][0] + WIDE / 2, "y2": places[lower][1], "class": "way",
            },
        )
        for upper, lower in sorted(imports(list(places)))
    ]  # fmt: skip
    boxes = [
        svg.tag("rect", "", {"x": x, "y": y, "width": WIDE, "height": HIGH, "class": "room"})
        + svg.text(room, x + WIDE / 2, y + 17, "mid")
        for room, (x, y) in places.items()
    ]
    style = (
        f"svg {{ {svg.variables()} background: var(--paper); }} "
        f"@media (prefers-color-scheme: dark) {{ svg {{ {svg.variables(dark=True)} }} }} "
        "text { font: 12px sans-serif; fill: var(--ink); } .mid { text-anchor: middle; } .room { fill: var(--panel); stroke: var(--rule); } "
        ".way { stroke: var(--held); stroke-opacity: 0.25; }"
    )
    height = MARGIN + len(rows) * ROW
    whole = svg.tag("style", style) + "".join(lines) + "".join(boxes)
    shape = {"viewBox": f"0 0 {width} {height}", "width": width, "height": height}
    return svg.tag("svg", whole, {"xmlns": "http://www.w3.org/2000/svg", **shape}) + "\n"


if __name__ == "__main__":
    (HERE / "rooms.svg").write_text(picture())
