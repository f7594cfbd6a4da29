"""Unpooling layers; the settings are those of `striate.ops.unpool`."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from striate.ops import checks, unpool
from striate.shapes import Ints, Padding, per_axis


class _Enlarged(nn.Module):
    def __init__(self, scale: Ints) -> None:
        super().__init__()
        with checks.named(type(self).__name__):
            per_axis(scale, None, "scale")
        self.scale: Ints = scale


class NearestUnpool(_Enlarged):
    """Every value repeated over a block."""

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        return unpool.nearest_unpool(x, scale=self.scale)


class NailsUnpool(_Enlarged):
    """Every value in the first cell of a block of zeros."""

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *out"]:
        return unpool.nails_unpool(x, scale=self.scale)


class MaxUnpool(nn.Module):
    """Every value back to the place it was the maximum of."""

    def __init__(
        self, kernel_size: Ints, *, stride: Ints | None = None, padding: Padding = 0
    ) -> None:
        super().__init__()
        with checks.named("MaxUnpool"):
            per_axis(kernel_size, None, "kernel_size")
            per_axis(kernel_size if stride is None else stride, None, "stride")
        self.kernel_size: Ints = kernel_size
        self.stride: Ints | None = stride
        self.padding: Padding = padding

    def forward(
        self,
        x: Float[Tensor, "n c *space"],
        indices: Int[Tensor, "n c *space"],
        output_size: Ints | None = None,
    ) -> Float[Tensor, "n c *out"]:
        return unpool.max_unpool(
            x,
            indices,
            kernel_size=self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            output_size=output_size,
        )
