"""Defaults of a recipe that depend on the data: net, size, epochs, batch, learning rate, augmentation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from striate.augment import AUTO, read
from striate.data import Data
from striate.models import catalog
from striate.runs.config import Config, NetSpec
from striate.tasks import named
from striate.training.optimizers import decay
from striate.training.recipe import Recipe
from striate.weights import PUBLISHED

SEEN = 240_000  # items that a default training looks at, repeats counted, within these epochs:
EPOCHS = (4, 20)
LIGHT = 1_000_000  # parameters up to which a net stands the larger rate


def with_defaults(
    recipe: Recipe,
    data: Data,
    *,
    own_net: bool = False,
    say: Callable[[str], None] = lambda _line: None,
) -> Recipe:
    """Fill in what the recipe leaves to the data: net, size, colour, epochs, batch, rate, augmentation.

    Args:
        recipe: as the user wrote it.
        data: what will be trained on.
        own_net: the user brings a net, so none is chosen and its size is the data's or 224.
        say: gets a line on why a net was chosen.
    """
    if not own_net:
        recipe = _like(recipe, _spec_of(recipe.weights))
    items = len(data.splits["train"])
    task = named(data.task)
    usual = task.defaults(data, recipe, own_net=own_net)
    net = usual.get("net")
    batch = (
        recipe.batch or usual.get("batch") or 2 ** max(3, min(8, (items // 20).bit_length() - 1))
    )
    views = usual.get("augment", "none")
    words = [views if word == AUTO else word for word in recipe.augment.split("+")]
    light = bool(net) and catalog.entry(net).params < LIGHT
    kind = recipe.optimizer or usual.get("optimizer") or _optimizer(light=light)
    recipe = recipe.model_copy(update={"optimizer": kind})
    settled = recipe.model_copy(
        update={
            **_open(recipe, usual),
            "net": net,
            "size": usual.get("size"),
            "color": usual.get("color"),
            "options": {**usual.get("options", {}), **recipe.options},
            "width": recipe.width
            if "width" in recipe.model_fields_set
            else usual.get("width", recipe.width),
            "loss": recipe.loss or usual.get("loss") or task.usual_loss,
            "validation_freq": recipe.validation_freq or _validation_freq(data),
            "epochs": recipe.epochs or _epochs(recipe, items, usual.get("epochs")),
            "batch": batch,
            "lr": recipe.lr
            or (usual.get("lr") if recipe.optimizer == "adamw" else None)
            or _rate(recipe, min(batch, items), light=light),
            "augment": read("+".join(words)).text,
            "weight_decay": decay(recipe),
        }
    )
    if why := usual.get("why"):
        say(why(settled))
    return settled


def _open(recipe: Recipe, usual: dict[str, Any]) -> dict[str, Any]:
    """What suits the data, for the settings that the recipe leaves open."""
    known = {key: value for key, value in usual.items() if key in Recipe.model_fields}
    return {key: value for key, value in known.items() if getattr(recipe, key) is None}


def _epochs(recipe: Recipe, items: int, usual: int | None) -> int | None:
    """None where the clock ends the training."""
    if recipe.budget:
        return None
    return usual or max(EPOCHS[0], min(EPOCHS[1], -(-SEEN // items)))


def _validation_freq(data: Data) -> int:
    """One, or so many epochs that answering the held-out items takes no longer than a third of learning does."""
    return max(1, len(data.splits[data.held_out]) // len(data.splits["train"]))


def _spec_of(weights: str | None) -> NetSpec | None:
    """The net that weights belong to, where they say so: published ones, or those of a run."""
    if weights and weights in PUBLISHED:
        return NetSpec(PUBLISHED[weights].net)
    if weights and (Path(weights) / "config.json").exists():
        spec = Config.read(Path(weights)).net
        return None if spec.own else spec
    return None


def _like(recipe: Recipe, spec: NetSpec | None) -> Recipe:
    """A recipe with the net of its weights, and the width and options of that, where it names no others."""
    if spec is None or recipe.net not in (None, spec.name):
        return recipe
    width = recipe.width if "width" in recipe.model_fields_set else spec.width
    options = {**spec.options, **recipe.options}
    return recipe.model_copy(update={"net": spec.name, "width": width, "options": options})


def _optimizer(*, light: bool) -> str:
    """Muon where it measured better: on MNIST, light nets made no more or fewer errors in the same steps."""
    return "muon" if light else "adamw"


def _rate(recipe: Recipe, batch: int, *, light: bool) -> float:
    """Rates found on MNIST (light nets) and CIFAR-10 at batch 256, scaled by the root of the batch."""
    base = (
        0.1 if recipe.optimizer == "sgd" else 8e-3 if light else 2e-3
    )  # muon's steps are as large as adamw's
    return base * (batch / 256) ** 0.5
