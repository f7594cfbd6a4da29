"""What the layers gave: maps as bytes with their range, single numbers, kernels, and what a channel does to a class.

A map goes to the page as u8: value = lo + (hi - lo) * q / 255, with lo and hi of each channel, so that the page makes any
contrast of one answer; numbers that somebody reads are asked for as float32. C channels, H W places, T frames.
"""

import re
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.probe import as_eval, cut
from striate.studio import wire
from striate.studio.nets import KIND, SHOWN
from striate.studio.routes import Answer, Refusal, Request, Route
from striate.studio.session import Pass, Session, layer_parts
from striate.tasks.explained import numbers_of

MOST_BYTES = 64 * 2**20  # of one answer
THUMBS, THUMB = 8, 32  # maps of a layer in the Map, and their longer side
MOST_THUMBS = 120  # layers of one answer
_LOW = torch.finfo(torch.float32).min


def of_item(output: Tensor, layer: str) -> Tensor:
    """What a layer gave of the one item, without the batch axis.

    Raises:
        Refusal: 400, its first axis is not that of the items.
    """
    if output.ndim < 2 or len(output) != 1:
        raise Refusal(400, f"{layer} gave {list(output.shape)}, which is not one item", "layer")
    return output[0].float()


def planes(values: Tensor) -> tuple[Tensor, dict[str, object]]:
    """Values of one item as maps [C, H, W], and what is to be known of them; of a volume the middle slice."""
    kind = KIND.get(values.ndim, "volume")
    meta: dict[str, object] = {"kind": kind, "shape": list(values.shape)}
    if values.ndim > 3:
        middle = values.shape[1] // 2
        while values.ndim > 3:
            values = values[:, values.shape[1] // 2]
        meta["slice"] = middle
    if values.ndim < 3:
        values = values[:, None, None] if values.ndim == 1 else values[:, None]
    return values, meta


def quantised(maps: Tensor) -> dict[str, NDArray[Any]]:
    """Maps [C, H, W] as u8 with what they were made from, a number a channel.

    `lo`, `hi`, `mean`, `std` are of the finite values, and NaN where a map has none; `bad` is the share of values that are
    NaN or infinite, which have the byte 0; `zero_frac` that of exact zeros.
    """
    flat = maps.flatten(1).contiguous()
    lo, hi, mean = flat.amin(1), flat.amax(1), flat.mean(1)
    std = (flat - mean[:, None]).square().mean(1).sqrt()
    bad = torch.zeros_like(lo)
    finite = None
    if not bool(
        (lo + hi + std).isfinite().all()
    ):  # NaN, infinite, or a sum of squares beyond float32
        finite = flat.isfinite()
        lo, hi, mean, std = _of_finite(flat, finite)
        bad = 1 - finite.float().mean(1)
    span = torch.where(hi > lo, hi.double() - lo.double(), 1.0)[:, None]
    small = span.float().isfinite().all() and bool((span > 1e-30).all())
    scaled = (flat - lo[:, None]) / span.float() if small else (flat.double() - lo[:, None]) / span
    q = (scaled * 255).round_().clamp_(0, 255)
    if finite is not None:
        q = torch.where(finite, q, 0.0)
    zeros = (flat == 0).float().mean(1)
    stats = {"lo": lo, "hi": hi, "mean": mean, "std": std, "zero_frac": zeros, "bad": bad}
    return {"maps": q.to(torch.uint8).reshape(maps.shape).numpy()} | {
        name: value.float().numpy() for name, value in stats.items()
    }


def _of_finite(flat: Tensor, finite: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Least, greatest, mean and deviation of the finite values of each row; NaN where there are none."""
    count = finite.sum(1)
    none = torch.where(count > 0, 0.0, torch.nan)
    lo = torch.where(finite, flat, -_LOW).amin(1) + none
    hi = torch.where(finite, flat, _LOW).amax(1) + none
    kept = torch.where(finite, flat, 0.0).double()
    mean = kept.sum(1) / count.clamp_min(1) + none
    apart = torch.where(finite, kept - mean[:, None], 0.0)
    std = (apart.square().sum(1) / count.clamp_min(1)).sqrt() + none
    return lo, hi, mean.float(), std.float()


def thumbs(maps: Tensor) -> Tensor:
    """The first few maps, averaged down to the size of a thumbnail."""
    some = maps[:THUMBS]
    h, w = some.shape[1:]
    scale = max(h, w) / THUMB
    if scale <= 1:
        return some
    size = (max(1, round(h / scale)), max(1, round(w / scale)))
    return F.adaptive_avg_pool2d(some[None], size)[0]


def effect(one: Pass, layer: str, at: int) -> Tensor:
    """How much each channel of a layer adds to one answer: activation times gradient, summed over places [C].

    Of answers that are maps, the answer is the mean over the places. First-order, so exact only where what follows is
    linear (Selvaraju et al. 2017 weigh maps likewise).

    Raises:
        Refusal: there is no such answer, or it has no gradient by this layer.
    """
    path, call = layer_parts(layer)
    net = one.open.net
    with as_eval(net), torch.no_grad(), cut(net, path, call=call) as calls:
        values = numbers_of(one.open.answer(one.x.clone()), 1)
        flat = values.flatten(2).mean(2)[0] if values.ndim > 2 else values.flatten()
        if not 0 <= at < len(flat):
            raise Refusal(400, f"class={at}: the net answers {len(flat)}", "class")
        leaf = calls[call][0] if call < len(calls) and calls[call] else None
        found = None
        if leaf is not None and flat.requires_grad:
            found = torch.autograd.grad(flat[at], leaf, allow_unused=True)[0]
    if leaf is None or found is None:
        raise Refusal(400, f"the answer has no gradient by {layer}", "layer")
    product = of_item((found * leaf).detach(), layer)
    return product.flatten(1).sum(1) if product.ndim > 1 else product


# ------------------------------------------------------------------------------------------ handlers


def _layer(session: Session, request: Request) -> tuple[Pass, str, Tensor]:
    one = session.run(request.params["run"])
    layer = request.text("layer")
    return one, layer, of_item(session.output(one, layer), layer)


def _maps(session: Session, request: Request) -> Answer:
    one, layer, values = _layer(session, request)
    maps, meta = planes(values)
    total = len(maps)
    if maps[:SHOWN].numel() > MOST_BYTES:
        raise Refusal(
            413,
            f"{layer} gave {maps.numel() / 2**20:,.0f} million values: too many to paint",
            "layer",
        )
    arrays = quantised(maps[:SHOWN])
    meta |= {"layer": layer, "run_id": one.id, "dtype": "u8", "order": "index"}
    session.make_ready(one)
    return wire.array_answer(arrays, {**meta, "shown": min(total, SHOWN), "total": total})


def _channel(session: Session, request: Request) -> Answer:
    one, layer, values = _layer(session, request)
    meta = {"layer": layer, "run_id": one.id, "shape": list(values.shape), "total": len(values)}
    if request.has("c"):
        c = request.whole("c")
        if not 0 <= c < len(values):
            raise Refusal(400, f"c={c}: {layer} has channels 0 to {len(values) - 1}", "c")
        values, meta["c"] = values[c], c
        values = values.reshape(1) if values.ndim == 0 else values
    if values.numel() * 4 > MOST_BYTES:
        raise Refusal(
            413, f"{layer} is {values.numel() * 4 / 2**20:,.0f} MB: ask channel by channel", "layer"
        )
    return wire.array_answer({"map": values.contiguous().numpy()}, meta)


def _thumbs(session: Session, request: Request) -> Answer:
    one = session.run(request.params["run"])
    text = request.text("layers")
    names = re.split(r",(?=[^,]*@\d+(?:,|$)|#\d+(?:,|$))", text)
    if len(names) > MOST_THUMBS:
        raise Refusal(413, f"{len(names)} layers: at most {MOST_THUMBS}", "layers")
    arrays: dict[str, NDArray[Any]] = {}
    rows: list[Mapping[str, object]] = []
    for i, layer in enumerate(names):
        maps, _ = planes(of_item(session.output(one, layer), layer))
        found = quantised(thumbs(maps))
        arrays |= {f"{key}.{i}": found[key] for key in ("maps", "lo", "hi")}
        rows.append({"layer": layer, "shown": len(found["maps"]), "total": len(maps)})
    session.make_ready(one)
    return wire.array_answer(arrays, {"run_id": one.id, "layers": rows})


def _ranges(session: Session, request: Request) -> Answer:
    """The least and the greatest finite value of every layer of the card, for one scale of the whole net."""
    one = session.run(request.params["run"])
    found: dict[str, list[float]] = {}
    for layer in one.open.card.layers:
        values = session.output(one, layer.id)
        if not bool(values.isfinite().all()):
            values = values[values.isfinite()]
        if values.numel():
            found[layer.id] = [float(values.min()), float(values.max())]
    lo, hi = ([pair[i] for pair in found.values()] for i in (0, 1))
    return wire.json_answer(wire.Ranges(list(found), lo, hi), fixed=True)


def _kernels(session: Session, request: Request) -> Answer:
    opened, layer = session.net(request.params["net"]), request.text("layer")
    path, _ = layer_parts(layer)
    module = dict(opened.net.named_modules(remove_duplicate=False)).get(path)
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim < 2:
        raise Refusal(404, f"{opened.name} has no layer {layer[:80]!r} with kernels", "layer")
    transposed = bool(getattr(module, "transposed", False))
    groups = int(getattr(module, "groups", 1))
    weight = _by_output(weight.detach().float(), groups) if transposed else weight.detach().float()
    first, count = request.whole("from", 0), request.whole("count", 256)
    if not 0 <= first < len(weight) or count < 1:
        raise Refusal(400, f"from={first}, count={count}: there are {len(weight)} kernels", "from")
    each = prod(weight.shape[1:])
    part = weight[first : first + max(1, min(count, MOST_BYTES // (4 * each)))]
    bias = getattr(module, "bias", None)
    meta = {
        "layer": layer,
        "op": type(module).__name__,
        "total": len(weight),
        "from": first,
        "shown": len(part),
        "groups": groups,
        "transposed": transposed,
    }
    arrays = {"weight": part.contiguous().numpy()}
    if isinstance(bias, Tensor):
        arrays["bias"] = bias.detach().float()[first : first + len(part)].numpy()
    return wire.array_answer(arrays, meta)


def _by_output(weight: Tensor, groups: int) -> Tensor:
    """Weights [I, O/g, ...] of a transposed convolution as [O, I/g, ...]."""
    parts = weight.unflatten(0, (groups, -1)).transpose(1, 2)
    return parts.flatten(0, 1)


def _effect(session: Session, request: Request) -> Answer:
    one, layer, at = (
        session.run(request.params["run"]),
        request.text("layer"),
        request.whole("class"),
    )
    view = request.view and f"effect {request.view}"
    found: Tensor = session.on_model(lambda: effect(one, layer, at), view=view)
    meta = {"layer": layer, "run_id": one.id, "class": at, "method": "gradient times activation"}
    return wire.array_answer({"effect": np.ascontiguousarray(found.float().numpy())}, meta)


ROUTES = [
    Route("GET", "api/run/{run}/maps", _maps),
    Route("GET", "api/run/{run}/channel", _channel),
    Route("GET", "api/run/{run}/thumbs", _thumbs),
    Route("GET", "api/run/{run}/ranges", _ranges),
    Route("GET", "api/net/{net}/kernels", _kernels),
    Route("GET", "api/run/{run}/effect", _effect),
]
