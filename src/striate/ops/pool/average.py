"""Average pooling, plain and weighted by distance from the centre of the window.

x [N, C, *space], result [N, C, *out]. What a last window of ceil mode reads over the end is not counted.
"""

from collections.abc import Callable, Sequence
from itertools import product
from math import exp, prod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError, out_of_memory
from striate.ops import checks
from striate.ops.conv import KERNELS as CONV
from striate.ops.gradients import wide
from striate.ops.padding import padded
from striate.ops.pool.windows import half, known, outer, window_of
from striate.shapes import Ints, Padding, Window

_ONE = 1  # itself, which True and 1.0 equal and are not
# By the number of axes of the input.
KERNELS: dict[int, Callable[..., Tensor]] = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}


def avg_pool_over(who: str, *ranks: int):  # noqa: ANN201 - the type of `avg_pool` below
    """Average pooling over one of `ranks` axes; messages about the axes of an input open with `who`."""
    # Over three axes PyTorch takes neither half precision nor a window larger than the input unpadded.
    kernels = {rank + 2: KERNELS[rank + 2] for rank in ranks if rank < 3}

    def avg_pool(
        x: Float[Tensor, "n c *space"],
        *,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> Float[Tensor, "n c *out"]:
        """The mean of every window.

        Args:
            x: items, channels and space.
            kernel_size: cells of the window, for all axes or each.
            stride: cells from one window to the next; as many as the window has if not given.
            padding: as in `conv`, filled with zeros.
            dilation: cells from one cell of the window to the next.
            ceil_mode: also a last window that is not full, if it does not start in the end padding.
            count_include_pad: divide by the padded cells too; never by what ceil mode reads past them.

        Raises:
            ShapeError: sizes that do not fit together, or padding as wide as the window.
            ArgumentError: a setting out of range or unknown, or integers in the tensor.
        """
        try:
            # What PyTorch would compute something else of is left to the checks, like what it does not know.
            if (
                x.dtype.is_floating_point
                and dilation is _ONE
                and ceil_mode is False
                and (
                    isinstance(kernel_size, int) or [*map(type, kernel_size)] == checks.INTS[x.ndim]
                )
                and (
                    stride is None
                    or isinstance(stride, int)
                    or [*map(type, stride)] == checks.INTS[x.ndim]
                )
                and (padding == 0 or half(padding, kernel_size, x.ndim))
            ):
                return kernels[x.ndim](
                    x, kernel_size, stride, padding, ceil_mode, count_include_pad
                )
        except checks.FAILURES as error:
            if out_of_memory(error):
                raise
        checks.space(x, who, ranks=ranks)
        checks.flags("avg_pool", count_include_pad=count_include_pad)
        w = window_of("avg_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
        return _averaged(x, w, ceil_mode, count_include_pad)

    return checks.called(avg_pool, who, ranks)


avg_pool = avg_pool_over("avg_pool", 1, 2, 3)
avg_pool1d, avg_pool2d, avg_pool3d = (avg_pool_over(f"avg_pool{rank}d", rank) for rank in (1, 2, 3))


def _averaged(x: Tensor, w: Window, ceil_mode: bool, count_include_pad: bool) -> Tensor:
    rank = len(w.size)
    if known(w) and set(w.dilation) == {1} and not _lacking(x, w):
        sides = [before for before, _ in w.sides]
        return KERNELS[x.ndim](x, w.kernel, w.stride, sides, ceil_mode, count_include_pad)
    y = mean_pool(x, w)
    real = [w.counts(axis, padded=count_include_pad) for axis in range(rank)]
    if all(count == k for counts, k in zip(real, w.kernel, strict=True) for count in counts):
        return y
    return y * (prod(w.kernel) / outer([[max(1, c) for c in counts] for counts in real], y))


def _lacking(x: Tensor, w: Window) -> bool:
    narrow = x.dtype in (torch.float16, torch.bfloat16)
    large = any(k > n for k, n in zip(w.kernel, w.size, strict=True))
    return len(w.size) == 3 and (narrow or large)


def mean_pool(x: Tensor, w: Window) -> Tensor:
    """Mean of every window over all its cells, padded and overhanging ones counted as zeros."""
    if set(w.dilation) != {1}:
        return depthwise(x, w, x.new_ones(w.kernel).div_(prod(w.kernel)))
    cells = padded(x, w.reach)
    if x.ndim == 5 and x.dtype in (torch.float16, torch.bfloat16):
        return F.avg_pool3d(cells.float(), w.kernel, w.stride).to(x.dtype)
    return KERNELS[x.ndim](cells, w.kernel, w.stride)


def depthwise(x: Tensor, w: Window, kernel: Tensor) -> Tensor:
    """The same kernel over every channel."""
    if all(before == after for before, after in w.reach):
        sides = [before for before, _ in w.reach]
    else:
        x, sides = padded(x, w.reach), 0
    kernels = kernel.expand(x.shape[1], 1, *w.kernel)
    return CONV[x.ndim](x, kernels, None, w.stride, sides, w.dilation, max(1, x.shape[1]))


def gaussian_weights(cells: int, sigma: float) -> list[float]:
    """Weights that fall off from the centre of `cells` as a Gaussian of width `sigma`; they sum to one.

    >>> [round(w, 3) for w in gaussian_weights(3, 1.0)]
    [0.274, 0.452, 0.274]
    """
    checks.integers("gaussian_weights", cells=cells)
    checks.numbers("gaussian_weights", sigma=sigma)
    if not sigma > 0:
        raise ArgumentError(f"sigma={sigma} is no width, expected more than 0")
    raw = [exp(-(((i - (cells - 1) / 2) / sigma) ** 2) / 2) for i in range(cells)]
    return [weight / sum(raw) for weight in raw]


def weighted_avg_pool(
    x: Float[Tensor, "n c *space"],
    *,
    sigma: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Float[Tensor, "n c *out"]:
    """The mean of every window weighted by distance from its centre, the weights summing to one.

    `sigma` is the width of the Gaussian in cells of the window, the rest is as in `avg_pool`; padded cells have
    no weight.

    Raises:
        ShapeError: sizes that do not fit together, or padding as wide as the window.
        ArgumentError: a width of 0 or less, a setting out of range, or integers in the tensor.
    """
    rank = checks.space(x, "weighted_avg_pool")
    w = window_of("weighted_avg_pool", x, kernel_size, stride, padding, dilation, ceil_mode)
    of_length = {k: gaussian_weights(k, sigma) for k in set(w.kernel)}
    weights = [of_length[k] for k in w.kernel]
    cells = wide(x)
    kernel = cells.new_tensor([prod(each) for each in product(*weights)])
    y = depthwise(cells, w, kernel.view(w.kernel))
    if any(cells for pair in w.reach for cells in pair):
        y = y / outer([_mass(w, axis, weights[axis]) for axis in range(rank)], y)
    return y.to(x.dtype)


def _mass(w: Window, axis: int, weights: Sequence[float]) -> list[float]:
    """Weight that lies on real cells, at every place along an axis; 1 where all of it or none does."""
    n, s, d, before = w.size[axis], w.stride[axis], w.dilation[axis], w.sides[axis][0]
    last = (len(weights) - 1) * d
    masses: list[float] = []
    for start in range(-before, w.out[axis] * s - before, s):
        whole = start >= 0 and start + last < n
        real = () if whole else (m for t, m in enumerate(weights) if 0 <= start + t * d < n)
        masses.append(sum(real) or 1.0)
    return masses
