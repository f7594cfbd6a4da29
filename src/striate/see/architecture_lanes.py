"""The inside of a stage on a grid: columns are steps of the way through it, lanes are ways beside each other.

A connection over several columns passes through cells of its own, so that no line goes through a layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

ENTRY = -1  # what the stage reads


@dataclass(frozen=True)
class Cell:
    """A place on the grid, the first column being 1."""

    column: int
    lane: int


@dataclass(frozen=True)
class Lanes:
    """Where each layer stands, and through which cells each connection (from, to) passes."""

    places: tuple[Cell, ...]
    ways: dict[tuple[int, int], tuple[Cell, ...]]
    columns: int
    lanes: int


@dataclass(eq=False)  # two lanes that hold the same columns are two lanes
class _Lane:
    taken: set[int] = field(default_factory=set[int])


class _Grid:
    """Lanes in their order from top to bottom; a new one is put in below the one it branches from."""

    def __init__(self) -> None:
        self.order: list[_Lane] = [_Lane()]

    def free(self, columns: Sequence[int], near: _Lane) -> _Lane:
        """A lane whose cells of these columns are free: the same, one next to it, or a new one."""
        at = self.order.index(near)
        for lane in (near, *self.order[at + 1 : at + 2], *self.order[max(0, at - 1) : at]):
            if not lane.taken & set(columns):
                lane.taken |= set(columns)
                return lane
        while at + 1 < len(self.order) and min(columns) in self.order[at + 1].taken and self._young(at + 1, columns):  # fmt: skip
            at += 1
        made = _Lane(set(columns))
        self.order.insert(at + 1, made)
        return made

    def _young(self, at: int, columns: Sequence[int]) -> bool:
        """Whether a lane begins where the new one does, so that branches keep their order."""
        return min(self.order[at].taken) == min(columns)


def lanes(inputs: Sequence[Sequence[int]]) -> Lanes:
    """A grid for layers in an order in which each comes after those it reads.

    Args:
        inputs: of each layer those it reads, -1 for what the stage reads.
    """
    column = {ENTRY: 0}
    for index, read in enumerate(inputs):
        column[index] = 1 + max((column[i] for i in read), default=0)
    rest = _heights(inputs)
    grid = _Grid()
    lane_of: dict[int, _Lane] = {ENTRY: grid.order[0]}
    heirs: set[int] = set()  # layers whose lane a follower has taken over
    passing: dict[tuple[int, int], tuple[_Lane, list[int]]] = {}
    order = sorted(range(len(inputs)), key=lambda i: column[i])
    for at in range(max(column.values()) + 1):
        here = [i for i in order if column[i] == at] if at else [ENTRY]
        for index in here if at else ():
            _inherit(index, inputs, column, lane_of, heirs)
        for index in here:
            if index not in lane_of:
                before = [i for i in inputs[index] if column[i] == at - 1] or list(inputs[index])
                lane_of[index] = grid.free([at], lane_of[before[0]] if before else grid.order[0])
        for index in here:
            for reader in sorted((i for i in order if index in inputs[i]), key=lambda i: -rest[i]):
                between = list(range(at + 1, column[reader]))
                if between:
                    passing[index, reader] = (grid.free(between, lane_of[index]), between)
    number = {id(lane): i for i, lane in enumerate(grid.order)}
    places = tuple(Cell(column[i], number[id(lane_of[i])]) for i in range(len(inputs)))
    ways = {(i, j): () for j, read in enumerate(inputs) for i in read} | {
        edge: tuple(Cell(c, number[id(lane)]) for c in between)
        for edge, (lane, between) in passing.items()
    }
    return Lanes(places, ways, max(column.values()), len(grid.order))


def _inherit(
    index: int,
    inputs: Sequence[Sequence[int]],
    column: dict[int, int],
    lane_of: dict[int, _Lane],
    heirs: set[int],
) -> None:
    """Give a layer the lane of the first one it reads in the column before which no other follows yet."""
    for source in inputs[index]:
        lane = lane_of[source]
        nearest = column[source] == column[index] - 1
        if nearest and source not in heirs and column[index] not in lane.taken:
            heirs.add(source)
            lane.taken.add(column[index])
            lane_of[index] = lane
            return


def _heights(inputs: Sequence[Sequence[int]]) -> list[int]:
    """How many layers lie between each layer and the end of the stage."""
    heights = [0] * len(inputs)
    for index in range(len(inputs) - 1, -1, -1):
        for source in inputs[index]:
            if source != ENTRY:
                heights[source] = max(heights[source], heights[index] + 1)
    return heights
