"""Training: data and a recipe in, a run folder with a trained net out."""

from striate.training.fit import check, fit, follow, resume
from striate.training.lr_finder import Rates, find_rate
from striate.training.prepare import Estimate
from striate.training.reading import check_whole, read_recipe, shown
from striate.training.recipe import NAMED, Recipe
from striate.training.record import Fitted, Progress

__all__ = [
    "NAMED",
    "Estimate",
    "Fitted",
    "Progress",
    "Rates",
    "Recipe",
    "check",
    "check_whole",
    "find_rate",
    "fit",
    "follow",
    "read_recipe",
    "resume",
    "shown",
]
