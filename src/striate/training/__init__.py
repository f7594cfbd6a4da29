"""Training: data and a recipe in, a run folder with a trained net out.

`fit` does all of it; a loop of your own takes `Batches`, `Setting` and `State`, and `take_step` or `loop.run`.
"""

from striate.training import loop
from striate.training.batches import Batches
from striate.training.budget import check_soon
from striate.training.fit import check, fit, resume, run_peer
from striate.training.loop import Setting, take_step
from striate.training.lr_finder import Rates, find_rate
from striate.training.objective import Objective, Supervised
from striate.training.optimizers import EMA
from striate.training.prepare import Estimate
from striate.training.recipe import NAMED, Recipe
from striate.training.recipe_files import check_whole, read_recipe, shown
from striate.training.record import Fitted, Progress
from striate.training.state import State

__all__ = [
    "EMA",
    "NAMED",
    "Batches",
    "Estimate",
    "Fitted",
    "Objective",
    "Progress",
    "Rates",
    "Recipe",
    "Setting",
    "State",
    "Supervised",
    "check",
    "check_soon",
    "check_whole",
    "find_rate",
    "fit",
    "loop",
    "read_recipe",
    "resume",
    "run_peer",
    "shown",
    "take_step",
]
