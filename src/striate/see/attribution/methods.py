"""The methods of saliency by name: what each needs, what its values are, and the paper it is from."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from striate.errors import ArgumentError, nearest
from striate.see.attribution import activation_maps as cam
from striate.see.attribution import gradients, perturbation
from striate.see.attribution.layers import Resolution
from striate.see.attribution.subject import Subject
from striate.text import times

SEED = 0  # of masks and noise, so that the same call gives the same map


class Attribution(NamedTuple):
    """What a method gives for N items: `maps` [N, *places], and what is to be said of them."""

    maps: Tensor
    notes: tuple[str, ...] = ()


def _places(space: tuple[int, ...], _number: int) -> Resolution:
    said = f"each of the {times(space)} places of the input has a value of its own"
    return Resolution(space, (1.0,) * len(space), None, said)


def _windows(space: tuple[int, ...], side: int) -> Resolution:
    window, step = window_of(space, side)
    cells = tuple(1 + ceil(max(0, n - w) / s) for n, w, s in zip(space, window, step, strict=True))
    said = f"windows of {times(window)} places, {times(step)} apart: nothing smaller is told apart"
    return Resolution(cells, tuple(map(float, step)), window, said)


def _grids(space: tuple[int, ...], _number: int) -> Resolution:
    cells = perturbation.cells_of(space)
    step = tuple(n / k for n, k in zip(space, cells, strict=True))
    sides = tuple(ceil(each) for each in step)
    said = f"masks of {times(cells)} random cells, {times(sides)} places each: nothing smaller is told apart"
    return Resolution(cells, step, sides, said)


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        run: from what is explained, a layer and a number to maps.
        unit: of its values.
        at_layer: whether it is made from the maps of a layer.
        number: what the number behind its name is of; "" of a method without one.
        usual: that number where none is given; 0 where it follows from the items.
        grain: from the size of an input and the number to the resolution, of a method without a layer.
    """

    run: Callable[[Subject, str, int], Attribution]
    unit: str
    at_layer: bool = False
    number: str = ""
    usual: int = 0
    grain: Callable[[tuple[int, ...], int], Resolution] = _places


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def _loudest(values: Tensor) -> Tensor:
    """The largest magnitude over the channels (Simonyan et al. 2013, section 3.1)."""
    return values.abs().amax(1)


def _gradient(subject: Subject, _layer: str, _number: int) -> Attribution:
    return Attribution(_loudest(gradients.gradient(subject)))


def _gradient_x_input(subject: Subject, _layer: str, _number: int) -> Attribution:
    return Attribution(gradients.gradient_x_input(subject).sum(1))


def _integrated(subject: Subject, _layer: str, steps: int) -> Attribution:
    values = gradients.integrated(subject, steps)
    with torch.no_grad():
        nothing = subject.answer(torch.zeros_like(subject.x[:1]))
        blank = subject.score(
            nothing.expand(len(subject), *nothing.shape[1:]), torch.arange(len(subject))
        )
    wanted = torch.tensor(subject.scores) - blank.cpu()
    gap = (values.flatten(1).sum(1).cpu() - wanted).abs() / wanted.abs().clamp_min(1e-12)
    said = (
        f"its sum differs from the number less that of an input of zeros by {100 * float(gap.max()):.2g} % at most; "
        f"more steps, integrated:{2 * steps}, make that less"
    )
    return Attribution(values.sum(1), (said,))


def _smooth(subject: Subject, _layer: str, samples: int) -> Attribution:
    return Attribution(_loudest(gradients.smooth(subject, samples, _generator())))


GUIDED = (
    "guided backpropagation is known to change little when the weights are random ones (Adebayo et al. 2018, "
    "arXiv 1810.03292): it shows edges of the picture rather than what the net uses"
)


def _guided(subject: Subject, _layer: str, _number: int) -> Attribution:
    values, met = gradients.guided(subject)
    said = (GUIDED,)
    if not met:
        said = ("the net has no ReLU that could be seen, so this is its plain gradient",)
    return Attribution(_loudest(values), said)


def window_of(space: tuple[int, ...], side: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Window and step of occlusion: an eighth of the input along each axis if no side is given, in steps of half of it."""
    window = tuple(min(n, side or ceil(n / 8)) for n in space)
    return window, tuple(ceil(w / 2) for w in window)


def _occlusion(subject: Subject, _layer: str, side: int) -> Attribution:
    maps = perturbation.occlusion(subject, *window_of(subject.space, side))
    return Attribution(maps, (HIDDEN,))


def _rise(subject: Subject, _layer: str, samples: int) -> Attribution:
    said = f"{samples:,} random masks; rise:{4 * samples} halves their noise"
    return Attribution(perturbation.rise(subject, samples, _generator()), (said, HIDDEN))


def _weighed(rule: cam.Rule) -> Callable[[Subject, str, int], Attribution]:
    def run(subject: Subject, layer: str, _number: int) -> Attribution:
        return Attribution(cam.weighed_maps(subject, layer, rule))

    return run


def _score_cam(subject: Subject, layer: str, most: int) -> Attribution:
    maps, tried = cam.score_cam(subject, layer, most)
    said = f"{tried:,} maps of the layer were tried, those of the widest range" if most else ""
    return Attribution(maps, (said,) if said else ())


def _eigen_cam(subject: Subject, layer: str, _number: int) -> Attribution:
    maps = cam.eigen_cam(cam.maps_of(subject, layer))
    return Attribution(maps, ("Eigen-CAM is the same for every class: it looks at no score",))


HIDDEN = "what is hidden is set to zero, which for a run is the mean of its training items"
RATE, PART = "score per unit of input", "part of the score"
METHODS: dict[str, Method] = {
    "gradient": Method(_gradient, RATE),
    "gradient-x-input": Method(_gradient_x_input, PART),
    "integrated": Method(_integrated, PART, number="steps", usual=50),
    "smoothgrad": Method(_smooth, RATE, number="noisy copies", usual=25),
    "guided": Method(_guided, RATE),
    "occlusion": Method(_occlusion, "fall of the score", number="pixels of a side", grain=_windows),
    "rise": Method(_rise, "answer above its mean", number="masks", usual=1000, grain=_grids),
    "grad-cam": Method(_weighed(cam.grad_cam), PART, at_layer=True),
    "grad-cam++": Method(_weighed(cam.grad_cam_plus), "weighed maps", at_layer=True),
    "layer-cam": Method(_weighed(cam.layer_cam), PART, at_layer=True),
    "score-cam": Method(_score_cam, "weighed maps", at_layer=True, number="maps"),
    "eigen-cam": Method(_eigen_cam, "size of the maps", at_layer=True),
}


def read(text: str) -> tuple[str, Method, int]:
    """A method as it is asked for, such as "rise:4000": its name, itself and its number.

    Raises:
        ArgumentError: there is none, or its number is none.
    """
    name, colon, given = text.partition(":")
    if name not in METHODS:
        raise ArgumentError(f"method={text}: no such method; {nearest(name, METHODS)}")
    method = METHODS[name]
    if not colon:
        return name, method, method.usual
    if not method.number:
        raise ArgumentError(f"method={text}: {name} has no number; leave :{given} out")
    if not given.isdecimal() or int(given) < 1:
        raise ArgumentError(
            f"method={text}: expected the number of {method.number}, such as {name}:{method.usual or 32}"
        )
    return name, method, int(given)
