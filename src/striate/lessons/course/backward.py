"""Backward by hand: how the error of a convolution flows back to its input and to its kernel."""

import numpy as np
import torch

from striate import see
from striate.lessons.exercise import Array, Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Shown
from striate.lessons.windows import convolved, whole
from striate.ops.conv import conv
from striate.ops.transposed import conv_transpose


def one_output() -> Shown:
    x = torch.arange(1.0, 10).view(1, 3, 3)
    kernel = torch.tensor([[[[1.0, -1], [0, 2]]]])
    errors = see.backward(see.convolution(x, kernel), (0, 0, 1))
    shown = Grids(
        {
            "picture": x,
            "kernel": kernel,
            "to the input": errors.input,
            "to the kernel": errors.weights[0],
        }
    )
    return Shown([shown])


def all_outputs() -> Shown:
    x = torch.arange(1.0, 10).view(1, 1, 3, 3).requires_grad_()
    kernel = torch.tensor([[[[1.0, -1], [0, 2]]]]).requires_grad_()
    error = torch.tensor([[[[1.0, 0], [2, -1]]]])
    conv(x, kernel).backward(error)
    by_hand_x = conv_transpose(error, kernel)
    by_hand_w = conv(x, error)
    shown = Grids(
        {
            "error": error,
            "autograd, x": x.grad,
            "by hand, x": by_hand_x,
            "autograd, w": kernel.grad,
            "by hand, w": by_hand_w,
        }
    )
    return Shown([shown])


def small_step() -> Shown:
    x = torch.arange(1.0, 10).view(1, 1, 3, 3)
    kernel = torch.tensor([[[[1.0, -1], [0, 2]]]], dtype=torch.float64)
    moved = kernel.clone()
    moved[..., 1, 0] += 1e-4
    loss = [conv(x.double(), w).square().sum() for w in (kernel, moved)]
    asked = kernel.clone().requires_grad_()
    conv(x.double(), asked).square().sum().backward()
    slope = float((loss[1] - loss[0]) / 1e-4)
    known = 0.0 if asked.grad is None else float(asked.grad[0, 0, 1, 0])
    return Shown([Grids({"gradient": asked.grad})], {"slope": slope, "gradient": known})


def to_kernel(x: Array, error: Array) -> Array:
    """The input correlated with the error."""
    return convolved(x, error)


def to_input(error: Array, w: Array) -> Array:
    """Transposed convolution of the error."""
    given = (torch.from_numpy(np.array(each))[None, None] for each in (error, w))
    return conv_transpose(*given)[0, 0].numpy()


def kernel_cases(rng: np.random.Generator) -> list[Case]:
    sizes = [((4, 5), (3, 3)), ((5, 4), (3, 2)), ((3, 5), (2, 4))]
    return [{"x": whole(rng, *x), "error": whole(rng, *e)} for x, e in sizes]


def input_cases(rng: np.random.Generator) -> list[Case]:
    sizes = [((3, 3), (2, 3)), ((2, 3), (3, 2)), ((3, 4), (2, 2))]
    return [{"error": whole(rng, *e), "w": whole(rng, *w)} for e, w in sizes]


def unpadded(c: Case) -> Array:
    return convolved(c["error"], c["w"][::-1, ::-1])


LESSON = Lesson(
    "backward",
    (one_output, all_outputs, small_step),
    (
        Exercise(
            "kernel_gradient",
            ("x", "error"),
            to_kernel,
            kernel_cases,
            (
                Mistake("gradient_turned", after=lambda g: g[::-1, ::-1]),
                Mistake("error_flipped", lambda c: {**c, "error": c["error"][::-1, ::-1]}),
                Mistake("mean", lambda c: {**c, "error": c["error"] / c["error"].size}),
                Mistake("sign", after=lambda g: -g),
                Mistake("transposed", after=lambda g: g.T),
            ),
        ),
        Exercise(
            "input_gradient",
            ("error", "w"),
            to_input,
            input_cases,
            (
                Mistake("kernel_not_turned", lambda c: {**c, "w": c["w"][::-1, ::-1]}),
                Mistake("not_full", instead=unpadded),
                Mistake("sign", after=lambda g: -g),
                Mistake("transposed", after=lambda g: g.T),
            ),
        ),
    ),
)
