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
from striate.svg import Axis, Frame, amount, drawing, finite, round_step, tag, text
from striate.text import number
from striate.training import loop, pretrained, reproducibility
from striate.training.defaults import with_defaults
from striate.training.prepare import Estimate, chosen_net, load_first_weights, prepare
from striate.training.recipe import Recipe
from striate.training.record import Progress
from striate.training.state import BrokenStepError, State, Totals

WIDTH, HEIGHT = 560, 290  # of the drawing, in pixels
STYLE = (
    ".drawing .line{fill:none;stroke:var(--held);stroke-width:2}.drawing .grid{stroke:var(--rule)}"
    ".drawing .mark{stroke:var(--wrong);stroke-width:1.5;stroke-dasharray:5 3}.drawing .least{fill:var(--ink)}"
    ".drawing .way{stroke:var(--soft)}"
)
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
        """Where the loss was smallest, the rate to begin with, and why it is that one."""
        best = min(self.losses)
        return (
            f"the loss was smallest ({best:.3g}) at a rate of {10 * self.suggested:.2g}, where it is about to grow: "
            f"begin with a tenth of it, lr={self.suggested:.2g} ({len(self.rates)} rates tried, "
            f"{self.rates[0]:.2g} to {self.rates[-1]:.2g})"
        )

    def as_svg(self) -> str:
        """The loss over the rate, with its smallest value, and the suggested rate a tenth to the left of that."""
        across = Axis(min(self.rates[0], self.suggested), self.rates[-1], _power, log=True)
        frame = Frame(across, _loss_axis(self.losses), WIDTH, HEIGHT - 20, 56.0, 40.0, 24.0)
        points = list(zip(self.rates, self.losses, strict=True))
        line = " ".join(f"{frame.x(a):.1f},{frame.y(b):.1f}" for a, b in points)
        parts = [
            frame.levels(),
            *(text(_power(v), frame.x(v), frame.bottom + 15, "mid soft") for v in _tens(across)),
            text(
                "learning rate (each mark ten times the last)", WIDTH / 2, frame.bottom + 34, "mid"
            ),
            text("loss, running mean", 8, 16, "title"),
            tag("polyline", "", {"points": line, "class": "line"}),
            self._marks(frame),
        ]
        return drawing(
            "".join(parts), WIDTH, HEIGHT, f"loss by learning rate: {self.as_text()}", STYLE
        )

    def _marks(self, frame: Frame) -> str:
        """The smallest loss, the suggested rate, and the step from one to the other."""
        best = min(self.losses)
        least, mark = frame.x(10 * self.suggested), frame.x(self.suggested)
        y = frame.y(best)
        dot = {"cx": amount(least), "cy": amount(y), "r": 4, "class": "least"}
        upright = {"x1": mark, "x2": mark, "y1": frame.top, "y2": frame.bottom, "class": "mark"}
        way = {"x1": mark, "x2": least, "y1": frame.top + 6, "y2": frame.top + 6, "class": "way"}
        down = {"x1": least, "x2": least, "y1": frame.top + 6, "y2": y, "class": "way"}
        side, at = ("", least + 6) if least < WIDTH / 2 else ("end", mark - 6)
        return "".join(
            [
                *(tag("line", "", line) for line in (upright, way, down)),
                tag("circle", "", dot),
                text(f"begin with lr={self.suggested:.2g}, a tenth of", at, frame.top + 22, side),
                text(
                    f"{10 * self.suggested:.2g}, where the loss is smallest: {best:.3g}",
                    at,
                    frame.top + 36,
                    side,
                ),
            ]
        )

    def _repr_html_(self) -> str:
        return self.as_svg()


def _loss_axis(losses: tuple[float, ...]) -> Axis:
    """From a round value below all to one above; by ratios where they differ by more than ten times."""
    known = finite(losses)
    low, high = min(known), max(known)
    if low > 0 and high / low > 10:
        return Axis(low / 1.1, high * 1.1, number, log=True)
    step = round_step((high - low) or abs(high) or 1.0)
    return Axis(math.floor(low / step) * step, (math.floor(high / step) + 1) * step, number)


def _tens(axis: Axis) -> list[float]:
    """Powers of ten within an axis."""
    powers = range(math.ceil(math.log10(axis.low) - 1e-9), math.floor(math.log10(axis.high)) + 1)
    return [10.0**power for power in powers]


def _power(rate: float) -> str:
    return f"{rate:g}"


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
        load_first_weights(tried, recipe, progress, data)
        silent = Estimate(announced=False)  # no training follows
        job = prepare(Path(), data, recipe, spec, tried, progress, silent)
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
