"""Every step of a sliding window with its numbers: as SVG, as an animated GIF, as a page to step through."""

from striate.see.stepper.backward import Errors, backward
from striate.see.stepper.compute import convolution, like
from striate.see.stepper.steps import Steps

__all__ = ["Errors", "Steps", "backward", "convolution", "like"]
