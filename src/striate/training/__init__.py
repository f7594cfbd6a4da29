"""Training: data and a recipe in, a run folder with a trained net out."""

from striate.training.finding import Rates, find_rate
from striate.training.fit import check, fit, resume
from striate.training.follow import follow
from striate.training.outlook import Outlook
from striate.training.reading import check_whole, read_recipe, shown
from striate.training.recipe import Recipe
from striate.training.recipes import NAMED
from striate.training.record import Fitted, Progress

__all__ = [
    "NAMED",
    "Fitted",
    "Outlook",
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
