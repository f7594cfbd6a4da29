"""What training a net costs: MACs forward and backward, memory by its parts, and time where it is measured.

B items a batch. A convolution, a linear layer or a matrix product of m MACs takes m more for the gradient
of each factor that has one: twice m, but m for a first layer, whose input needs no gradient, or for one whose
weights are frozen, and none before everything trainable. Attention takes 2.5 times its forward MACs, since
it computes its scores again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from striate.errors import ArgumentError, UsageError, nearest
from striate.measuring import timing
from striate.measuring.inputs import Shape, templates
from striate.measuring.macs import formula
from striate.plan import Plan
from striate.plan import device as known_device
from striate.probe import Call, saved_bytes, settled, trace
from striate.report import Result, text_table

OPTIMIZERS = {"sgd": 0, "momentum": 1, "adamw": 2}  # numbers kept beside each parameter
STEP_BYTES = 4  # AdamW counts its steps, a float32 a tensor
ATTENTION = ("scaled_dot_product_attention", "multi_head_attention_forward")


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
    shape: Shape | Sequence[Shape] | str | None = None,
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
    fed = [one.expand(batch, *one.shape[1:]) for one in single]
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
        measured=timing.memory(net, fed, device) if memory else None,
        plan=timing.plan(net, fed, device) if time else None,
    )


def _saved(net: nn.Module, fed: Sequence[Tensor]) -> int:
    """Without numbers; of a net whose control flow depends on them, with some."""
    try:
        return saved_bytes(net, fed)
    except UsageError:
        return timing.memory(net, fed, "cpu")


def _bytes(held: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in held)


def _macs(call: Call) -> int:
    ours = formula(call)
    return call.flops // 2 if ours is None else ours


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
        if call.op in ATTENTION:
            total += 5 * macs // 2
        elif macs:
            # An added bias is no factor: the two that are multiplied stand last in addmm, first elsewhere.
            pair = (
                slice(1, 3)
                if call.op.startswith(("addmm", "baddbmm", "addbmm", "addmv"))
                else slice(2)
            )
            total += macs * sum(needs[pair])
    return total
