"""Nets that write into what they are given: every picture leaves the caller's images as they are."""

import importlib
import inspect
import shutil

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.cli.pictures import FILES
from striate.measuring.effective_field import effective
from striate.runs import Run
from striate.see.pictures.activations import spreads

SHORT = {"steps": 1}  # of pictures that are optimised


def pictures():
    """The functions that take images, by name."""
    for path in sorted(FILES.glob("[a-z]*.py")):
        made = getattr(importlib.import_module(f"striate.see.pictures.{path.stem}"), path.stem)
        if "images" in inspect.signature(made).parameters:
            yield path.stem, made


OWN = {
    "effective": lambda net, images: effective(net, images, "1"),
    "spreads": lambda net, images: spreads(net, ["1"], lambda: iter([images])),
}


def in_place() -> nn.Module:
    return nn.Sequential(
        nn.ReLU(inplace=True), nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(784, 3)
    )  # fmt: skip


@pytest.mark.parametrize(("name", "make"), [*pictures(), *OWN.items()])
def test_images_stay_as_they_are(name, make, run, tmp_path):
    images = torch.randn(2, 1, 28, 28)
    before = images.clone()
    taken = list(inspect.signature(make).parameters)
    settings = {key: value for key, value in SHORT.items() if key in taken}
    # A run of its own: what it keeps beside itself is of a net that is changed here.
    own = Run.load(shutil.copytree(run.path, tmp_path / "run"))
    known = {"net": in_place(), "run": own, "images": images}

    def begin_in_place(_net: nn.Module, given: tuple[torch.Tensor]) -> None:
        F.relu_(given[0])

    own.net.register_forward_pre_hook(begin_in_place)
    make(*(known[key] for key in taken if key in known), **settings)
    assert torch.equal(images, before)
