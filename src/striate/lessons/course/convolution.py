"""Convolution in one and two dimensions and of three channels; correlation against true convolution; edges of real digits."""

import numpy as np
import torch

from striate import see
from striate.lessons.exercise import Array, Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Pictures, Shown, Table
from striate.lessons.small import digits
from striate.lessons.windows import KERNEL, convolved, whole, window
from striate.ops.conv import conv, true_conv
from striate.ops.kernels import apply, sobel


def grid_of_numbers() -> Shown:
    digit = digits().x[0, 0]
    return Shown([Pictures({"picture": digit}), Grids({"grey levels": (digit * 16).round()})])


def one_axis() -> Shown:
    x = torch.tensor([[1.0, 1, 1, 5, 5, 5, 2]])
    kernel = torch.tensor([[[-1.0, 1]]])
    steps = see.convolution(x, kernel)
    return Shown([steps], {"windows": len(steps.steps)})


def two_axes() -> Shown:
    x = torch.zeros(1, 5, 5)
    x[:, 1:4, 2] = 1
    kernel = torch.tensor([[[[0.0, 1, 0], [0, 1, 0], [0, 1, 0]]]])
    steps = see.convolution(x, kernel)
    result = torch.tensor([step.value for step in steps.steps]).view(3, 3)
    shown = Grids({"picture": x, "kernel": kernel, "result": result})
    return Shown([shown], {"largest": int(result.max())})


def three_channels() -> Shown:
    x = torch.stack([torch.eye(3), torch.ones(3, 3), torch.arange(9.0).view(3, 3)])
    kernel = torch.tensor([[[1.0, 0], [0, 1]], [[1, 1], [1, 1]], [[0, -1], [1, 0]]])
    each = conv(x[None], kernel[:, None], groups=3)[0]
    whole_sum = conv(x[None], kernel[None])[0]
    red, green, blue = each
    return Shown([Grids({"red": red, "green": green, "blue": blue, "their sum": whole_sum})])


def true_convolution() -> Shown:
    x = torch.zeros(1, 1, 5, 5)
    x[..., 2, 2] = 1
    kernel = torch.arange(1.0, 10).view(1, 1, 3, 3)
    correlation, convolution = conv(x, kernel), true_conv(x, kernel)
    turned = conv(x, kernel.flip(-1, -2))
    grids = Grids({"kernel": kernel, "correlation": correlation, "convolution": convolution})
    return Shown([grids], {"difference": float((convolution - turned).abs().max())})


def edges_of_digits() -> Shown:
    digit = digits().x[1:2]
    upright = apply(digit, sobel("vertical"))
    lying = apply(digit, sobel("horizontal"))
    return Shown([Pictures({"picture": digit, "upright edges": upright, "lying edges": lying})])


def one_pixel() -> Shown:
    digit = digits().x[:1]
    changed = digit.clone()
    changed[..., 3, 4] += 1
    rng = torch.Generator().manual_seed(0)
    kernel, dense = torch.randn(1, 1, 3, 3, generator=rng), torch.randn(36, 64, generator=rng)
    by_window = (conv(changed, kernel) != conv(digit, kernel)).sum()
    by_mlp = (changed.flatten() @ dense.T != digit.flatten() @ dense.T).sum()
    rows = [["convolution 3x3", 36, int(by_window), 9], ["MLP", 36, int(by_mlp), 36 * 64]]
    return Shown([Table(["layer", "outputs", "changed", "weights"], rows)])


def turned(x: Array, w: Array) -> Array:
    """True convolution: the kernel turned by half."""
    return convolved(x, w[::-1, ::-1])


def summed(x: Array, w: Array) -> Array:
    """Of three channels: the sum of what each gives."""
    given = (torch.from_numpy(np.array(each))[None] for each in (x, w))
    return conv(*given)[0, 0].numpy()


def pictures(rng: np.random.Generator) -> list[Case]:
    sizes = [((4, 5), (2, 3)), ((6, 5), (3, 3)), ((5, 7), (3, 2)), ((3, 3), (3, 3))]
    return [{"x": whole(rng, *x), "w": whole(rng, *w)} for x, w in sizes]


def colours(rng: np.random.Generator) -> list[Case]:
    sizes = [((3, 4, 5), (3, 2, 2)), ((3, 5, 4), (3, 3, 2)), ((2, 4, 4), (2, 3, 3))]
    return [{"x": whole(rng, *x), "w": whole(rng, *w)} for x, w in sizes]


def turn(case: Case) -> Case:
    return {**case, "w": case["w"][..., ::-1, ::-1]}


CHANNELS = (
    Mistake("channel_first", lambda case: {"x": case["x"][:1], "w": case["w"][:1]}),
    Mistake("flipped", turn),
    Mistake("channels_reversed", lambda case: {**case, "w": case["w"][::-1]}),
    Mistake("channel_mean", lambda case: {**case, "w": case["w"] / len(case["w"])}),
    Mistake(
        "channels_apart",
        instead=lambda c: [convolved(*two) for two in zip(c["x"], c["w"], strict=True)],
    ),
    Mistake("transposed", after=lambda y: y.T),
)

LESSON = Lesson(
    "convolution",
    (
        grid_of_numbers,
        one_axis,
        two_axes,
        three_channels,
        true_convolution,
        edges_of_digits,
        one_pixel,
    ),
    (
        Exercise("correlate", ("x", "w"), convolved, pictures, KERNEL, window),
        Exercise(
            "convolve",
            ("x", "w"),
            turned,
            pictures,
            (Mistake("not_flipped", instead=lambda c: convolved(**c)), *KERNEL[1:]),
            lambda case, at: window(turn(case), at),
        ),
        Exercise("correlate_channels", ("x", "w"), summed, colours, CHANNELS, window),
    ),
)
