"""Trainings that go on from what others trained: which weights a word means, and how pictures were prepared for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from striate.data import Data
from striate.errors import RecipeError, UsageError, told
from striate.inputs import Pictures, Preprocessing
from striate.models import catalog
from striate.models.backbone import with_outputs
from striate.runs.config import Config
from striate.tasks import named
from striate.training.recipe import OWN, Recipe
from striate.weights import published
from striate.weights.loading import WORD, of_net

PHOTOS = 64  # pixels of a side from which colour pictures are taken for photos
USUAL = "resnet18"  # where no net is named and the usual one of the data has no published weights
ATTRIBUTES = ("pretrained_cfg", "default_cfg")  # where timm writes how pictures are prepared

UNKNOWN = (
    "the net does not say how its pictures were normalised: done by these data; its attribute pretrained_cfg = "
    '{"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "input_size": (3, 224, 224)} would say it'
)

Levels = tuple[float, ...]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """How a net of the user's own says that its pictures are prepared.

    Attributes:
        source: who says so.
        mean: a channel, of values 0..1.
        std: likewise.
        size: height and width, where they are said.
    """

    source: str
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
        if published.best(net) is None and catalog.does(
            catalog.entry(USUAL), task.name, task.axes or 3
        ):
            net = USUAL
    weights = of_net(str(recipe.options.get("backbone") or net), WORD)
    return recipe.model_copy(update={"net": net, "weights": str(weights)})


def hint(recipe: Recipe, data: Data) -> str:
    """One line for photos that are to be learned from random weights where published ones are to be had; mostly empty.

    Args:
        recipe: settled, of a net by its name.
        data: what will be trained on.
    """
    if recipe.weights or recipe.net is None or recipe.color != "rgb":
        return ""
    native = data.native_size
    if native is not None and max(native) <= PHOTOS:
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
    return Prepared(where, mean, std, size)


def choose_normalization(
    measured: Preprocessing, recipe: Recipe, net: nn.Module, say: Say
) -> Preprocessing:
    """Mean and deviation that the weights or the net expect where they say so, else as measured on the training items.

    Args:
        measured: on the training items.
        recipe: settled.
        net: what is trained.
        say: gets a line on how inputs are normalised.
    """
    known, source = expected(recipe, net)
    if known is None and recipe.weights == OWN:
        say(UNKNOWN)
    if known is None and recipe.weights in (None, OWN):
        return measured
    fed, said = measured.as_learned(known, source)
    if said:
        say(said)
    return fed


def expected(recipe: Recipe, net: nn.Module) -> tuple[Preprocessing | None, str]:
    """What the weights of a recipe or its net say of their inputs, and who says so; a file says nothing.

    Args:
        recipe: settled.
        net: what is trained; one of the user's own may say it itself, see `of_module`.
    """
    source = recipe.weights or ""
    if source and source != OWN and (Path(source) / "config.json").exists():
        return Config.read(Path(source)).preprocessing, source
    if source and not Path(source).exists() and published.known(source):
        return Pictures.of_values(*published.levels(source)[1:]), source
    if recipe.net is None and (brought := of_module(net)) is not None:
        return Pictures.of_values(brought.mean, brought.std), brought.source
    if recipe.net is not None and catalog.is_library(recipe.net):
        return Pictures.of_values(*published.levels(recipe.net)[1:]), recipe.net
    return None, source
