"""What a net is fed: normalised as its first weights expect it, or by the training items where there are none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from striate.data import Arrays
from striate.runs.config import Config
from striate.runs.preprocessing import Preprocessing
from striate.training.recipe import Recipe
from striate.weights import PUBLISHED

Levels = tuple[float, ...]


def preprocessing(
    items: Arrays, recipe: Recipe, say: Callable[[str], None], *, fit: str = "cover"
) -> Preprocessing:
    """Mean and deviation of the recipe's weights where they are known, else measured on the training items.

    Args:
        items: of the training, as they are stored.
        recipe: settled.
        say: is told where first weights are fed.
        fit: how pictures were brought to the size they are stored in.
    """
    size, color = recipe.size or (), recipe.color or ""
    measured = Preprocessing.measured(items.inputs, size, color, fit=fit)
    if not recipe.weights or not color:
        return measured
    known = expected(recipe.weights)
    if known is None:
        say(f"{recipe.weights} does not say how its pictures were normalised: done by these data")
        return measured
    levels = in_color(known, color)
    if levels is None:
        say(
            f"{recipe.weights} learned from {known.color} pictures: {color} is normalised by these data"
        )
        return measured
    mean, std = levels
    say(
        f"normalised as for {recipe.weights}: mean {_written(mean)}, deviation {_written(std)} of 0..255"
        + ("" if color == known.color else f" ({color} from {known.color})")
    )
    return replace(measured, mean=mean, std=std)


def expected(weights: str) -> Preprocessing | None:
    """How pictures were prepared for weights: those of a run and published ones say so, a file does not."""
    path = Path(weights)
    if (path / "config.json").exists():
        return Config.read(path).preprocessing
    if path.exists() or weights not in PUBLISHED:
        return None
    row = PUBLISHED[weights]
    mean, std = (tuple(255 * value for value in levels) for levels in (row.mean, row.std))
    return Preprocessing((row.crop, row.crop), (row.resize, row.resize), "rgb", mean, std)


def in_color(known: Preprocessing, color: str) -> tuple[Levels, Levels] | None:
    """Mean and deviation for pictures of a colour space; between grey and rgb each channel counts the same."""
    if known.color == color:
        return known.mean, known.std
    if {known.color, color} != {"grey", "rgb"}:
        return None
    channels = 3 if color == "rgb" else 1
    return (fmean(known.mean),) * channels, (fmean(known.std),) * channels


def _written(levels: Levels) -> str:
    return " ".join(f"{level:.1f}" for level in levels)
