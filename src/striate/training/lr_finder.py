"""The learning-rate finder: rates are tried on the data, each step a little larger. Smith 2017, arXiv 1506.01186, section 3.3."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from striate.data import Data
from striate.errors import NumericError
from striate.result import Result
from striate.svg import tag, text
from striate.training import loop, pretrained, reproducibility
from striate.training.defaults import with_defaults
from striate.training.prepare import chosen_net, first_weights, prepare
from striate.training.recipe import Recipe
from striate.training.record import Progress
from striate.training.state import BrokenStepError, State, Totals

WIDTH, HEIGHT, LEFT, TOP = 480, 260, 48, 16  # of the drawing, in pixels
LOW, HIGH = 1e-6, 10.0
CALM = 0.9  # share of the running mean of the loss that stays, a step
WORSE = 4.0  # times the smallest loss, where it ends


@dataclass(frozen=True)
class Rates(Result):
    """Learning rates that were tried, and the running mean of the loss at each.

    `suggested` is a tenth of the rate at which the loss was smallest, a common choice for the largest rate of
    a schedule: at the smallest loss itself it is about to grow.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def suggested(self) -> float:
        """A rate to begin with."""
        return self.rates[self.losses.index(min(self.losses))] / 10

    def as_dict(self) -> dict[str, Any]:
        """The rates, the losses and the suggestion."""
        return {"suggested": self.suggested, "rates": list(self.rates), "losses": list(self.losses)}

    def as_text(self) -> str:
        """One line."""
        best = min(self.losses)
        return (
            f"the loss was smallest ({best:.3g}) at a rate of {10 * self.suggested:.2g}: "
            f"begin with lr={self.suggested:.2g} ({len(self.rates)} rates tried, "
            f"{self.rates[0]:.2g} to {self.rates[-1]:.2g})"
        )

    def as_svg(self) -> str:
        """The loss over the rate, both of them by their logarithm, with the suggested rate marked."""
        xs = [math.log10(rate) for rate in self.rates]
        ys = [math.log10(max(loss, 1e-12)) for loss in self.losses]
        left, right, low, high = min(xs), max(xs) + 1e-9, min(ys), max(ys) + 1e-9

        def x(value: float) -> float:
            return LEFT + (WIDTH - LEFT - 12) * (value - left) / (right - left)

        def y(value: float) -> float:
            return HEIGHT - 36 - (HEIGHT - 36 - TOP) * (value - low) / (high - low)

        line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, ys, strict=True))
        parts = [
            tag(
                "polyline",
                "",
                {"points": line, "fill": "none", "stroke": "#2f6db3", "stroke-width": 2},
            )
        ]
        mark = x(max(left, math.log10(self.suggested)))
        ends = {"x1": f"{mark:.1f}", "x2": f"{mark:.1f}", "y1": TOP, "y2": HEIGHT - 36}
        parts.append(tag("line", "", {**ends, "stroke": "#d9822b", "stroke-dasharray": "4 3"}))
        parts.append(text(f"lr={self.suggested:.2g}", mark + 4, TOP + 10))
        parts += [
            text(f"1e{power}", x(power) - 8, HEIGHT - 18)
            for power in range(math.ceil(left), math.floor(right) + 1)
        ]
        parts.append(text("loss over learning rate, both logarithmic", WIDTH / 2 - 96, HEIGHT - 4))
        parts += [text(f"{10**value:.3g}", 4, y(value) + 4) for value in (low, high - 1e-9)]
        size = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {HEIGHT}"}
        style = tag("style", "text{font:11px sans-serif;fill:#555}")
        label = {"role": "img", "aria-label": "loss by learning rate", "width": WIDTH}
        return tag("svg", style + "".join(parts), {**size, **label})


def find_rate(
    data: Data,
    recipe: Recipe,
    *,
    net: nn.Module | None = None,
    steps: int = 100,
    progress: Progress | None = None,
) -> Rates:
    """Train a copy of the net for some steps, each with a larger rate than the last, until the loss blows up.

    Nothing is written, and the net of the caller stays as it is.

    Args:
        data: what `striate.data.open` gave.
        recipe: of the training to come; its schedule and its rate do not count.
        net: a net of the user's own.
        steps: rates between 1e-6 and 10, evenly spaced by their ratio.
        progress: shows how far it is.

    Raises:
        StriateError: of the kinds in `striate.errors`, as for a training.
    """
    progress = progress or Progress()
    recipe = pretrained.settled(recipe, data, net, progress.say)
    recipe = with_defaults(recipe, data, own_net=net is not None)
    spec, tried = chosen_net(net, recipe, data)
    with reproducibility.fork_rng():
        first_weights(tried, recipe, progress, data)
        job = prepare(Path(), data, recipe, spec, tried, progress)
        state = State.begin(copy.deepcopy(tried), recipe.model_copy(update={"ema": None}), job.plan)
        setting = loop.Setting(job.batches, job.task, recipe, job.plan, spent=lambda: 0.0)
        return _climb(state, setting, steps, progress)


def _climb(state: State, setting: loop.Setting, steps: int, progress: Progress) -> Rates:
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    state.net.train()
    for step in range(steps):
        rate = LOW * (HIGH / LOW) ** (step / max(1, steps - 1))
        epoch, at = divmod(step, setting.batches.steps)
        x, target = setting.batch(setting.batches.order(epoch)[at], epoch, at)
        state.totals, state.step = Totals(), step
        try:
            loop.take_step(state, x, target, setting.at_rate(rate))
        except BrokenStepError:
            break
        mean = CALM * mean + (1 - CALM) * state.totals.loss / max(1, state.totals.items)
        value = mean / (1 - CALM ** (step + 1))
        progress.bar("rates", step + 1, steps)
        if losses and not value <= WORSE * min(losses):
            break
        rates.append(rate)
        losses.append(value)
    if not losses:
        raise NumericError(
            f"the loss of the first step is no number, at a learning rate of {LOW:g} already: the data or the net are at "
            "fault, not the rate; striate data shows what is wrong with the data"
        )
    return Rates(tuple(rates), tuple(losses))
