"""Pooling to a size that does not depend on the input: adaptive, global, spatial pyramid.

x [N, C, *space].
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor

from striate.errors import ArgumentError, told
from striate.ops.checks import check_space, check_word, named
from striate.shapes import Ints, is_list, per_axis

_ADAPTIVE_MAX: tuple[Callable[..., Tensor], ...] = (
    F.adaptive_max_pool1d,
    F.adaptive_max_pool2d,
    F.adaptive_max_pool3d,
)
_ADAPTIVE_AVERAGE: tuple[Callable[..., Tensor], ...] = (
    F.adaptive_avg_pool1d,
    F.adaptive_avg_pool2d,
    F.adaptive_avg_pool3d,
)


def adaptive_max_pool(x: Float[Tensor, "n c *space"], *, output_size: Ints) -> Tensor:
    """The maximum over `output_size` windows an axis, whatever the input; also dynamic pooling.

    Window i of m reads the cells from floor(i n / m) to ceil((i + 1) n / m).
    """
    grid = _grid(x, output_size, "adaptive_max_pool")
    return _ADAPTIVE_MAX[len(grid) - 1](x, grid)


def adaptive_avg_pool(x: Float[Tensor, "n c *space"], *, output_size: Ints) -> Tensor:
    """The mean over the windows of `adaptive_max_pool`."""
    grid = _grid(x, output_size, "adaptive_avg_pool")
    return _ADAPTIVE_AVERAGE[len(grid) - 1](x, grid)


def _grid(x: Tensor, output_size: Ints, who: str) -> tuple[int, ...]:
    rank = check_space(x, who)
    with named(who):
        return per_axis(output_size, rank, "output_size")


def global_max_pool(x: Num[Tensor, "n c *space"]) -> Num[Tensor, "n c *ones"]:
    """The maximum of every map, its axes kept with one cell each."""
    rank = check_space(x, "global_max_pool", integers=True)
    return x.amax(tuple(range(2, rank + 2)), keepdim=True)


def global_avg_pool(x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *ones"]:
    """The mean of every map, its axes kept with one cell each."""
    rank = check_space(x, "global_avg_pool")
    axes = tuple(range(2, rank + 2))
    if x.dtype is torch.float16:  # its sums overflow at 65,504
        return x.mean(axes, keepdim=True)
    # The gradient of a mean is a map of its own, laid out with channels outermost; that of a sum is a view.
    return x.sum(axes, keepdim=True) / math.prod(x.shape[2:])


def pyramid_pool(
    x: Float[Tensor, "n c *space"],
    *,
    levels: tuple[Ints, ...] = (4, 2, 1),
    kind: Literal["max", "average"] = "max",
) -> Float[Tensor, "n bins"]:
    """Spatial pyramid: every map pooled to one fixed grid a level, all of them in one row an item.

    Whatever the size of the input, C (4^2 + 2^2 + 1) numbers come out with the default levels.
    He et al., arXiv 1406.4729.

    Raises:
        ArgumentError: an unknown kind, or a grid that is none.
    """
    kinds = {"max": adaptive_max_pool, "average": adaptive_avg_pool}
    check_word("pyramid_pool", "kind", kind, kinds)
    if not is_list(levels) or not levels:
        raise ArgumentError(
            f"pyramid_pool: levels={told(levels)}, expected a grid a level, as (4, 2, 1)"
        )
    return torch.cat([kinds[kind](x, output_size=level).flatten(1) for level in levels], dim=1)
