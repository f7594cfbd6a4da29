"""Frozen layers: which part of a net learns, epoch by epoch. What is frozen stays as it is, its normalisation too."""

from collections.abc import Callable

import torch
from torch import nn

from striate.errors import RecipeError, nearest
from striate.models.backbone import Backbone, freeze_norm, hold_norm, last_layer
from striate.training.recipe import Recipe

FEATURES = "features"  # the word for all but the head; of a net that stands on a backbone, for the backbone
HALF = "half"  # the word for the first half of the blocks


def heads(net: nn.Module) -> tuple[str, ...]:
    """The last layer and those of auxiliary classifiers."""
    return (last_layer(net), *(net.auxiliary_heads if isinstance(net, Backbone) else ()))


def blocks(net: nn.Module) -> list[str]:
    """Paths of a net's blocks, from the pictures to the head: its parts, and the parts of a sequence."""
    found: list[str] = []
    for name, part in net.named_children():
        inner = isinstance(part, nn.Sequential | nn.ModuleList)
        found += [f"{name}.{sub}" for sub, _ in part.named_children()] if inner else [name]
    return [path for path in found if any(True for _ in net.get_submodule(path).parameters())]


def first_half(net: nn.Module) -> list[str]:
    """Paths of the first half of a net's blocks, those of its backbone if it stands on one, the head not counted."""
    if isinstance(net, Backbone) and net.backbone_name:
        paths = [f"backbone.{path}" for path in blocks(net.get_submodule("backbone"))]
    else:
        paths = [path for path in blocks(net) if not any(within(end, path) for end in heads(net))]
    return paths[: len(paths) // 2]


def is_frozen(net: nn.Module, words: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether `freeze` keeps what lies at a path as it is.

    Raises:
        RecipeError: a word that names no layer.
    """
    known = [path for path, _ in net.named_modules() if path]
    for word in words:
        if word not in (FEATURES, HALF) and word not in known:
            raise RecipeError(
                f"freeze={word}: the net has no layer of this path; {nearest(word, [FEATURES, HALF, *known])}; "
                f"{HALF} and {FEATURES} are words for a part of any net"
            )
    ends = heads(net)
    named = [word for word in words if word != HALF or word in known]
    named += first_half(net) if HALF in words and HALF not in known else []
    on_backbone = isinstance(net, Backbone) and bool(net.backbone_name)

    def frozen(path: str) -> bool:
        if any(within(path, word) for word in named):
            return True
        body = within(path, "backbone") if on_backbone else not any(within(path, e) for e in ends)
        return FEATURES in words and body

    return frozen


def check(net: nn.Module, recipe: Recipe) -> None:
    """Refuse a recipe that freezes everything, or something that is not there or holds no weights.

    Raises:
        RecipeError: naming the setting.
    """
    frozen = is_frozen(net, recipe.freeze)
    for word in recipe.freeze:
        if not _held(net, is_frozen(net, (word,))):
            raise RecipeError(
                f"freeze={word}: holds no weight of this net, so that all of it would learn; leave it out, or name a layer "
                "with weights"
            )
    if all(frozen(name) or not p.requires_grad for name, p in net.named_parameters()):
        raise RecipeError(
            f"freeze={','.join(recipe.freeze)}: nothing is left to learn; freeze=features leaves the head"
        )


def words(net: nn.Module, recipe: Recipe) -> str:
    """How much of a net stays as it is, and from where to where; "" where nothing is frozen."""
    names = _held(net, is_frozen(net, recipe.freeze)) if recipe.freeze else []
    if not names:
        return ""
    count, every = (
        sum(net.get_parameter(name).numel() for name in some)
        for some in (names, [name for name, _ in net.named_parameters()])
    )
    first, last = (name.rpartition(".")[0] for name in (names[0], names[-1]))
    where = first if first == last else f"from {first} to {last}"
    return f"freeze={','.join(recipe.freeze)}: {count:,} of {every:,} weights stay as they are, {where}"


def _held(net: nn.Module, frozen: Callable[[str], bool]) -> list[str]:
    """Names of the weights that are frozen."""
    return [name for name, _ in net.named_parameters() if frozen(name)]


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
