"""A convolution as a matrix C, its transpose, and what transposed convolution gives back: the shape, not the values."""

import numpy as np
import torch

from striate.lessons.exercise import Array, Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Shown
from striate.lessons.windows import whole
from striate.ops.conv import conv
from striate.ops.conv_matrix import conv_matrix
from striate.ops.transposed import conv_transpose


def the_matrix() -> Shown:
    kernel = torch.arange(1.0, 5).view(1, 1, 2, 2)
    matrix = conv_matrix(kernel, (3, 3)).to_dense()
    return Shown([Grids({"kernel": kernel, "C": matrix})])


def as_product() -> Shown:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    kernel = torch.arange(1.0, 5).view(1, 1, 2, 2)
    product = (conv_matrix(kernel, (3, 3)).to_dense() @ x.flatten()).view(2, 2)
    result = conv(x, kernel)
    shown = Grids({"picture": x, "C x": product, "convolution": result})
    return Shown([shown], {"difference": float((product - result).abs().max())})


def transpose() -> Shown:
    y = torch.tensor([[[[1.0, 0], [0, 2]]]])
    kernel = torch.arange(1.0, 5).view(1, 1, 2, 2)
    product = (conv_matrix(kernel, (3, 3)).to_dense().T @ y.flatten()).view(3, 3)
    shown = Grids({"small map": y, "C^T y": product, "transposed": conv_transpose(y, kernel)})
    return Shown([shown])


def shape_not_values() -> Shown:
    x = torch.arange(1.0, 17).view(1, 1, 4, 4)
    kernel = torch.ones(1, 1, 3, 3) / 9
    small = conv(x, kernel)
    back = conv_transpose(small, kernel)
    shown = Grids({"picture": x, "convolved": small, "transposed": back})
    return Shown([shown], {"off": float((back - x).abs().max())})


def matrix_of(w: Array, height: int, width: int) -> Array:
    """C of a kernel [h, w] on a picture of a size."""
    kernel = torch.from_numpy(np.array(w))[None, None]
    return conv_matrix(kernel, (height, width)).to_dense().numpy()


def transposed_of(y: Array, w: Array, stride: int) -> Array:
    """Transposed convolution of a map [H, W]."""
    given = (torch.from_numpy(np.array(each))[None, None] for each in (y, w))
    return conv_transpose(*given, stride=stride)[0, 0].numpy()


def kernels(rng: np.random.Generator) -> list[Case]:
    sizes = [((2, 2), 3, 3), ((2, 3), 3, 4), ((3, 2), 4, 3)]
    return [{"w": whole(rng, *w, low=1), "height": h, "width": n} for w, h, n in sizes]


def maps(rng: np.random.Generator) -> list[Case]:
    sizes = [((2, 3), (2, 2), 1), ((3, 2), (3, 2), 2), ((2, 2), (2, 3), 3)]
    return [{"y": whole(rng, *y), "w": whole(rng, *w), "stride": s} for y, w, s in sizes]


LESSON = Lesson(
    "convolution_matrix",
    (the_matrix, as_product, transpose, shape_not_values),
    (
        Exercise(
            "matrix",
            ("w", "height", "width"),
            matrix_of,
            kernels,
            (
                Mistake("flipped", lambda case: {**case, "w": case["w"][::-1, ::-1]}),
                Mistake("matrix_transposed", after=lambda c: c.T),
                Mistake(
                    "sides_swapped", lambda c: {**c, "height": c["width"], "width": c["height"]}
                ),
                Mistake("kernel_transposed", lambda case: {**case, "w": case["w"].T}),
            ),
        ),
        Exercise(
            "transposed_conv",
            ("y", "w", "stride"),
            transposed_of,
            maps,
            (
                Mistake("flipped", lambda case: {**case, "w": case["w"][::-1, ::-1]}),
                Mistake("stride_ignored", lambda case: {**case, "stride": 1}),
                Mistake("kernel_transposed", lambda case: {**case, "w": case["w"].T}),
                Mistake("last_left_out", after=lambda x: x[:-1, :-1]),
            ),
        ),
    ),
)
