"""Which net, size and number of epochs suit a folder of pictures where nobody said: rules on one page.

As nnU-Net does for medical volumes (Isensee et al. 2021), what is chosen follows from a fingerprint of the data: how many
pictures, how large, grey or coloured, and from the time there is and the speed of this machine.

1. Pictures are never enlarged, and a net is never taken whose strides leave nothing of them.
2. Grey pictures of at most 32 pixels: LeNet-5. Others of at most 48: ResNet-20 for CIFAR, at their own size.
3. Larger ones: ResNet-18, at the first row of `FORMS` in which the time is enough for `EPOCHS` epochs; else its last.
4. So many epochs that the time is used, but no more looks at pictures than `LOOKS`.
"""

import math
from dataclasses import dataclass
from typing import Any

from striate import plan
from striate.data import Data
from striate.errors import ShapeError
from striate.models import catalog
from striate.tasks.task import Settings, Size
from striate.text import duration

LENET = 32  # pixels of the longer side up to which grey pictures get LeNet-5, and
SMALL = 48  # up to which pictures keep their own size
KEPT = 64  # up to which pictures are kept whole; larger ones are cropped
OWN = 512  # pictures up to this side reach a net of the user's own as they are, others at:
PUBLISHED = (224, 224)

TIME = 600.0  # seconds that a training takes at most if no budget= is given
OVERHEAD = 15.0  # of a budget: imports, reading, the report
EFFICIENCY = 0.6  # of a net's learning against that of one convolution
SPEEDS = {"lenet5": 0.1}  # of nets that are slower than that for their multiply-adds
EPOCHS = 40  # that a net should have the time for
MOST = 100  # epochs, and
LOOKS = 240_000  # at training pictures, repeats counted, after which little is gained
FEWEST = 4  # epochs of any training

# Size, and width of ResNet-18, the most accurate first, each with its multiply-adds an item.
FORMS: tuple[tuple[int, float], ...] = (
    (224, 1.0),
    (160, 1.0),
    (128, 1.0),
    (96, 1.0),
    (96, 0.5),
    (64, 0.5),
)


def whole_pictures(data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
    """Settings of nets that see whole pictures, such as net, size and epochs, with the reason for them as "why".

    Args:
        data: opened.
        recipe: as written; what it says stays.
        own_net: the user brings a net.
    """
    native = data.native_size
    color = recipe.color or data.color
    views = _views(max(native) if native else None, color)
    usual: dict[str, Any] = {"color": color, "augment": views}
    if own_net or recipe.net:
        own = native if native is not None and max(native) <= OWN else PUBLISHED
        size = recipe.size or (_size(recipe.net, native) if recipe.net else own)
        return {**usual, "net": recipe.net, "size": size}
    found = Fingerprint.of(data, recipe)
    best = chosen(found)
    size = recipe.size or _size(best.net, best.size)
    return {
        **usual,
        "net": best.net,
        "size": size,
        "width": best.width,
        "epochs": best.epochs,
        "why": best.reason(found, data),
    }


def _views(longer: int | None, color: str) -> str:
    """Views that keep small pictures whole."""
    if longer is not None and longer <= KEPT:
        return "shift"
    return "crop+flip" if color == "rgb" else "crop"


def _size(net: str, native: Size | None) -> Size:
    """The pictures' own size where the net takes it and was not published for less, else the published one."""
    height, width = catalog.entry(net).input[-2:]
    if native is None or native[0] > height or native[1] > width:
        return (height, width)
    try:
        catalog.build(net, size=native, init=False)
    except ShapeError:
        return (height, width)
    return native


@dataclass(frozen=True)
class Fingerprint:
    """What of the data decides.

    Attributes:
        items: for training.
        size: of all pictures where they have the same, else the median height and width.
        same: whether they have the same.
        color: grey, rgb or another space.
        seconds: that the training may take.
        speed: multiply-adds a second of a convolution that learns, see `striate.plan.learning_speed`.
    """

    items: int
    size: Size
    same: bool
    color: str
    seconds: float
    speed: float

    @classmethod
    def of(cls, data: Data, recipe: Settings) -> "Fingerprint":
        """Of opened data, of which the headers are read."""
        native = data.native_size
        height, width = native or tuple(max(1, round(side)) for side in data.median_size)
        budget = recipe.budget
        return cls(
            items=len(data.splits["train"]),
            size=(height, width),
            same=native is not None,
            color=recipe.color or data.color,
            seconds=TIME if budget is None else max(budget / 2, budget - OVERHEAD),
            speed=plan.learning_speed(plan.device(recipe.device)),
        )

    def epoch(self, macs: float) -> float:
        """Seconds of an epoch of a net with so many multiply-adds an item."""
        return self.items * macs / (EFFICIENCY * self.speed)


@dataclass(frozen=True)
class Choice:
    """A net with its width and input size, the epochs that suit, and the seconds these will take about."""

    net: str
    size: Size
    width: float
    epochs: int
    seconds: float

    def reason(self, data: Fingerprint, opened: Data) -> str:
        """One line: what was chosen, why, and how to choose otherwise."""
        width = "" if self.width == 1 else f", width {self.width:g}"
        size = f"{data.size[0]}x{data.size[1]}" + ("" if data.same else " in the middle")
        color = {"grey": "grey", "rgb": "colour"}.get(data.color, data.color)
        classes = f", {len(opened.classes)} classes" if opened.classes else ""
        return (
            f"chosen: {self.net} at {self.size[0]}x{self.size[1]}{width}, {self.epochs} epochs, about {duration(self.seconds)} here, for "
            f"{data.items:,} {color} pictures of {size}{classes}; --net, size= and epochs= change it"
        )


def chosen(data: Fingerprint) -> Choice:
    """The net for pictures with this fingerprint, by the rules above."""
    longer = max(data.size)
    if data.color == "grey" and longer <= LENET:
        return _timed(data, "lenet5", data.size)
    if longer <= SMALL:
        return _timed(data, "resnet20_cifar", data.size)
    forms = [
        _timed(data, "resnet18", (side, side), width)
        for side, width in FORMS
        if side <= max(min(data.size), FORMS[-1][0])
    ]
    enough = (form for form in forms if form.seconds / form.epochs * EPOCHS <= data.seconds)
    return next(enough, forms[-1])


def _timed(data: Fingerprint, net: str, size: Size, width: float = 1.0) -> Choice:
    """A net with the epochs for which there is time, at least `FEWEST`."""
    entry = catalog.entry(net)
    height, width_of = entry.input[-2:]
    share = size[0] * size[1] / (height * width_of) * width**2
    epoch = data.epoch((entry.macs or 0) * share / SPEEDS.get(net, 1.0))
    most = min(MOST, math.ceil(LOOKS / data.items))
    epochs = max(FEWEST, min(most, int(data.seconds / epoch)))
    return Choice(net, size, width, epochs, epochs * epoch)
