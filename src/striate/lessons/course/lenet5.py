"""LeNet-5 by its table of 1998: trainable parameters and connections of every layer, recomputed."""

import numpy as np

import striate
from striate.lessons.exercise import Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Shown, Table
from striate.models.lenet_1998 import LENET5_C3
from striate.shapes.costs import conv_cost

# LeCun, Bottou, Bengio and Haffner 1998, section II.B: what the paper prints.
PRINTED = {
    "c1": (156, 122_304),
    "s2": (12, 5_880),
    "c3": (1_516, 151_600),
    "s4": (32, 2_000),
    "c5": (48_120, 48_120),
    "f6": (10_164, 10_164),
}


def by_its_table() -> Shown:
    layers = {layer.path: layer for layer in striate.measure("lenet5_1998").layers if layer.params}
    rows: list[list[object]] = []
    for path, (params, connections) in PRINTED.items():
        found = layers[path]
        size = "x".join(map(str, found.output))
        rows.append([path.upper(), size, params, found.params, connections, found.connections])
    header = [
        "layer",
        "output",
        "weights printed",
        "counted",
        "connections printed",
        "connections counted",
    ]
    return Shown([Table(header, rows)])


def one_layer() -> Shown:
    cost = conv_cost((1, 32, 32), out_channels=6, kernel_size=5)
    steps = [
        ["5 x 5 weights and a bias", 26],
        ["six maps", 6 * 26],
        ["28 x 28 places", 28 * 28 * 6 * 26],
    ]
    numbers = {"params": cost.params, "connections": cost.connections}
    return Shown([Table(["C1", "number"], steps)], numbers)


def who_reads_whom() -> Shown:
    grid = np.zeros((6, 16))
    for column, row in enumerate(LENET5_C3):
        grid[list(row), column] = 1
    reads = int(grid.sum())
    return Shown(
        [Grids({"maps of S2 (rows) read by maps of C3 (columns)": grid})],
        {"reads": reads, "params": reads * 25 + 16, "full": 6 * 16 * 25 + 16},
    )


def parameters(inputs: int, outputs: int, kernel: int) -> int:
    """Of a convolution with a bias, as `striate.shapes` counts them."""
    return conv_cost((inputs, 32, 32), out_channels=outputs, kernel_size=kernel).params


def cases(rng: np.random.Generator) -> list[Case]:
    drawn = [rng.integers((2, 5, 2), (64, 129, 8)).tolist() for _ in range(5)]
    rows = [(1, 6, 5), (6, 16, 5), *map(tuple, drawn)]
    return [dict(zip(("inputs", "outputs", "kernel"), row, strict=True)) for row in rows]


LESSON = Lesson(
    "lenet5",
    (one_layer, by_its_table, who_reads_whom),
    (
        Exercise(
            "parameters",
            ("inputs", "outputs", "kernel"),
            parameters,
            cases,
            (
                Mistake(
                    "bias_forgotten",
                    instead=lambda c: c["inputs"] * c["outputs"] * c["kernel"] ** 2,
                ),
                Mistake("inputs_forgotten", lambda c: {**c, "inputs": 1}),
                Mistake(
                    "kernel_once", instead=lambda c: c["outputs"] * (c["inputs"] * c["kernel"] + 1)
                ),
                Mistake(
                    "one_bias", instead=lambda c: c["inputs"] * c["outputs"] * c["kernel"] ** 2 + 1
                ),
                Mistake(
                    "bias_per_input",
                    instead=lambda c: c["inputs"] * c["outputs"] * (c["kernel"] ** 2 + 1),
                ),
            ),
        ),
    ),
)
