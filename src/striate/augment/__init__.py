"""Random views of training items, a whole batch at a time. B batch, C channels, H W pixels.

What an item looks like is a function of (seed, epoch, item) alone: not of the batch it is in, nor of how many
processes or devices share the work. All geometric steps together cost one resampling.
"""

from striate.augment.mixing import mix
from striate.augment.policy import AUTO, Policy, read
from striate.augment.values import Colors, colors
from striate.augment.views import cut, follow, view

__all__ = ["AUTO", "Colors", "Policy", "colors", "cut", "follow", "mix", "read", "view"]
