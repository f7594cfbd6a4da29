"""Frozen layers: which part of a net learns, epoch by epoch. What is frozen stays as it is, its normalisation too."""

from collections.abc import Callable

import torch
from torch import nn

from striate.errors import RecipeError, nearest
from striate.models.backbone import Backbone, freeze_norm, hold_norm, last_layer
from striate.training.recipe import Recipe

FEATURES = "features"  # the word for all but the head; of a net that stands on a backbone, for the backbone


def heads(net: nn.Module) -> tuple[str, ...]:
    """The last layer and those of auxiliary classifiers."""
    return (last_layer(net), *(net.auxiliary_heads if isinstance(net, Backbone) else ()))


def is_frozen(net: nn.Module, words: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether `freeze` keeps what lies at a path as it is.

    Raises:
        RecipeError: a word that names no layer.
    """
    known = [path for path, _ in net.named_modules() if path]
    for word in words:
        if word != FEATURES and word not in known:
            raise RecipeError(
                f"freeze={word}: the net has no layer of this path; {nearest(word, [FEATURES, *known])}"
            )
    ends = heads(net)
    on_backbone = isinstance(net, Backbone) and bool(net.backbone_name)

    def frozen(path: str) -> bool:
        if any(within(path, word) for word in words):
            return True
        body = within(path, "backbone") if on_backbone else not any(within(path, e) for e in ends)
        return FEATURES in words and body

    return frozen


def check(net: nn.Module, recipe: Recipe) -> None:
    """Refuse a recipe that freezes everything, or something that is not there.

    Raises:
        RecipeError: naming the setting.
    """
    frozen = is_frozen(net, recipe.freeze)
    if all(frozen(name) or not p.requires_grad for name, p in net.named_parameters()):
        raise RecipeError(
            f"freeze={','.join(recipe.freeze)}: nothing is left to learn; freeze=features leaves the head"
        )


def begin_epoch(net: nn.Module, opt: torch.optim.Optimizer, recipe: Recipe, epoch: int) -> None:
    """Training mode, with what is frozen in this epoch held still: a function of the epoch alone.

    Batch normalisation whose weights are frozen keeps its statistics too.

    Args:
        net: changed in place.
        opt: holds every parameter that is ever trained.
        recipe: its freeze, freeze_norm and head_epochs.
        epoch: from zero.
    """
    head_only = epoch < recipe.head_epochs
    frozen = is_frozen(net, (*recipe.freeze, FEATURES) if head_only else recipe.freeze)
    ever = {id(p) for group in opt.param_groups for p in group["params"]}
    freeze_norm(net, lambda path: recipe.freeze_norm or frozen(path))
    for name, p in net.named_parameters():
        p.requires_grad_(id(p) in ever and not frozen(name))
        if not p.requires_grad:
            p.grad = None
    net.train()
    hold_norm(net)


def within(name: str, path: str) -> bool:
    """Whether a path is another or lies below it, by whole components: 10 is not below 1."""
    return name == path or name.startswith(f"{path}.")
