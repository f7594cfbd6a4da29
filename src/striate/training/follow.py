"""A training in a process that is not the first of several."""

from pathlib import Path

from torch import nn

from striate.plan import kept_pages
from striate.training import following
from striate.training import seed as randomness
from striate.training.determinism import deterministic
from striate.training.fit import steps
from striate.training.ranks import Alone


def follow(ranks: Alone, *, net: nn.Module | None = None) -> Path:
    """Train as one of several processes, not the first: silent, from what the first one settled, writing nothing.

    Args:
        ranks: this process.
        net: the user's own net.

    Returns:
        The run folder.

    Raises:
        DataError: the data here are not those of the first process.
    """
    with randomness.own_randomness(), kept_pages():
        path, ready = following.prepared(ranks, net)
        if ready is not None:
            with deterministic(ready[0].recipe.deterministic):
                steps(*following.begin(*ready, None))
    return path
