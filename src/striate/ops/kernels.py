"""Kernels made by hand, and one function that applies any of them to a picture.

A kernel is [h, w] or [k]; a picture is [H, W], [C, H, W] or [N, C, H, W]. Applied by cross-correlation,
as all convolution here, so what one sees in the numbers is what is laid over the picture.
"""

from collections.abc import Callable, Sequence
from math import exp, prod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError, ShapeError
from striate.ops import checks
from striate.ops.conv import conv
from striate.ops.padding import Fill
from striate.shapes import Padding


def blur(size: int = 3) -> Float[Tensor, "h w"]:
    """The mean of size x size cells."""
    checks.integers("blur", size=size)
    return torch.full((size, size), 1 / size**2)


def gaussian(size: int = 5, sigma: float = 1.0) -> Float[Tensor, "h w"]:
    """A Gaussian of width `sigma` about the centre; it sums to one.

    Raises:
        ArgumentError: a width of 0 or less.
    """
    checks.numbers("gaussian", sigma=sigma)
    checks.integers("gaussian", size=size)
    if not sigma > 0:
        raise ArgumentError(f"gaussian: sigma={sigma} is no width, expected more than 0")
    line = torch.tensor([exp(-(((i - (size - 1) / 2) / sigma) ** 2) / 2) for i in range(size)])
    return torch.outer(line, line) / line.sum() ** 2


def sobel(axis: Literal["horizontal", "vertical"] = "vertical") -> Float[Tensor, "h w"]:
    """Derivative across edges of a direction, smoothed 1 2 1 along them (Sobel and Feldman 1968)."""
    return _across([1.0, 2.0, 1.0], axis, "sobel")


def prewitt(axis: Literal["horizontal", "vertical"] = "vertical") -> Float[Tensor, "h w"]:
    """Derivative across edges of a direction, smoothed 1 1 1 along them (Prewitt 1970)."""
    return _across([1.0, 1.0, 1.0], axis, "prewitt")


def _across(smooth: Sequence[float], axis: str, who: str) -> Tensor:
    checks.word(who, "axis", axis, ("horizontal", "vertical"))
    kernel = torch.outer(torch.tensor(smooth), torch.tensor([-1.0, 0, 1]))
    return kernel if axis == "vertical" else kernel.T.contiguous()


def laplacian(*, diagonals: bool = False) -> Float[Tensor, "h w"]:
    """Sum of the second derivatives: neighbours less their number times the centre."""
    checks.flags("laplacian", diagonals=diagonals)
    corner = 1.0 if diagonals else 0.0
    centre = -8.0 if diagonals else -4.0
    return torch.tensor([[corner, 1, corner], [1, centre, 1], [corner, 1, corner]])


def edges(axis: Literal["horizontal", "vertical"] = "vertical") -> Float[Tensor, "h w"]:
    """The two-cell detector of edges of a direction: a cell less the one before it."""
    checks.word("edges", "axis", axis, ("horizontal", "vertical"))
    pair = torch.tensor([[-1.0, 1.0]])
    return pair if axis == "vertical" else pair.T.contiguous()


def emboss() -> Float[Tensor, "h w"]:
    """Relief lit from the upper left; sums to one, so flat parts keep their brightness."""
    return torch.tensor([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])


def derivative() -> Float[Tensor, " k"]:
    """(1, 0, -1): the course's first kernel, for one axis."""
    return torch.tensor([1.0, 0, -1])


KERNELS: dict[str, Callable[[], Tensor]] = {
    "blur": blur,
    "derivative": derivative,
    "edges horizontal": lambda: edges("horizontal"),
    "edges vertical": edges,
    "emboss": emboss,
    "gaussian": gaussian,
    "laplacian": laplacian,
    "prewitt horizontal": lambda: prewitt("horizontal"),
    "prewitt vertical": prewitt,
    "sobel horizontal": lambda: sobel("horizontal"),
    "sobel vertical": sobel,
}


def apply(
    picture: Float[Tensor, "*axes"],
    kernel: str | Tensor,
    *,
    padding: Padding = "same",
    fill: Fill = "replicate",
) -> Float[Tensor, "*out"]:
    """Any kernel over every channel of a picture (or of a line, for a kernel of one axis).

    The picture is space, with or without channels and items before it; the kernel a name in `KERNELS` or the
    numbers [h, w] or [k]; padding and fill are as in `conv`.

    Raises:
        ShapeError: the picture has fewer or more axes than the kernel allows.
        ArgumentError: an unknown name or setting, or integers in the picture.
    """
    if isinstance(kernel, str):
        checks.word("apply", "kernel", kernel, KERNELS)
        kernel = KERNELS[kernel]()
    checks.floating(picture, "apply")
    checks.tensor(kernel, "apply", "the kernel")
    rank = kernel.ndim
    if rank not in (1, 2, 3) or not rank <= picture.ndim <= rank + 2:
        raise ShapeError(
            f"apply: got a picture {list(picture.shape)} and a kernel {list(kernel.shape)}; expected the "
            "axes of the kernel, with channels and items before them or not"
        )
    if 0 in picture.shape[picture.ndim - rank :]:
        raise ShapeError(f"apply: got a picture {list(picture.shape)} without cells")
    before, space = picture.shape[: picture.ndim - rank], picture.shape[picture.ndim - rank :]
    # As channels of one item: PyTorch's depthwise convolution is several times as fast as one of a single channel. A
    # compiler wants the number of channels to be known, which here may be that of the items.
    count = prod(before)
    channels = 1 if torch.compiler.is_compiling() else max(1, count)
    weight = kernel.to(picture).expand(channels, 1, *kernel.shape)
    cells = picture.reshape(-1 if count else 0, channels, *space)
    y = conv(cells, weight, padding=padding, fill=fill, groups=channels)
    return y.reshape(*before, *y.shape[2:])
