"""What training a net costs: MACs forward and backward, memory by its parts, and time where it is measured.

B items a batch. A convolution, a linear layer or a matrix product of m MACs takes m more for the gradient
of each factor that has one: twice m, but m for a first layer, whose input needs no gradient, or for one whose
weights are frozen, and none before everything trainable. Attention takes 2.5 times its forward MACs, since
it computes its scores again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from striate import plan as plans
from striate.errors import ArgumentError, StriateError, UsageError, nearest
from striate.measuring.inputs import Given, templates
from striate.measuring.operations import formula, operation
from striate.models import catalog
from striate.plan import Plan
from striate.plan import device as known_device
from striate.probe import Call, Inputs, copied, saved_bytes, settled, tensors, trace
from striate.result import Result, text_table
from striate.text import times

OPTIMIZERS = {"sgd": 0, "momentum": 1, "adamw": 2}  # numbers kept beside each parameter
STEP_BYTES = 4  # AdamW counts its steps, a float32 a tensor
STEPS = 200  # of a training for whose sake the plan is chosen
WIDTHS, SIZES = (1.0, 0.5), (1.0, 0.75, 0.5)  # what a forecast tries


@dataclass(frozen=True)
class Cost(Result):
    """The cost of training with batches of `batch` items; MACs of a whole batch, memory in bytes.

    Attributes:
        batch: items a step.
        optimizer: "sgd", "momentum" or "adamw".
        forward: MACs of the forward pass.
        backward: MACs of the backward pass.
        weights: parameters and buffers.
        gradients: of everything trainable.
        state: of the optimiser.
        saved: what the forward pass keeps for the backward pass, predicted without running a number.
        working: twice the largest output: it and its gradient, while they are computed.
        measured: `saved`, measured on the CPU; or what CUDA held at the peak above the weights; None if not asked.
        plan: how a step ran and in what time; None if not asked.
    """

    batch: int
    optimizer: str
    forward: int
    backward: int
    weights: int
    gradients: int
    state: int
    saved: int
    working: int
    measured: int | None = None
    plan: Plan | None = field(default=None)

    @property
    def peak(self) -> int:
        """Everything held at once at the end of a forward pass, predicted."""
        return self.weights + self.gradients + self.state + self.saved + self.working

    def as_dict(self) -> dict[str, Any]:
        """The JSON key `training`."""
        told: dict[str, Any] = {
            "batch": self.batch,
            "optimizer": self.optimizer,
            "macs": {"forward": self.forward, "backward": self.backward},
            "bytes": {
                "weights": self.weights,
                "gradients": self.gradients,
                "optimizer": self.state,
                "saved": self.saved,
                "working": self.working,
                "peak": self.peak,
            },
        }
        if self.measured is not None:
            told["bytes"]["measured"] = self.measured
        if self.plan is not None:
            told["step_ms"] = self.plan.step_ms
            told["plan"] = self.plan.as_dict()
        return told

    def as_text(self) -> str:
        """A receipt: MACs, memory by part, what was measured."""
        rows = [
            ["forward", f"{self.forward:,} MACs"],
            [
                "backward",
                f"{self.backward:,} MACs ({self.backward / max(self.forward, 1):.2f}x forward)",
            ],
            ["weights and buffers", _mega(self.weights)],
            ["gradients", _mega(self.gradients)],
            [f"optimiser ({self.optimizer})", _mega(self.state)],
            ["kept for the backward pass", _mega(self.saved)],
            ["largest output and its gradient", _mega(self.working)],
            ["peak, predicted", _mega(self.peak)],
        ]
        if self.measured is not None:
            rows.append(["kept, measured", _mega(self.measured)])
        if self.plan is not None and self.plan.step_ms is not None:
            rows.append(["a step, measured", f"{self.plan.step_ms:.1f} ms; {self.plan.as_text()}"])
        return f"training with batches of {self.batch}\n{text_table(['part', 'amount'], rows)}"


def _mega(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def training_cost(
    net: nn.Module,
    shape: Given | None = None,
    *,
    batch: int = 1,
    optimizer: str = "momentum",
    memory: bool = False,
    time: bool = False,
    device: str = "cpu",
) -> Cost:
    """What a step of training costs; the net is not touched.

    Args:
        net: any module.
        shape: one input without its batch axis, as for `measure`.
        batch: items a step.
        optimizer: "sgd", "momentum" or "adamw".
        memory: also measure what the forward pass keeps.
        time: also time a step, by the fastest plan that computes the same.
        device: where memory and time are measured.

    Raises:
        ArgumentError: a batch under 1, or an unknown optimizer.
        UsageError: there is no such device here, the net cannot be copied, or does not run in training
            mode without numbers.
    """
    device = known_device(device)
    if batch < 1:
        raise ArgumentError(f"batch={batch}: expected at least 1 item")
    if optimizer not in OPTIMIZERS:
        raise ArgumentError(f"optimizer={optimizer!r}: {nearest(optimizer, OPTIMIZERS)}")
    single = templates(net, shape)
    net = settled(net, single)
    fed = single.mapped(
        lambda one: one.expand(batch, *one.shape[1:]) if one.shape[:1] == (1,) else one
    )
    run = trace(net, single)
    trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
    forward = sum(_macs(call) for call in run.calls)
    held = [*net.parameters(), *net.buffers()]
    outputs = [v.count * v.dtype.itemsize for call in run.calls for v in call.outputs if v.live]
    kept = _bytes(list(trained.values()))
    state = OPTIMIZERS[optimizer] * kept + (optimizer == "adamw") * STEP_BYTES * len(trained)
    return Cost(
        batch=batch,
        optimizer=optimizer,
        forward=batch * forward,
        backward=batch * backward_macs(run.calls, trained),
        weights=_bytes(held),
        gradients=kept,
        state=state,
        saved=_saved(net, fed),
        working=2 * batch * max(outputs, default=0),
        measured=_memory(net, fed, device) if memory else None,
        plan=_plan(net, fed, device) if time else None,
    )


def _saved(net: nn.Module, fed: Inputs) -> int:
    """Without numbers; of a net whose control flow depends on them, with some."""
    try:
        return saved_bytes(net, fed)
    except UsageError:
        return _memory(net, fed, "cpu")


def _bytes(held: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in held)


def _macs(call: Call) -> int:
    ours = formula(call)
    return max(ours or 0, call.flops // 2)


def backward_macs(calls: Sequence[Call], trained: Mapping[str, object]) -> int:
    """MACs of the backward pass, from which values of the run need a gradient."""
    needing: set[int] = set()
    total = 0
    for call in calls:
        needs = [
            value.index in needing or any(p in trained for p in value.params)
            for value in call.inputs
        ]
        if not any(needs):
            continue
        needing.update(value.index for value in call.outputs)
        macs = _macs(call)
        known = operation(call.op)
        if known.backward is not None:
            total += int(known.backward * macs)
        elif macs:
            total += macs * sum(needs[known.factors : known.factors + 2])
    return total


# Measured on this machine: the memory that a forward pass keeps, the time of a step.


class _Flat(nn.Module):
    """A net whose outputs are one row of numbers an item, so that it has a loss whatever it gives."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """[B, ...] to [B, numbers]."""
        found = [t.flatten(1) for t in tensors(self.net(x)) if t.is_floating_point()]
        return torch.cat(found, 1)


def _learn(net: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    outputs = net(x)
    return outputs, (outputs.float() - y[:, None]).square().mean()


def _batch(like: Inputs) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    return like.mapped(
        lambda t: (
            torch.rand(t.shape, generator=generator).to(t.dtype)
            if t.is_floating_point()
            else torch.zeros(t.shape, dtype=t.dtype)
        )
    )


def _memory(net: nn.Module, like: Inputs, device: str) -> int:
    """Bytes that one forward pass in training mode keeps: counted on the CPU, the peak above the weights on CUDA."""
    if not device.startswith("cuda"):
        return saved_bytes(net, _batch(like), device="cpu")
    twin = copied(net, device).train()
    fed = _batch(like).mapped(lambda t: t.to(device))
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    outputs = [t for t in tensors(fed.call(twin)) if t.requires_grad]
    sum(t.float().sum() for t in outputs).backward()  # pyright: ignore[reportAttributeAccessIssue]
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _plan(net: nn.Module, like: Inputs, device: str) -> plans.Plan:
    """The fastest plan of a training step, with its time.

    Raises:
        UsageError: the net has several inputs.
    """
    if len(like.args) != 1 or like.kwargs or not isinstance(like.args[0], Tensor):
        count = len(like.args) + len(like.kwargs)
        raise UsageError(f"a step of a net with {count} inputs is not timed; drop --time")
    (x,) = _batch(like).tensors
    target = torch.zeros(len(x))
    twin = _Flat(copied(net, "cpu"))
    return plans.choose(twin, x, target, _learn, device=device, steps=STEPS)


# A narrower net, or smaller pictures.


@dataclass(frozen=True)
class Option:
    """One width and input, its parameters and its cost."""

    width: float
    input: tuple[int, ...]
    params: int
    cost: Cost


@dataclass(frozen=True)
class Forecast(Result):
    """Options of one net, the net as it is first."""

    net: str
    options: tuple[Option, ...]

    def as_list(self) -> list[dict[str, Any]]:
        """One entry an option; `time` is predicted from the MACs, as a share of the first."""
        return [
            {
                "width": option.width,
                "input": list(option.input),
                "params": option.params,
                "macs": option.cost.forward + option.cost.backward,
                "peak_bytes": option.cost.peak,
                "time": self._share(option),
                "step_ms": self._step(option),
            }
            for option in self.options
        ]

    def as_dict(self) -> dict[str, Any]:
        """The options under one key."""
        return {"net": self.net, "options": self.as_list()}

    def as_text(self) -> str:
        """One row an option."""
        rows = [
            [
                f"{option.width:g}",
                times(option.input),
                f"{option.params:,}",
                f"{option.cost.forward + option.cost.backward:,}",
                f"{option.cost.peak / 2**20:,.0f}",
                f"{self._share(option):.0%}"
                if (step := self._step(option)) is None
                else f"{step:.0f} ms",
            ]
            for option in self.options
        ]
        header = ["width", "input", "parameters", "MACs a step", "peak MiB", "time by MACs"]
        return text_table(header, rows)

    def _share(self, option: Option) -> float:
        first, here = self.options[0].cost, option.cost
        return (here.forward + here.backward) / max(first.forward + first.backward, 1)

    def _step(self, option: Option) -> float | None:
        timed = self.options[0].cost.plan
        return (
            None if timed is None or timed.step_ms is None else timed.step_ms * self._share(option)
        )


def forecast(name: str, first: Cost, shape: tuple[int, ...]) -> Forecast:
    """The cost of a catalogue net at other widths and input sizes; those it cannot be built for are left out.

    Args:
        name: of the catalogue.
        first: its cost as it is.
        shape: its input, channels first.

    Raises:
        ArgumentError: no net has this name.
    """
    inputs = [(shape[0], *(max(1, round(side * scale)) for side in shape[1:])) for scale in SIZES]
    options = [_option(name, first, size, width) for width in WIDTHS for size in inputs]
    kept = [option for option in options if option]
    if kept:
        kept[0] = replace(kept[0], cost=first)  # with what was measured
    return Forecast(name, tuple(kept))


def _option(name: str, first: Cost, shape: tuple[int, ...], width: float) -> Option | None:
    try:
        net = catalog.build(name, in_channels=shape[0], size=shape[1:], width=width, init=False)
        cost = training_cost(net, shape, batch=first.batch, optimizer=first.optimizer)
    except StriateError:
        return None  # a net of one size, or without a width
    params = sum(p.numel() for p in net.parameters())
    return Option(width, shape, params, cost)
