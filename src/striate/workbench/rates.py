"""The learning-rate finder with its plot."""

import math
from pathlib import Path

from striate.runs import folder
from striate.svg import tag, text
from striate.training import Progress, Rates, Recipe
from striate.training import find_rate as tried
from striate.workbench import nets
from striate.workbench.train import opened

WIDTH, HEIGHT, LEFT, TOP = 480, 260, 48, 16


def find_rate(data: str, recipe: Recipe, *, out: Path, progress: Progress) -> Rates:
    """Try learning rates on data, and draw the loss over them to OUT/rates.svg.

    Raises:
        StriateError: of the kinds in `striate.errors`.
    """
    own = None
    if recipe.net is not None and ":" in recipe.net:
        own, recipe = nets.own(recipe.net), recipe.model_copy(update={"net": None})
    folder.check_parent(out)
    found = tried(opened(data, recipe), recipe, net=own, progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    folder.write_text(out / "rates.svg", as_svg(found))
    progress.say(f"drawn to {out / 'rates.svg'}")
    return found


def as_svg(rates: Rates) -> str:
    """The loss over the rate, both of them by their logarithm, with the suggested rate marked."""
    xs = [math.log10(rate) for rate in rates.rates]
    ys = [math.log10(max(loss, 1e-12)) for loss in rates.losses]
    left, right, low, high = min(xs), max(xs) + 1e-9, min(ys), max(ys) + 1e-9

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - 12) * (value - left) / (right - left)

    def y(value: float) -> float:
        return HEIGHT - 36 - (HEIGHT - 36 - TOP) * (value - low) / (high - low)

    line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, ys, strict=True))
    parts = [
        tag(
            "polyline", "", {"points": line, "fill": "none", "stroke": "#2f6db3", "stroke-width": 2}
        )
    ]
    mark = x(max(left, math.log10(rates.suggested)))
    ends = {"x1": f"{mark:.1f}", "x2": f"{mark:.1f}", "y1": TOP, "y2": HEIGHT - 36}
    parts.append(tag("line", "", {**ends, "stroke": "#d9822b", "stroke-dasharray": "4 3"}))
    parts.append(text(f"lr={rates.suggested:.2g}", mark + 4, TOP + 10))
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
