"""The changing part of a training: all that a checkpoint must hold for it to go on as if nothing had been."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import CheckpointError, NumericError
from striate.plan import Plan
from striate.runs.checkpoint import Checkpoint
from striate.runs.config import check_tensors, checked
from striate.training import optimizers
from striate.training.optimizers import EMA
from striate.training.recipe import Recipe
from striate.training.schedules import Course

COUNT = "count "  # before the name of a sum over items that is no part of the loss


class BrokenStepError(NumericError):
    """A step whose loss or gradient is no number; it was not taken."""

    def __init__(self, message: str, details: Mapping[str, object]) -> None:
        super().__init__(message)
        self.details = dict(details)


@dataclass
class Totals:
    """Sums over the steps of an epoch.

    Attributes:
        items: that were learned from.
        loss: over the items.
        seconds: of the steps.
        waited: of these, in which the training stood still until items were decoded or read, and on the device.
        prepared: of these, in which batches were made of them: random views, spectra, scaling. It is work of the step.
        parts: of the loss, over the items, by name.
        counts: of what the task counts, by name.
    """

    items: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    prepared: float = 0.0
    parts: dict[str, float] = field(default_factory=dict[str, float])
    counts: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, sums: Mapping[str, float]) -> None:
        """Count one step: its items, its mean loss, the parts of that, and what begins with `COUNT`."""
        items = int(sums["items"])
        self.items += items
        self.loss += sums["loss"] * items
        for name, value in sums.items():
            if name.startswith(COUNT):
                counted = name.removeprefix(COUNT)
                self.counts[counted] = self.counts.get(counted, 0.0) + value
            elif name not in ("items", "loss"):
                self.parts[name] = self.parts.get(name, 0.0) + value * items


@dataclass
class LossScale:
    """The factor that keeps small gradients above the smallest number of float16.

    Halved, and the step left out, where a gradient overflows; doubled after 2,000 steps without one
    (Micikevicius et al. 2018, arXiv 1710.03740, section 3.2). `skipped` counts the steps left out.
    """

    factor: float = 65_536.0
    good: int = 0
    skipped: int = 0

    def overflowed(self) -> bool:
        """Halve the factor; False where that cannot be the cause any more."""
        self.factor, self.good, self.skipped = self.factor / 2, 0, self.skipped + 1
        return self.factor >= 1

    def passed(self) -> None:
        """Count a step that went well."""
        self.good += 1
        if self.good == 2000:
            self.factor, self.good = self.factor * 2, 0


@dataclass
class Memory:
    """What state.json of a checkpoint holds; `rows` and `seconds` are the record's."""

    totals: Totals
    course: Course
    scale: LossScale | None
    parts: int
    rows: list[dict[str, float]]
    seconds: float
    ended: float | None = (
        None  # None in a checkpoint of an earlier version, whose rows added the seconds up
    )

    @property
    def epochs_ended(self) -> float:
        """Seconds that had been spent when the last epoch ended."""
        last = self.rows[-1].get("seconds", 0.0) if self.rows else 0.0
        return last if self.ended is None else self.ended


@dataclass
class State:
    """Where a training stands.

    `step` counts the steps that are done, over all epochs; a batch is computed in `parts` times as many parts as
    the recipe says.
    """

    net: nn.Module
    opt: torch.optim.Optimizer
    step: int = 0
    totals: Totals = field(default_factory=Totals)
    course: Course = field(default_factory=Course)
    average: EMA | None = None
    scale: LossScale | None = None
    parts: int = 1

    @classmethod
    def begin(cls, net: nn.Module, recipe: Recipe, plan: Plan) -> "State":
        """The state before the first step; the net is brought where the plan wants it."""
        net = plan.place(net)
        opt = optimizers.optimizer(net, recipe)
        average = EMA(net, recipe.ema) if recipe.ema else None
        return cls(
            plan.compile(net),
            opt,
            average=average,
            scale=LossScale() if plan.precision == "fp16" else None,
        )

    @property
    def answering(self) -> nn.Module:
        """The net that is evaluated and kept: the average where there is one."""
        return self.average.net if self.average else self.net

    def tensors(self) -> dict[str, Tensor]:
        """Everything of it that is a tensor, by name."""
        found = {f"net.{name}": t for name, t in self.net.state_dict().items()}
        found |= {f"opt.{name}": t for name, t in optimizers.state_tensors(self.opt).items()}
        if self.average:
            found |= {f"ema.{name}": t for name, t in self.average.net.state_dict().items()}
        return found

    def memory(self) -> dict[str, Any]:
        """Everything else, as JSON takes it."""
        return {
            "totals": asdict(self.totals),
            "course": asdict(self.course),
            "scale": asdict(self.scale) if self.scale else None,
            "parts": self.parts,
        }

    def restore(self, step: int, tensors: Mapping[str, Tensor], memory: Mapping[str, Any]) -> None:
        """Put back what `tensors` and `memory` gave after `step` steps."""
        self.net.load_state_dict(part(tensors, "net."))
        self.opt.state.clear()  # of steps that are undone
        optimizers.load_state_tensors(self.opt, part(tensors, "opt."))
        if self.average:
            self.average.net.load_state_dict(part(tensors, "ema."))
        self.step, self.parts = step, memory["parts"]
        self.totals = Totals(**memory["totals"])
        self.course = Course(**memory["course"])
        if self.scale:
            self.scale = LossScale(**memory["scale"])

    def go_back(self, path: Path, found: Checkpoint) -> Memory:
        """`restore` a checkpoint of this training, and give what else it remembers.

        Args:
            path: of the run folder, named in messages.
            found: the checkpoint.

        Raises:
            CheckpointError: it is not of such a training.
        """
        place = path / "checkpoints" / f"step-{found.step:08d}"
        check_tensors(part(found.tensors, "net."), _tensors(self.net), place)
        if self.average:
            check_tensors(part(found.tensors, "ema."), _tensors(self.average.net), place)
        try:
            memory: Memory = checked(Memory, dict(found.state))
            _check_memory(self.opt, part(found.tensors, "opt."))
            self.restore(found.step, found.tensors, found.state)
        except (IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{place} is not of this training ({reason}); train anew"
            ) from error
        return memory


def _check_memory(opt: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Refuse an optimiser's memory that is not of these parameters.

    Raises:
        ValueError: naming the first tensor.
    """
    parameters = [p for group in opt.param_groups for p in group["params"]]
    found: dict[int, set[str]] = {}  # its keys; matrices may have others than vectors
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        found.setdefault(int(index), set()).add(key)
        if (
            tensor.shape not in (parameter.shape, torch.Size())
            or not tensor.is_floating_point()
            or tensor.dtype not in (parameter.dtype, torch.float32)
        ):
            raise ValueError(
                f"opt.{name} is {tuple(tensor.shape)} {tensor.dtype} "
                f"for weights of {tuple(parameter.shape)} {parameter.dtype}"
            )
    for index, keys in found.items():
        matrix = parameters[index].ndim > 1
        alike = [known for i, known in found.items() if (parameters[i].ndim > 1) == matrix]
        if missing := set[str]().union(*alike) - keys:
            raise ValueError(f"opt.{index}.{min(missing)} is missing")


def _tensors(net: nn.Module) -> dict[str, Tensor]:
    return {name: t for name, t in net.state_dict().items() if isinstance(t, Tensor)}


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def kept(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a checkpoint that are evaluated and kept: the average's where there is one."""
    return part(tensors, "ema.") or part(tensors, "net.")
