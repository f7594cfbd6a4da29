"""How a net is executed here: device, memory layout, precision; chosen by measuring, not by belief.

On one CPU bfloat16 is three times faster than float32, on the next five times slower, and channels_last
decides in between. So every candidate takes the same few training steps, in turns, and the fastest whose
outputs stay within its tolerance of the plain form is taken.
"""

import copy
import math
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, UsageError, nearest
from striate.report import Result

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Largest difference from float32 in the default layout, as a share of the largest output. bfloat16 keeps
# 8 bits of a number (0.4 %), and some ten layers add up.
TOLERANCES = {"fp32": 1e-3, "bf16": 5e-2}
SHARE, MOST = 0.04, 10.0  # of the training's time, and in seconds, that choosing may take
ROUNDS = 5
GAIN = 1.02  # another plan than the plain one must be this much faster

Learn = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Plan(Result):
    """Where and how a net runs, and why."""

    device: str = "cpu"
    layout: str = "contiguous"
    precision: str = "fp32"
    compiled: bool = False
    ratio: float = 1.0
    why: str = "the plain default"
    step_ms: float | None = None  # of the batch that was timed
    candidates: tuple[Mapping[str, Any], ...] = field(default=(), repr=False, compare=False)

    @property
    def tolerance(self) -> float:
        """Largest difference from the plain plan that is accepted, relative to the largest output."""
        return TOLERANCES[self.precision]

    def place(self, net: nn.Module) -> nn.Module:
        """Bring a net to the plan's device and layout, in place."""
        net = net.to(torch.device(self.device))
        return net.to(memory_format=LAYOUTS[self.layout])  # pyright: ignore[reportCallIssue] - torch does not declare it

    def batch(self, x: Tensor) -> Tensor:
        """Bring a batch of pictures [B, C, H, W] to the plan's device and layout."""
        x = x.to(torch.device(self.device)).contiguous(memory_format=LAYOUTS[self.layout])
        # One channel lies in memory alike in both layouts; the strides decide which one torch goes on in.
        return x.flatten().view(x.shape) if self.layout == "contiguous" else x

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which a forward pass has the plan's precision."""
        low = self.precision != "fp32"
        kind = torch.device(self.device).type
        return torch.autocast(
            kind, PRECISIONS[self.precision] if low else torch.bfloat16, enabled=low
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Plan":
        """Read back what `as_dict` gave."""
        known: dict[str, Any] = {
            each.name: content[each.name] for each in fields(cls) if each.name in content
        }
        known["candidates"] = tuple(known.get("candidates", ()))  # a list in JSON
        return cls(**known)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the run folder and the report."""
        return asdict(self) | {"tolerance": self.tolerance}

    def as_text(self) -> str:
        """One line."""
        return f"plan: {self.layout}, {self.precision} on {self.device} ({self.why})"


def device(wanted: str = "auto") -> str:
    """The device to use: the one asked for, or CUDA, or Apple's, or the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    have = ["cpu"]
    if torch.backends.mps.is_available():
        have.insert(0, "mps")
    if torch.cuda.is_available():
        have[:0] = ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if wanted == "auto":
        return have[0]
    if wanted not in have:
        raise UsageError(
            f"device={wanted} is not on this machine; {nearest(wanted, [*have, 'auto'])}"
        )
    return wanted


def explicit(text: str, device: str) -> Plan:
    """A plan as written: `default`, or words joined by commas such as `channels_last,bf16`.

    Raises:
        ArgumentError: a word is unknown.
    """
    chosen: dict[str, str] = {}
    for word in text.split(",") if text != "default" else []:
        kinds = {"layout": LAYOUTS, "precision": PRECISIONS}
        kind = next((kind for kind, words in kinds.items() if word in words), None)
        if kind is None:
            known = ["auto", "default", *LAYOUTS, *PRECISIONS]
            raise ArgumentError(
                f"plan={text}: {word!r} is no part of a plan; {nearest(word, known)}"
            )
        chosen[kind] = word
    return Plan(
        device,
        chosen.get("layout", "contiguous"),
        chosen.get("precision", "fp32"),
        why="as asked for" if chosen else "the plain default",
    )


def choose(
    net: nn.Module, batch: Tensor, target: Tensor, learn: Learn, *, device: str, steps: float
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
    """
    plans = [
        Plan(device, layout, precision)
        for precision in PRECISIONS
        for layout in LAYOUTS
        # bfloat16 pays only together with channels_last, and must be there to pay at all
        if precision == "fp32" or layout == "channels_last"
    ]
    outputs = {plan: _outputs(net, batch, plan) for plan in plans}
    errors = {plan: _difference(outputs[plan], outputs[plans[0]]) for plan in plans}
    sound = [plan for plan in plans if errors[plan] <= plan.tolerance] or plans[:1]
    times = _race({plan: _step(net, batch, target, learn, plan) for plan in sound}, steps)
    table = tuple(
        {
            "layout": plan.layout,
            "precision": plan.precision,
            "ms": round(1000 * times[plan], 3) if plan in times else None,
            "difference": errors[plan],
            "refused": plan not in times,
        }
        for plan in plans
    )
    return _pick(plans[0], times, table)


def _pick(plain: Plan, times: Mapping[Plan, float], table: tuple[Mapping[str, Any], ...]) -> Plan:
    best = min(times, key=times.__getitem__)
    ratio = times[plain] / times[best]
    if best == plain or ratio < GAIN:
        why = "measured: nothing is faster than the plain form"
        return replace(plain, why=why, step_ms=1000 * times[plain], candidates=table)
    why = f"measured: {ratio:.2f}x the plain default, outputs within {best.tolerance:g}"
    return replace(best, ratio=ratio, why=why, step_ms=1000 * times[best], candidates=table)


def _outputs(net: nn.Module, batch: Tensor, plan: Plan) -> Tensor:
    """What the net answers under a plan, without dropout."""
    trial = plan.place(copy.deepcopy(net)).eval()
    try:
        with torch.inference_mode(), plan.autocast():
            return trial(plan.batch(batch)).float().cpu()
    except RuntimeError:  # such as a view that only one layout allows: no plan for this net
        return torch.full((1,), math.nan)


def _step(
    net: nn.Module, batch: Tensor, target: Tensor, learn: Learn, plan: Plan
) -> Callable[[], None]:
    """A function that does one forward and backward pass under a plan."""
    trial = plan.place(copy.deepcopy(net)).train()
    target = target.to(torch.device(plan.device))

    def step() -> None:
        with plan.autocast():
            _, value = learn(trial, plan.batch(batch), target)
        value.backward()
        trial.zero_grad()
        if plan.device.startswith("cuda"):
            torch.cuda.synchronize()

    return step


def _difference(outputs: Tensor, expected: Tensor) -> float:
    if not torch.isfinite(outputs).all():
        return math.inf
    return float((outputs - expected).abs().max() / expected.abs().max().clamp_min(1e-6))


def _race(candidates: Mapping[Plan, Callable[[], None]], steps: float) -> dict[Plan, float]:
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
        if gone > MOST or (gone > SHARE * steps * lead and i + 1 >= ROUNDS):
            break
    return {plan: statistics.median(spent) for plan, spent in times.items()}


def _seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
