"""Which plan is the fastest here, by measuring.

On one CPU bfloat16 is three times faster than float32, on the next five times slower, and channels_last
decides in between. So every candidate takes the same few training steps, in turns, and the fastest whose
outputs stay within its tolerance of the plain form is taken. Compiling costs up to a minute before the first
step, so it is tried only in a training so long that the trial is within the share allowed for choosing.
"""

import copy
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from striate.plan.plan import LAYOUTS, Plan

SHARE, MOST = 0.04, 10.0  # of the training's time, and in seconds, that choosing may take
COMPILING = (
    60.0  # seconds that compiling may well take; where SHARE of the training is more, it is tried
)
ROUNDS = 5
SLOW = 1.0  # seconds of a step from which the user is told beforehand
NARROW = 16  # channels of a shortcut, see `crashing_layer`
WIDE = 16  # channels on either side of a kernel over volumes, see there
GAIN = 1.02  # another plan than the plain one must be this much faster

Learn = Callable[
    [nn.Module, Tensor, Tensor], tuple[Any, ...]
]  # answer, loss, and what else there is


class Watch(NamedTuple):
    """Who is told how choosing goes: `slow` gets the seconds of a first step that is slow, `share` what is done, 0 to 1."""

    slow: Callable[[float], None] = lambda _seconds: None
    share: Callable[[float], None] = lambda _share: None


NOBODY = Watch()


def choose(
    net: nn.Module,
    batch: Tensor,
    target: Tensor,
    learn: Learn,
    *,
    device: str,
    steps: float,
    seconds: float = math.inf,
    watch: Watch = NOBODY,
) -> Plan:
    """Time training steps of every candidate, in turns, and take the fastest that computes the same.

    Args:
        net: left as it is; each candidate trains a copy.
        batch: real inputs [B, C, H, W], float32.
        target: what belongs to them.
        learn: outputs and loss of a net, its inputs and what belongs to them.
        device: where to run.
        steps: how many such steps the training will take; the timing takes about 4 % of that time,
            at most ten seconds.
        seconds: after which the training will end, if that is sooner.
        watch: told the seconds of the first step, where it is so slow that choosing will take a while, and how far
            the choice is.
    """
    plans = [plan for plan in candidates(device) if crashing_layer(net, plan) is None]
    plain = _step(net, batch, target, learn, plans[0])
    first = _seconds(plain)
    if first > SLOW:
        watch.slow(first)
    expected = _outputs(net, batch, plans[0])
    errors = {plan: _difference(_outputs(net, batch, plan), expected) for plan in plans}
    sound = [plan for plan in plans if errors[plan] <= plan.tolerance] or plans[:1]
    racers = {plan: _step(net, batch, target, learn, plan) for plan in sound if plan != plans[0]}
    racers = {plans[0]: plain, **racers}
    times = _race(racers, steps, seconds, watch.share)
    best = min(times, key=times.__getitem__)
    steps = min(steps, seconds / times[best])
    if SHARE * steps * times[best] > COMPILING:
        compiled = replace(best, compiled=True)
        start = time.perf_counter()
        errors[compiled] = _difference(_outputs(net, batch, compiled), expected)
        if errors[compiled] <= compiled.tolerance:
            rivals = {plan: _step(net, batch, target, learn, plan) for plan in (best, compiled)}
            rivals[compiled]()
            spent = time.perf_counter() - start
            step = _race(rivals, steps, seconds)
            if (step[best] - step[compiled]) * steps > spent:  # the training compiles once more
                times[compiled] = times[best] * step[compiled] / step[best]
    return _pick(plans[0], times, tuple(_row(plan, errors, times) for plan in errors))


def timed(
    plan: Plan, net: nn.Module, batch: Tensor, target: Tensor, learn: Learn, *, scale: float = 1.0
) -> Plan:
    """A plan with the time of a step, the median of three; one that is compiled stays as it is.

    Args:
        plan: how to run.
        net: left as it is; a copy is trained.
        batch: real inputs [B, C, H, W], float32.
        target: what belongs to them.
        learn: outputs and loss of a net, its inputs and what belongs to them.
        scale: how many times as large the batches of the training are.
    """
    if plan.compiled:
        return plan
    step = _step(net, batch, target, learn, plan)
    step()
    return replace(plan, step_ms=1000 * scale * statistics.median(_seconds(step) for _ in range(3)))


def _row(
    plan: Plan, errors: Mapping[Plan, float], times: Mapping[Plan, float]
) -> Mapping[str, Any]:
    return {
        "layout": plan.layout,
        "precision": plan.precision,
        "compiled": plan.compiled,
        "ms": round(1000 * times[plan], 3) if plan in times else None,
        "difference": errors[plan],
        "refused": plan not in times,
    }


def candidates(device: str) -> list[Plan]:
    """What is timed on a device, the plain form first.

    Half the bits pay only together with channels_last; float16, which needs its loss scaled, on GPUs alone.
    """
    halves = ("bf16", "fp16") if device.startswith("cuda") else ("bf16",)
    plain = [Plan(device, layout) for layout in LAYOUTS]
    return plain + [Plan(device, "channels_last", precision) for precision in halves]


def _pick(plain: Plan, times: Mapping[Plan, float], table: tuple[Mapping[str, Any], ...]) -> Plan:
    best = min(times, key=times.__getitem__)
    ratio = times[plain] / times[best]
    if best == plain or ratio < GAIN:
        why = "measured: nothing is faster than the plain form"
        return replace(plain, why=why, step_ms=1000 * times[plain], candidates=table)
    why = f"measured: {ratio:.2f}x the plain default, outputs within {best.tolerance:g}"
    return replace(best, ratio=ratio, why=why, step_ms=1000 * times[best], candidates=table)


def _outputs(net: nn.Module, batch: Tensor, plan: Plan) -> Tensor:
    trial = plan.compile(plan.place(copy.deepcopy(net)).eval())
    try:
        with torch.inference_mode(), plan.autocast():
            return trial(plan.batch(batch)).float().cpu()
    except Exception:  # noqa: BLE001 - a view that one layout forbids, a compiler that is not there: no plan for it
        return torch.full((1,), math.nan)


def _step(
    net: nn.Module, batch: Tensor, target: Tensor, learn: Learn, plan: Plan
) -> Callable[[], None]:
    trial = plan.compile(plan.place(copy.deepcopy(net)).train())
    target = target.to(torch.device(plan.device))

    def step() -> None:
        with plan.autocast():
            value = learn(trial, plan.batch(batch), target)[1]
        value.backward()
        trial.zero_grad()
        if plan.device.startswith("cuda"):
            torch.cuda.synchronize()

    return step


def _difference(outputs: Tensor, expected: Tensor) -> float:
    if not torch.isfinite(outputs).all():
        return math.inf
    return float((outputs - expected).abs().max() / expected.abs().max().clamp_min(1e-6))


def _race(
    candidates: Mapping[Plan, Callable[[], None]],
    steps: float,
    seconds: float = math.inf,
    share: Callable[[float], None] = lambda _share: None,
) -> dict[Plan, float]:
    """Median seconds of a step of each candidate, in turns, so that a busy moment hits them all.

    A first step of each warms up and counts for nothing. One that is far behind after two more stops
    running; the first candidate, to which the others are compared, never does.
    """
    start = time.perf_counter()
    for step in candidates.values():
        step()
    times: dict[Plan, list[float]] = {plan: [] for plan in candidates}
    racing = list(candidates)
    for i in range(50):
        for plan in racing:
            times[plan].append(_seconds(candidates[plan]))
        lead = min(min(spent) for spent in times.values())
        if i > 0:
            racing = [p for n, p in enumerate(candidates) if n == 0 or min(times[p]) <= 1.3 * lead]
        gone = time.perf_counter() - start
        allowed = max(SHARE * min(steps * lead, seconds), 1e-9)
        share(min(1.0, max(gone / MOST, min(gone / allowed, (i + 1) / ROUNDS))))
        if gone > MOST or (gone > allowed and i + 1 >= ROUNDS):
            break
    return {plan: statistics.median(spent) for plan, spent in times.items()}


def _seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def crashing_layer(net: nn.Module, plan: Plan) -> str | None:
    """Path of a layer whose backward pass ends the process under a plan, if there is one.

    On CPUs with AVX-512 torch 2.13 and 2.14 (oneDNN) reach beyond their memory in the gradient of the kernels of
    a 1x1 convolution with a stride from fewer than 16 channels, in channels_last, float32 and bfloat16 alike. What
    lies there is overwritten: a process ends at once, after a hundred steps, or not at all. Found with pages
    around each array that may not be touched: 3 to 12 channels to 16 to 32, stride 2 and 4, maps of 28 to 56 did
    it; 16 and more channels, three-by-three kernels, stride 1 and the default layout did not. ResNets of CIFAR-10
    at half their width have such a shortcut.

    In bfloat16 (AVX-512) the gradient of the kernels of a convolution over volumes is wrong, often not a number, and the
    heap may be broken, where a volume has fewer slices than the kernel: 3x3x3 on 2 slices, 5x5x5 on 2 to 4, both
    layouts, 16 channels or more on either side. Without padding there are never fewer, so that such layers are left.
    """
    if plan.device != "cpu":
        return None
    risky = [_narrow_shortcut] if plan.layout == "channels_last" else []
    risky += [_padded_volumes] if plan.precision == "bf16" else []
    layers = net.named_modules()
    return next((path for path, layer in layers if any(each(layer) for each in risky)), None)


def crash_words(net: nn.Module, path: str) -> str:
    """What kind of layer `crashing_layer` found there, and in what it is not to be run."""
    if isinstance(net.get_submodule(path), nn.Conv3d):
        return "(over volumes, padded) in bfloat16"
    return "(1x1 with a stride, few channels) in channels_last"


def _padded_volumes(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv3d)
        and layer.kernel_size[0] > 1
        and layer.padding != "valid"
        and layer.padding[0] != 0
        and max(layer.in_channels, layer.out_channels) >= WIDE
    )


def _narrow_shortcut(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and max(layer.stride) > 1
        and layer.in_channels // layer.groups < NARROW
    )
