"""The training loop. B batch."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from striate.errors import NumericError
from striate.plan import Plan
from striate.tasks import Classify
from striate.training import seed as randomness
from striate.training.batches import Batches
from striate.training.optim import rate
from striate.training.recipe import Recipe


@dataclass
class Totals:
    """Sums over the steps of an epoch."""

    items: int = 0
    loss: float = 0.0
    right: int = 0
    seconds: float = 0.0

    def add(self, outputs: Tensor, target: Tensor, loss: float, seconds: float) -> None:
        """Count one step."""
        self.items += len(target)
        self.loss += loss * len(target)
        self.right += int((outputs.argmax(1) == target).sum())
        self.seconds += seconds


@dataclass
class State:
    """Where a training stands. `step` counts the steps that are done, over all epochs."""

    net: nn.Module
    opt: torch.optim.Optimizer
    step: int = 0
    totals: Totals = field(default_factory=Totals)


class BrokenStepError(NumericError):
    """A step whose loss or gradient is no number; it was not taken."""

    def __init__(self, message: str, details: Mapping[str, object]) -> None:
        super().__init__(message)
        self.details = dict(details)


def run(
    state: State,
    batches: Batches,
    task: Classify,
    *,
    recipe: Recipe,
    plan: Plan,
    after_step: Callable[[State], None],
    after_epoch: Callable[[State, int], None],
) -> None:
    """Train until the recipe's epochs are done, from wherever the state stands.

    Args:
        state: changed step by step.
        batches: the training items.
        task: whose loss is made small.
        recipe: settled, without `None` in what is used here.
        plan: how the net runs.
        after_step: called after every step; what it raises ends the training.
        after_epoch: called with the number of the epoch that ended, from zero.

    Raises:
        BrokenStepError: a loss or gradient is no finite number; weights stay as before that step.
    """
    epochs = recipe.epochs or 1
    for epoch in range(state.step // batches.steps, epochs):
        plain = epoch == epochs - 1 and epochs > 1  # the last epoch sees what evaluation will see
        state.net.train()
        for step, index in enumerate(batches.order(epoch)):
            if epoch * batches.steps + step < state.step:
                continue  # done before the training was resumed
            start = time.perf_counter()
            x, target = batches.take(index, epoch, step, plain=plain)
            try:
                outputs, loss = _step(
                    state, x, target, task, recipe=recipe, plan=plan, steps=epochs * batches.steps
                )
            except BrokenStepError as error:
                error.details["items"] = index.tolist()
                raise
            state.totals.add(outputs, target, loss, time.perf_counter() - start)
            state.step += 1
            if state.step % batches.steps == 0:  # before anything can end the training here
                after_epoch(state, epoch)
                state.totals = Totals()
            after_step(state)


def _step(
    state: State,
    x: Tensor,
    target: Tensor,
    task: Classify,
    *,
    recipe: Recipe,
    plan: Plan,
    steps: int,
) -> tuple[Tensor, float]:
    """One step: forward, backward, update. Returns the outputs and the loss."""
    randomness.set_global(recipe.seed, "step", state.step)
    for group in state.opt.param_groups:
        group["lr"] = rate(recipe, state.step, steps)
    with plan.autocast():
        outputs, loss = task.learn(state.net, plan.batch(x), target)
    state.opt.zero_grad()
    loss.backward()
    moved = [p for p in state.net.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in moved if p.grad is not None])
    value = float(loss.detach())
    if not math.isfinite(value + float(norm)):
        raise _broken(state, value, float(norm))
    if recipe.clip:
        torch.nn.utils.clip_grads_with_norm_(moved, recipe.clip, norm)
    state.opt.step()
    return outputs.detach(), value


def check_weights(state: State) -> None:
    """Refuse weights that are no numbers, before they are kept.

    Raises:
        BrokenStepError: naming the first.
    """
    for name, tensor in state.net.state_dict().items():
        if isinstance(tensor, Tensor) and not torch.isfinite(tensor).all():
            lr = state.opt.param_groups[0]["lr"]
            raise BrokenStepError(
                f"step {state.step}: {name} holds values that are no finite numbers "
                f"(learning rate {lr:.3g}). Train anew with a smaller lr, or clip=1",
                {"step": state.step, "lr": lr, "layers": [name]},
            )


def _broken(state: State, loss: float, norm: float) -> BrokenStepError:
    """What is known of a step that must not be taken.

    Gradients run from the last layer to the first, so the last parameter in the net's order whose gradient
    is not finite is where it broke first.
    """
    bad = [
        name
        for name, p in state.net.named_parameters()
        if p.grad is not None and not torch.isfinite(p.grad).all()
    ]
    lr = state.opt.param_groups[0]["lr"]
    first = bad[-1] if bad else "none of the parameters alone"
    details = {
        "step": state.step + 1,
        "loss": str(loss),  # JSON has no word for what is no number
        "lr": lr,
        "gradient_norm": str(norm),
        "gradient_norms": {
            name: str(float(p.grad.norm()))
            for name, p in state.net.named_parameters()
            if p.grad is not None
        },
        "layers": bad,
    }
    return BrokenStepError(
        f"step {state.step + 1}: the loss is {loss:g} and the gradient of {first} broke first "
        f"(learning rate {lr:.3g}); the step was not taken. Train anew with a smaller lr, or clip=1",
        details,
    )
