"""What a training would cost with a narrower net or smaller pictures: the receipt of a catalogue net, built again."""

from dataclasses import dataclass, replace
from typing import Any

from striate.errors import StriateError
from striate.measuring.receipt import Cost, training_cost
from striate.models import catalog
from striate.report import Result, text_table

WIDTHS, SIZES = (1.0, 0.5), (1.0, 0.75, 0.5)


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
                "x".join(map(str, option.input)),
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
