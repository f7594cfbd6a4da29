"""Pooling to a size that does not depend on the input: adaptive, global, spatial pyramid, the k largest.

x [N, C, *space].
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Literal, TypeAlias, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Num
from torch import Tensor

from striate.errors import ArgumentError, ShapeError, told
from striate.ops import checks
from striate.shapes import Ints, is_list, per_axis

Grid: TypeAlias = Ints | Sequence[int | None]

# By the number of axes of the input.
_MAX: dict[int, Callable[..., Tensor]] = {
    3: F.adaptive_max_pool1d,
    4: F.adaptive_max_pool2d,
    5: F.adaptive_max_pool3d,
}
_AVERAGE: dict[int, Callable[..., Tensor]] = {
    3: F.adaptive_avg_pool1d,
    4: F.adaptive_avg_pool2d,
    5: F.adaptive_avg_pool3d,
}


def adaptive_max_pool(
    x: Float[Tensor, "n c *space"], *, output_size: Grid
) -> Float[Tensor, "n c *grid"]:
    """The maximum over `output_size` windows an axis, whatever the input; also dynamic pooling.

    Window i of m reads the cells from floor(i n / m) to ceil((i + 1) n / m); an axis with None stays as it is.

    Raises:
        ShapeError: not one to three axes of space.
        ArgumentError: a size under 1, not one an axis, or integers in the tensor.
    """
    grid = _grid(x, output_size, "adaptive_max_pool")
    return _MAX[x.ndim](x, grid)


def adaptive_avg_pool(
    x: Float[Tensor, "n c *space"], *, output_size: Grid
) -> Float[Tensor, "n c *grid"]:
    """The mean over the windows of `adaptive_max_pool`; same argument, same errors."""
    grid = _grid(x, output_size, "adaptive_avg_pool")
    return _AVERAGE[x.ndim](x, grid)


def _grid(x: Tensor, output_size: Grid, who: str) -> tuple[int, ...]:
    rank = checks.space(x, who)
    with checks.named(who):
        return check_grid(output_size, x.shape[2 : 2 + rank])


def check_grid(output_size: Grid, size: Sequence[int] | None = None) -> tuple[int, ...]:
    """The windows of every axis, those without a number as many as `size` has; 1 where that is not known yet.

    Raises:
        ArgumentError: a number under 1, or not one an axis.
    """
    grid = output_size
    if isinstance(grid, list | tuple) and (not size or len(grid) == len(size)):
        cells = size or (1,) * len(grid)
        grid = tuple(n if m is None else m for m, n in zip(grid, cells, strict=True))
    return per_axis(cast("Ints", grid), len(size) if size else None, "output_size")


def global_max_pool(x: Num[Tensor, "n c *space"]) -> Num[Tensor, "n c *ones"]:
    """The maximum of every map, its axes kept with one cell each."""
    rank = checks.space(x, "global_max_pool", integers=True)
    return x.amax(tuple(range(2, rank + 2)), keepdim=True)


def global_avg_pool(x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *ones"]:
    """The mean of every map, its axes kept with one cell each."""
    rank = checks.space(x, "global_avg_pool")
    axes = tuple(range(2, rank + 2))
    if x.dtype is torch.float16:  # its sums overflow at 65,504
        return x.mean(axes, keepdim=True)
    # The gradient of a mean is a map of its own, laid out with channels outermost; that of a sum is a view.
    return x.sum(axes, keepdim=True) / prod(x.shape[2:])


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
    check_pyramid("pyramid_pool", levels, kind)
    pool = adaptive_max_pool if kind == "max" else adaptive_avg_pool
    return torch.cat([pool(x, output_size=level).flatten(1) for level in levels], dim=1)


def check_pyramid(who: str, levels: Sequence[Ints], kind: str) -> None:
    """Raise ArgumentError unless there is a fixed grid a level, and a known kind."""
    checks.word(who, "kind", kind, ("average", "max"))
    if not is_list(levels) or not levels:
        raise ArgumentError(f"{who}: levels={told(levels)}, expected a grid a level, as (4, 2, 1)")
    with checks.named(who):
        for level in levels:
            per_axis(level, None, "a level")


def kmax_pool(x: Num[Tensor, "*axes"], *, k: int, dim: int = -1) -> Num[Tensor, "*out"]:
    """The k largest values along an axis, in their original order (arXiv 1404.2188).

    Of values that are equal to the k-th, which ones are taken is left open, as in `torch.topk`.

    Raises:
        ShapeError: there are fewer than k values.
        ArgumentError: k under 1.
    """
    checks.numeric(x, "kmax_pool")
    checks.axis(x, dim, "kmax_pool")
    checks.integers("kmax_pool", k=k)
    if x.shape[dim] < k:
        raise ShapeError(
            f"kmax_pool: got {x.shape[dim]} values along axis {dim}, expected at least k={k}"
        )
    places = x.detach().topk(k, dim=dim, sorted=False).indices.sort(dim=dim).values
    if torch.compiler.is_compiling():  # which works out its own gradient
        return x.gather(dim, places)
    y: Tensor = _Taken.apply(x, places, dim)
    return y


class _Taken(torch.autograd.Function):
    """`x.gather` of places of which none is named twice: the gradient is put there, not added up."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, places: Tensor, dim: int) -> Tensor:
        return x.gather(dim, places)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        x, places, ctx.dim = inputs
        ctx.size = x.shape
        ctx.save_for_backward(places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return grads[0].new_zeros(ctx.size).scatter_(ctx.dim, places, grads[0]), None, None
