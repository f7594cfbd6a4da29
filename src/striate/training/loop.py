"""The training loop. B batch.

`run` takes all steps of a training; `take_step` takes one, for loops of your own (`examples/own_loop.py`). Both change a
`State` and read a `Setting`.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from striate.augment import mix, read
from striate.errors import RecipeError
from striate.plan import Plan
from striate.tasks import Learned
from striate.training import optimizers, reproducibility
from striate.training.batches import Batches
from striate.training.distributed import ALONE, Alone
from striate.training.failures import Guard, broken_step
from striate.training.freezing import begin_epoch
from striate.training.logs import Health
from striate.training.objective import Objective
from striate.training.recipe import Recipe
from striate.training.schedules import Place, rate
from striate.training.state import COUNT, State, Totals

# Of a part of a batch its values, and their factors in the sums of the step.
Sums = Mapping[str, tuple[Tensor | int, float]]


def stopwatch() -> Callable[[], float]:
    """Seconds since this call, whenever what it gives is called."""
    began = time.monotonic()
    return lambda: time.monotonic() - began


@dataclass(frozen=True)
class Setting:
    """What does not change while the loop runs.

    Attributes:
        batches: of the training items.
        task: what is learned; any `Objective`.
        recipe: with a learning rate, and with epochs or a budget.
        plan: how the net is executed.
        health: logs statistics of every layer.
        spent: gives the seconds of the training so far, for a budget of time.
        guard: says what follows a step that cannot be taken.
        ranks: this process, of those that train together.

    Raises:
        RecipeError: the recipe says no learning rate, or not when it ends.
    """

    batches: Batches
    task: Objective
    recipe: Recipe
    plan: Plan = field(default_factory=Plan)
    health: Health = field(default_factory=Health.off)
    spent: Callable[[], float] = field(default_factory=stopwatch)
    guard: Guard = field(default_factory=Guard)
    ranks: Alone = ALONE

    def __post_init__(self) -> None:
        if self.recipe.lr is None:
            raise RecipeError(
                "the recipe has no lr: a loop of your own needs one, such as lr=0.001"
            )
        if self.recipe.epochs is None and self.recipe.budget is None:
            raise RecipeError(
                "the recipe has neither epochs nor budget: the loop would not know when to end"
            )

    def place(self, state: State) -> Place:
        """Where in the schedule the training is: by steps, or by the clock where that ends it sooner."""
        epoch = state.step // self.batches.steps
        place = Place(state.step, self.batches.steps * self.recipe.most_epochs, epoch)
        if self.recipe.budget is None:
            return place
        return Place.by_clock(max(place.share, self.spent() / self.recipe.budget), epoch)

    def batch(
        self, index: Tensor, epoch: int, step: int, *, plain: bool = False
    ) -> tuple[Tensor, Tensor]:
        """What this process takes of one step: inputs, and their targets or, of mixed ones, the task's shares of them.

        Args:
            index: item numbers of the whole step.
            epoch: counted from zero.
            step: within the epoch.
            plain: neither random views nor mixed.
        """
        policy = read(self.recipe.augment)
        if plain or not policy.of("mix"):
            return self.batches.take(self.ranks.share(index)[0], epoch, step, plain=plain)
        x, target = self.batches.take(index, epoch, step)  # partners may be another process's
        shares = self.task.shares(target, x.dtype)
        generator = reproducibility.generator(self.recipe.seed, "mix", epoch, step)
        x, shares = mix(x, shares, policy, generator)
        return self.ranks.share(x)[0], self.ranks.share(shares)[0]

    def at_rate(self, rate: float) -> "Setting":
        """The same at one learning rate, whatever the schedule."""
        fixed = {"lr": rate, "schedule": "constant"}
        return replace(self, recipe=self.recipe.model_copy(update=fixed))

    def over(self, state: State) -> bool:
        """Whether the training is done: all steps, the time, or the patience; at once where a linear probe is all."""
        if self.recipe.linear_probe == "only":
            return True
        return self.place(state).share >= 1 or state.course.over(self.recipe)

    def plain(self, state: State, epoch: int) -> bool:
        """Whether this is the last epoch, which sees what evaluation will see.

        Not so with erased rectangles: the net has learned whole pictures beside those with noise in them, and batch
        normalisation over whole ones alone would scale both otherwise (two points fewer on CIFAR-10).
        """
        if read(self.recipe.augment).erases:
            return False
        if self.recipe.budget is None:
            return epoch == self.recipe.most_epochs - 1 and epoch > 0
        return epoch > 0 and self.place(state).share * (epoch + 1) / epoch >= 1


def run(
    state: State,
    setting: Setting,
    *,
    after_step: Callable[[State], None] = lambda _state: None,
    after_epoch: Callable[[State, int], bool | None] = lambda _state, _epoch: None,
) -> None:
    """Train until it is over, from wherever the state stands.

    Args:
        state: changed step by step.
        setting: what is trained on and how; its recipe is settled, without `None` in what is used here.
        after_step: called after every step; what it raises ends the training.
        after_epoch: called with the number of the epoch that ended, from zero; False lets the sums of the training go on
            over the next one. It is called once more at the end where they do.

    Raises:
        BrokenStepError: a loss or gradient is no finite number; weights stay as before that step.
        NumericError: the memory does not suffice.
    """
    batches = setting.batches
    while not setting.over(state):
        epoch = state.step // batches.steps
        begin_epoch(state.net, state.opt, setting.recipe, epoch)
        plain = setting.plain(state, epoch)
        for step, index in enumerate(batches.order(epoch)):
            if epoch * batches.steps + step < state.step:
                continue  # done before the training was resumed
            start, waited = time.perf_counter(), batches.waiting.seconds
            share = setting.ranks.share(index)[1]
            x, target = setting.batch(index, epoch, step, plain=plain)
            waited = batches.waiting.seconds - waited
            state.totals.waited += waited
            state.totals.prepared += time.perf_counter() - start - waited
            attempts = setting.guard.attempts(state, x, index)
            for attempt in attempts:
                with attempt:
                    take_step(state, x, target, setting, share=share)
            if attempts.rolled_back:
                break
            state.totals.seconds += time.perf_counter() - start
            state.step += 1
            ended = state.step % batches.steps == 0 or setting.place(state).share >= 1
            if ended:  # before anything can end the training here
                _sum_up(state, epoch, after_epoch)
            after_step(state)
            if ended:
                break
    if state.totals.items:
        _sum_up(state, (state.step - 1) // batches.steps, after_epoch)


def _sum_up(state: State, epoch: int, after_epoch: Callable[[State, int], bool | None]) -> None:
    if after_epoch(state, epoch) is not False:
        state.totals = Totals()


def take_step(
    state: State, x: Tensor, target: Tensor, setting: Setting, *, share: float = 1.0
) -> None:
    """One step: learning rate, forward and backward (in parts if asked for), clipping, update, average of the weights.

    The caller counts it: `state.step += 1`.

    Args:
        state: changed; its totals get the sums of this step.
        x: the items of the step [B, ...], or of them what this process computes.
        target: what belongs to them, [B, ...].
        setting: how.
        share: how much of the step's items these are.

    Raises:
        BrokenStepError: the loss or a gradient is no finite number; the step was not taken.
    """
    recipe = setting.recipe
    reproducibility.seed_everything(recipe.seed, "step", state.step, *setting.ranks.place)
    slower = setting.guard.factor(state.step)
    optimizers.set_rate(state.opt, slower * rate(recipe, setting.place(state), state.course))
    state.opt.zero_grad()
    with setting.health.measure(state) as statistics:
        seen: list[Sums] = []
        for some, wanted, weight, last in _parts(state, x, target, setting, share):
            learner = setting.ranks.learner(state.net, setting.task, last=last)
            with setting.plan.autocast():
                learned = learner(setting.plan.batch(some), wanted)
            _backward(state, learned, weight * setting.ranks.world)
            seen.append(_sums(learned, setting.task, wanted, weight, share))
        sums = setting.ranks.total(
            {name: sum(float(part[name][0]) * part[name][1] for part in seen) for name in seen[0]}
        )
        loss = sums["loss"]
        moved = [p for g in state.opt.param_groups for p in g["params"] if p.grad is not None]
        norm = gradient_norm(state, moved)
        statistics.gradients(state.net)
    if not math.isfinite(loss + norm):
        if math.isfinite(loss) and state.scale and state.scale.overflowed():
            return
        raise broken_step(state, x, loss, norm)
    if recipe.clip:
        total = torch.tensor(norm, device=moved[0].device) if moved else torch.zeros(())
        torch.nn.utils.clip_grads_with_norm_(moved, recipe.clip, total)
    state.opt.step()
    if state.scale:
        state.scale.passed()
    if state.average:
        state.average.update(state.step)
    state.totals.add(sums)


def _parts(
    state: State, x: Tensor, target: Tensor, setting: Setting, share: float
) -> Iterator[tuple[Tensor, Tensor, float, bool]]:
    """Parts in which a batch is computed: inputs, targets, their weight in the step, and whether it is the last."""
    count = min(setting.recipe.accumulate * state.parts, len(x))
    parts = [(x, target)]
    if count > 1:
        parts = zip(x.tensor_split(count), target.tensor_split(count), strict=True)
    for i, (some, wanted) in enumerate(parts):
        yield some, wanted, share * len(some) / len(x), i == count - 1


def _backward(state: State, learned: Learned, factor: float) -> None:
    """Add the gradients of a part of a batch, whose factor counts that the mean over processes is taken."""
    loss = learned.loss if factor == 1 else learned.loss * factor
    (loss * state.scale.factor if state.scale else loss).backward()


def _sums(learned: Learned, task: Objective, target: Tensor, weight: float, share: float) -> Sums:
    """What a part of a batch adds to the sums of the step."""
    values = {"loss": learned.loss, **learned.parts}
    counted = float(share > 0)
    counts = task.counts(detached(learned.answer), target)
    return {
        "items": (len(target), counted),
        **{f"{COUNT}{name}": (value, counted) for name, value in counts.items()},
        **{name: (value.detach(), weight) for name, value in values.items()},
    }


def detached(answer: Any) -> Any:
    """An answer without its graph, where it is a tensor."""
    return answer.detach() if isinstance(answer, Tensor) else answer


def gradient_norm(state: State, moved: list[torch.nn.Parameter]) -> float:
    """The L2 norm of all gradients, once the loss scale is taken off them again.

    Args:
        state: with the scale.
        moved: parameters; their gradients are changed where there is a scale.
    """
    gradients = [p.grad for p in moved if p.grad is not None]
    if state.scale:
        for gradient in gradients:
            gradient.div_(state.scale.factor)
    if any(gradient.device.type != "cpu" for gradient in gradients):
        return float(torch.nn.utils.get_total_norm(gradients))
    # What that sorts and groups first takes as long again, of a small net a twentieth of its step.
    norms = [torch.linalg.vector_norm(gradient) for gradient in gradients] or [torch.zeros(())]
    return float(torch.linalg.vector_norm(torch.stack(norms)))
