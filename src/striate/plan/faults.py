"""What ends the process instead of raising, found by trying: no candidate may be timed that does it."""

from torch import nn

from striate.plan.form import Plan

NARROW_IN, NARROW_OUT = 16, 16


def crashing_layer(net: nn.Module, plan: Plan) -> str | None:
    """Path of a layer whose backward pass ends the process under a plan, if there is one.

    On CPUs with AVX-512 torch 2.13 (oneDNN) writes beyond its memory in the gradient of the kernels of a 1x1
    convolution of stride 2 from fewer than 16 channels to at most 16, in float32 and channels_last, on maps of
    56x56 and some larger ones (64, 112). Three-by-three kernels, strides 1 and 3, wider layers, bfloat16 and
    the default layout did not. ResNets at a tenth of their width have such a shortcut.
    """
    if not (
        plan.device == "cpu" and plan.layout == "channels_last" and plan.precision == "fp32"
    ):
        return None
    return next((path for path, layer in net.named_modules() if _narrow_shortcut(layer)), None)


def _narrow_shortcut(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and max(layer.stride) == 2
        and layer.in_channels < NARROW_IN
        and layer.out_channels <= NARROW_OUT
    )
