"""Training: data and a recipe in, a run folder with a trained net out."""

from striate.training.fit import check, fit, resume
from striate.training.recipe import Recipe, read_recipe
from striate.training.record import Fitted, Progress

__all__ = ["Fitted", "Progress", "Recipe", "check", "fit", "read_recipe", "resume"]
