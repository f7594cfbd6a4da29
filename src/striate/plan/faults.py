"""What ends the process instead of raising, found by trying: no candidate may be timed that does it."""

from torch import nn

from striate.plan.form import Plan

NARROW = 16


def crashing_layer(net: nn.Module, plan: Plan) -> str | None:
    """Path of a layer whose backward pass ends the process under a plan, if there is one.

    On CPUs with AVX-512 torch 2.13 and 2.14 (oneDNN) reach beyond their memory in the gradient of the kernels of
    a 1x1 convolution with a stride from fewer than 16 channels, in channels_last, float32 and bfloat16 alike. What
    lies there is overwritten: a process ends at once, after a hundred steps, or not at all. Found with pages
    around each array that may not be touched: 3 to 12 channels to 16 to 32, stride 2 and 4, maps of 28 to 56 did
    it; 16 and more channels, three-by-three kernels, stride 1 and the default layout did not. ResNets of CIFAR-10
    at half their width have such a shortcut.
    """
    if not (plan.device == "cpu" and plan.layout == "channels_last"):
        return None
    return next((path for path, layer in net.named_modules() if _narrow_shortcut(layer)), None)


def _narrow_shortcut(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and max(layer.stride) > 1
        and layer.in_channels // layer.groups < NARROW
    )
