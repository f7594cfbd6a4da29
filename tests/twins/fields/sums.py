"""One call of a net on its structure, where it sums: windows, reductions, normalisation, products."""

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from operator import add
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.probe import Call, Value
from twins.fields.broadcast import Broadcast, Made, Step, first, zeros
from twins.fields.kinds import ALONG, ELEMENTWISE, MIXED, NOTHING, REDUCED
from twins.fields.products import PRODUCTS, over_last

# By number of axes; typed loosely, as the arguments are those that the net gave.
Function = Callable[..., Tensor]
CONV: dict[int, Function] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: dict[int, Function] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}
ADAPTIVE: dict[int, Function] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}

RESIZE: Function = F.interpolate
UNFOLD: Function = F.unfold
FOLD: Function = F.fold


def _one_channel(thin: Broadcast, dim: int) -> Tensor:
    return thin.data.sum(dim, keepdim=True) if thin.data.shape[dim] > 1 else thin.data


def _same(call: Call, made: Made) -> Tensor:
    return first(call, made).data


def _sum(call: Call, made: Made) -> Tensor:
    """Element by element: the sum of all tensors that depend on the picture."""
    return reduce(add, (made[v.index].data for v in call.inputs if v.index in made))


def _conv(call: Call, made: Made) -> Tensor:
    weight = cast("Value", call.arg("weight"))
    rank = len(weight.shape) - 2
    settings = [
        call.arg(n, d) for _, n, d in ((3, "stride", 1), (4, "padding", 0), (5, "dilation", 1))
    ]
    x = _spatial(call, made, rank)
    return CONV[rank](
        _one_channel(x, -rank - 1), torch.ones(1, 1, *weight.shape[2:]), None, *settings
    )


def _conv_transpose(call: Call, made: Made) -> Tensor:
    weight = cast("Value", call.arg("weight"))
    rank = len(weight.shape) - 2
    x = _one_channel(_spatial(call, made, rank), -rank - 1)
    names = ((3, "stride", 1), (4, "padding", 0), (5, "output_padding", 0))
    settings = [call.arg(n, d) for _, n, d in names]
    dilation = call.arg("dilation", 1)
    return TRANSPOSED[rank](x, torch.ones(1, 1, *weight.shape[2:]), None, *settings, 1, dilation)


def _spatial(call: Call, made: Made, rank: int) -> Broadcast:
    """The first tensor with its axes of space at full length."""
    thin = first(call, made)
    axes = range(len(thin.shape) - rank, len(thin.shape))
    return Broadcast(thin.whole(*axes), thin.shape)


def _pool(kernel_at: int) -> Step:
    def step(call: Call, made: Made) -> Tensor:
        out = call.outputs[0].shape
        rank = int(call.op.partition("pool")[2][0])
        x = _spatial(call, made, rank).data
        kernel = _each(call.arg("kernel_size", 2), rank)
        stride = _each(call.arg("stride") or kernel, rank)
        plain = kernel_at > 1
        padding = (0,) * rank if plain else _each(call.arg("padding", 0), rank)
        dilated = call.op.startswith("max")
        dilation = _each(call.arg("dilation", 1) if dilated else 1, rank)
        # Far enough to the right for the windows that ceil mode lets hang over the edge.
        sides = [n for k, d, p in zip(kernel, dilation, padding, strict=True) for n in (k * d, p)]
        y = _summed(F.pad(x, sides[::-1]), kernel, stride, dilation)
        return y[(..., *(slice(n) for n in out[len(out) - rank :]))]

    return step


def _summed(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """The sum over every window, channels apart."""
    rank = len(kernel)
    apart = x.reshape(-1, 1, *x.shape[-rank:])
    y = CONV[rank](apart, torch.ones(1, 1, *kernel), None, tuple(stride), 0, tuple(dilation))
    return y.reshape(*x.shape[:-rank], *y.shape[-rank:])


def _each(setting: object, rank: int) -> tuple[int, ...]:
    numbers = (setting,) if isinstance(setting, int) else tuple(cast("Sequence[int]", setting))
    return numbers if len(numbers) == rank else numbers * rank


def _adaptive(call: Call, made: Made) -> Tensor:
    rank = int(call.op.partition("pool")[2][0])
    return ADAPTIVE[rank](_spatial(call, made, rank).data, call.outputs[0].shape[-rank:])


def _max_unpool(call: Call, made: Made) -> Tensor:
    """Anywhere in the window: every value spread over all of it."""
    out = call.outputs[0].shape
    rank = int(call.op.partition("pool")[2][0])
    x = _spatial(call, made, rank)
    kernel = _each(call.arg("kernel_size"), rank)
    stride = _each(call.arg("stride") or kernel, rank)
    padding = _each(call.arg("padding", 0), rank)
    y = TRANSPOSED[rank](
        _one_channel(x, -rank - 1), torch.ones(1, 1, *kernel), None, stride, padding
    )
    sides = [n for a, b in zip(out[-rank:], y.shape[-rank:], strict=True) for n in (a - b, 0)]
    return F.pad(y, sides[::-1])


def _reduced(call: Call, made: Made) -> Tensor:
    if isinstance(call.arg("other"), Value):  # the larger of two tensors, not of one
        return _sum(call, made)
    thin = first(call, made)
    keep = len(call.outputs[0].shape) == len(thin.shape)
    return thin.data.sum(_dims(call, len(thin.shape)), keepdim=keep)


def _along(call: Call, made: Made) -> Tensor:
    """Every value from all along an axis: alike along it from here on."""
    thin = first(call, made)
    return thin.data.sum(_dims(call, len(thin.shape)), keepdim=True)


def _dims(call: Call, rank: int) -> list[int]:
    named = call.kwargs.get("dim", call.kwargs.get("axis", call.arg("dim")))
    if isinstance(named, int) and not isinstance(named, bool):
        return [named]
    return cast("list[int]", named) if isinstance(named, list) and named else list(range(rank))


def _layer_norm(call: Call, made: Made) -> Tensor:
    count = len(cast("Sequence[int]", call.arg("normalized_shape")))
    return over_last(first(call, made), count)


def _map_norm(call: Call, made: Made) -> Tensor:
    if call.op == "instance_norm" and call.arg("use_input_stats", True) is False:
        return _same(call, made)
    thin = first(call, made)
    return thin.data.sum(list(range(1, len(thin.shape))), keepdim=True)


def _batch_norm(call: Call, made: Made) -> Tensor:
    if not call.arg("training", False):
        return _same(call, made)
    thin = first(call, made)
    gone = [dim for dim in range(len(thin.shape)) if dim != 1]
    return thin.data.sum(gone, keepdim=True)


def _pad(call: Call, made: Made) -> Tensor:
    thin = first(call, made)
    sides = list(cast("Sequence[int]", call.arg("pad")))
    rank = len(thin.shape)
    dims = [rank - 1 - i // 2 for i in range(len(sides))]
    alike = [thin.data.shape[dim] == 1 < thin.shape[dim] or dim < 2 for dim in dims]
    cut = [0 if same else side for same, side in zip(alike, sides, strict=True)]
    mode = str(call.arg("mode", "constant"))
    return F.pad(thin.data, cut, mode=mode) if any(cut) else thin.data


def _resize(call: Call, made: Made) -> Tensor:
    thin = _spatial(call, made, len(call.inputs[0].shape) - 2)
    options: dict[str, Any] = dict(call.kwargs)
    for name in ("input", "size", "scale_factor"):
        options.pop(name, None)
    names = ("mode", "align_corners", "recompute_scale_factor", "antialias")
    options.update(zip(names, call.args[3:], strict=False))
    scale = call.arg("scale_factor")
    if scale is None:
        return RESIZE(thin.data, size=list(call.outputs[0].shape[2:]), **options)
    return RESIZE(thin.data, scale_factor=scale, **options)


def _shuffle(call: Call, made: Made) -> Tensor:
    thin = _spatial(call, made, 2)
    x = _one_channel(thin, -3)
    if "unshuffle" in call.op:
        y = F.pixel_unshuffle(x, cast("int", call.arg("downscale_factor")))
        return y.sum(-3, keepdim=True)
    r = cast("int", call.arg("upscale_factor"))
    return F.pixel_shuffle(x.expand(*x.shape[:-3], r * r, *x.shape[-2:]), r)


def _unfold(call: Call, made: Made) -> Tensor:
    if (
        len(call.outputs[0].shape) == len(call.inputs[0].shape) + 1
    ):  # the method of tensors, along one axis
        dim, size, step = (cast("int", given) for given in call.args[1:])
        thin = first(call, made)
        return thin.whole(dim % len(thin.shape)).unfold(dim, size, step)
    x = _one_channel(_spatial(call, made, 2), -3)
    return UNFOLD(x, *call.args[1:], **call.kwargs).sum(-2, keepdim=True)


def _fold(call: Call, made: Made) -> Tensor:
    thin = first(call, made)
    rank = len(thin.shape)
    one = _one_channel(Broadcast(thin.whole(rank - 1), thin.shape), -2)
    size, kernel = call.outputs[0].shape[-2:], _each(call.arg("kernel_size"), 2)
    names = ((3, "dilation", 1), (4, "padding", 0), (5, "stride", 1))
    cells = one.expand(*one.shape[:-2], prod(kernel), one.shape[-1])
    return FOLD(cells, size, kernel, *(call.arg(name, d) for _, name, d in names))


def _everything(call: Call, made: Made) -> Tensor:
    """Attention and recurrent layers: every output from every input."""
    total = reduce(add, (made[v.index].data.sum() for v in call.inputs if v.index in made))
    return total.reshape((1,) * len(call.outputs[0].shape))


def _nothing(call: Call, _made: Made) -> Tensor:
    return zeros(call.outputs[0]).data


SUMS: dict[str, Step] = {
    **{f"conv{n}d": _conv for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": _conv_transpose for n in (1, 2, 3)},
    **{
        f"{kind}_pool{n}d{ending}": _pool(1)
        for kind in ("max", "avg")
        for n in (1, 2, 3)
        for ending in ("", "_with_indices")
    },
    **{f"lp_pool{n}d": _pool(2) for n in (1, 2, 3)},
    **{f"max_unpool{n}d": _max_unpool for n in (1, 2, 3)},
    **{
        f"adaptive_{kind}_pool{n}d{ending}": _adaptive
        for kind in ("max", "avg")
        for n in (1, 2, 3)
        for ending in ("", "_with_indices")
    },
    **dict.fromkeys(ELEMENTWISE, _sum),
    **dict.fromkeys(REDUCED, _reduced),
    **dict.fromkeys(ALONG, _along),
    **dict.fromkeys(MIXED, _everything),
    **dict.fromkeys(NOTHING, _nothing),
    **dict.fromkeys(("layer_norm", "rms_norm"), _layer_norm),
    **dict.fromkeys(("group_norm", "instance_norm"), _map_norm),
    "batch_norm": _batch_norm,
    **dict.fromkeys(("interpolate", "upsample"), _resize),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _shuffle),
    "pad": _pad,
    "unfold": _unfold,
    "fold": _fold,
    **PRODUCTS,
}
