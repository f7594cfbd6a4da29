"""Trainings that go on from what others trained: which weights a word means, and how pictures were prepared for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import torch
from torch import nn

from striate.data import Arrays, Data
from striate.errors import RecipeError, UsageError, told
from striate.models import catalog
from striate.models.backbone import with_outputs
from striate.runs.config import Config
from striate.runs.preprocessing import Preprocessing
from striate.tasks import named
from striate.training.recipe import OWN, Recipe
from striate.weights import published
from striate.weights.loading import WORD, of_net

PHOTOS = 64  # pixels of a side from which colour pictures are taken for photos
USUAL = "resnet18"  # where no net is named and the usual one of the data has no published weights
ATTRIBUTES = ("pretrained_cfg", "default_cfg")  # where timm writes how pictures are prepared

Levels = tuple[float, ...]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """How pictures are prepared for a net.

    Attributes:
        source: who says so.
        color: of the pictures.
        mean: a channel, of values 0..255.
        std: likewise.
        size: height and width, where they are said.
    """

    source: str
    color: str
    mean: Levels
    std: Levels
    size: tuple[int, int] | None = None


def settled(recipe: Recipe, data: Data, net: nn.Module | None, say: Say) -> Recipe:
    """The recipe with the words `published` and `own` understood, and the size that the net's weights expect.

    Args:
        recipe: as written.
        data: what will be trained on.
        net: of the user's own; None of any other.
        say: gets a line on which weights are taken.

    Raises:
        UsageError: a word that does not go with the net, or a net without published weights.
    """
    if net is not None:
        if recipe.weights == WORD:
            raise RecipeError(
                f"weights={WORD}: a net of your own has none that are known here; if it brings trained "
                f"weights itself, say weights={OWN}, else name a file"
            )
        weights = recipe.weights or (OWN if recipe.linear_probe != "none" else None)
        brought = of_module(net) if weights == OWN else None
        size = recipe.size or (brought.size if brought else None)
        return recipe.model_copy(update={"size": size, "weights": weights})
    if recipe.weights == OWN:
        raise RecipeError(
            f"weights={OWN} is for a net of your own that brings trained weights, --net package.module:factory; "
            f"for nets by name it is weights={WORD}"
        )
    if recipe.weights == WORD:
        recipe = _named(recipe, data)
        say(f"weights: {published.described(recipe.weights or '')}")
    weights = recipe.weights or ""
    if Path(weights).exists() or not published.known(weights):
        return recipe
    name = recipe.net or (None if weights in published.PUBLISHED else weights.partition(".")[0])
    return recipe.model_copy(update={"net": name, "size": recipe.size or _size(recipe, data)})


def _size(recipe: Recipe, data: Data) -> tuple[int, int] | None:
    """The size at which published weights learned, for tasks that see whole pictures: features of smaller ones are others."""
    size = published.levels(recipe.weights or "")[0]
    return size if named(data.task).fit == "cover" and not recipe.crop and all(size) else None


def _named(recipe: Recipe, data: Data) -> Recipe:
    """With the name of the best published weights for the net, or for the backbone on which it stands."""
    task = named(data.task)
    net = recipe.net
    if net is None:
        net = str(task.defaults(data, recipe, own_net=False).get("net"))
        if published.best(net) is None and catalog.does(catalog.entry(USUAL), task.name, task.axes):
            net = USUAL
    weights = of_net(str(recipe.options.get("backbone") or net), WORD)
    return recipe.model_copy(update={"net": net, "weights": str(weights)})


def hint(recipe: Recipe, data: Data) -> str:
    """One line for photos that are to be learned from random weights where published ones are to be had; mostly empty.

    Args:
        recipe: settled, of a net by its name.
        data: what will be trained on.
    """
    native = data.native_size
    small = native is not None and max(native) <= PHOTOS
    if recipe.weights or recipe.net is None or recipe.color != "rgb" or small or recipe.width != 1:
        return ""
    weights = published.best(str(recipe.options.get("backbone") or recipe.net))
    if weights is None:
        return ""
    return (
        f"{recipe.net} starts from random weights: weights={WORD} starts from {published.described(weights)}, "
        "which few photos need; it is downloaded once"
    )


def with_classes(
    net: nn.Module, recipe: Recipe, data: Data, generator: torch.Generator
) -> int | None:
    """Give a net that brings trained weights a last layer with an output a class, where it has another number.

    Args:
        net: of the user's own; changed in place.
        recipe: settled.
        data: what will be trained on.
        generator: source of the new layer's first weights.

    Returns:
        How many outputs the new layer has; None where the net's own stays.
    """
    wanted = named(data.task).of(data, recipe).head().get("num_classes")
    if recipe.weights != OWN or not wanted:
        return None
    return wanted if with_outputs(net, wanted, generator) else None


def of_module(net: nn.Module) -> Prepared | None:
    """How a net of the user's own says that its pictures are prepared, as timm's nets do: `net.pretrained_cfg`.

    That is a mapping with `mean` and `std` of values 0..1, and perhaps `input_size` (C, H, W).

    Raises:
        UsageError: it says so wrongly.
    """
    for name in ATTRIBUTES:
        given = getattr(net, name, None)
        if isinstance(given, Mapping) and "mean" in given and "std" in given:
            return _read(cast("Mapping[str, Any]", given), f"{type(net).__name__}.{name}")
    return None


def _read(given: Mapping[str, Any], where: str) -> Prepared:
    try:
        mean, std = (tuple(float(value) for value in given[key]) for key in ("mean", "std"))
        sides = tuple(int(side) for side in given.get("input_size", ()))[-2:]
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{where} is {told(given)}: expected mean and std of each channel"
        ) from error
    if len(mean) != len(std) or min(std, default=0) <= 0 or max(*mean, *std) > 2:
        raise UsageError(
            f"{where} has mean {mean} and std {std}: expected one number a channel, of values 0..1, such as "
            "(0.485, 0.456, 0.406); of values 0..255 divide them by 255"
        )
    size = (sides[0], sides[1]) if len(sides) == 2 else None
    return replace(_of_levels(where, mean, std), size=size)


def choose_normalization(
    items: Arrays, recipe: Recipe, net: nn.Module, say: Say, *, fit: str = "cover"
) -> Preprocessing:
    """Mean and deviation that the weights or the net expect where they say so, else measured on the training items.

    Args:
        items: of the training, as they are stored.
        recipe: settled.
        net: what is trained.
        say: gets a line on how inputs are normalised.
        fit: how pictures were brought to the size they are stored in.
    """
    size, color = recipe.size or (), recipe.color or ""
    measured = Preprocessing.measured(items.inputs, size, color, fit=fit)
    if not color:
        return measured
    known = expected(recipe, net)
    if known is None:
        if recipe.weights:
            say(_unknown(recipe.weights))
        return measured
    levels = in_color(known, color)
    if levels is None:
        say(
            f"{known.source} learned from {known.color} pictures: {color} is normalised by these data"
        )
        return measured
    mean, std = levels
    say(
        f"normalised as for {known.source}: mean {_written(mean)}, deviation {_written(std)} of 0..255"
        + ("" if color == known.color else f" ({color} from {known.color})")
    )
    return replace(measured, mean=mean, std=std)


def _unknown(weights: str) -> str:
    """What is said where nothing says how pictures were prepared."""
    if weights != OWN:
        return f"{weights} does not say how its pictures were normalised: done by these data"
    return (
        "the net does not say how its pictures were normalised: done by these data; its attribute pretrained_cfg = "
        '{"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "input_size": (3, 224, 224)} would say it'
    )


def expected(recipe: Recipe, net: nn.Module) -> Prepared | None:
    """What the weights of a recipe or its net say of their pictures; a file says nothing.

    Args:
        recipe: settled.
        net: what is trained; one of the user's own may say it itself, see `of_module`.
    """
    source = recipe.weights or ""
    if source and source != OWN and (Path(source) / "config.json").exists():
        pre = Config.read(Path(source)).preprocessing
        return Prepared(source, pre.color, pre.mean, pre.std)
    if source and not Path(source).exists() and published.known(source):
        return _of_levels(source, *published.levels(source)[1:])
    if recipe.net is None:
        return of_module(net)
    if catalog.is_library(recipe.net):
        return _of_levels(recipe.net, *published.levels(recipe.net)[1:])
    return None


def _of_levels(source: str, mean: Levels, std: Levels) -> Prepared:
    """Of values 0..1."""
    return Prepared(source, _color(mean), tuple(255 * v for v in mean), tuple(255 * v for v in std))


def _color(mean: Levels) -> str:
    return "grey" if len(mean) == 1 else "rgb"


def in_color(known: Prepared, color: str) -> tuple[Levels, Levels] | None:
    """Mean and deviation for pictures of a colour space; between grey and rgb each channel counts the same."""
    if known.color == color:
        return known.mean, known.std
    if {known.color, color} != {"grey", "rgb"}:
        return None
    channels = 3 if color == "rgb" else 1
    return (fmean(known.mean),) * channels, (fmean(known.std),) * channels


def _written(levels: Levels) -> str:
    return " ".join(f"{level:.1f}" for level in levels)
