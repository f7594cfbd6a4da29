"""Which net, size and number of epochs suit a folder of pictures where nobody said: rules on one page.

As nnU-Net does for medical volumes (Isensee et al. 2021), what is chosen follows from a fingerprint of the data: how many
pictures, how large, grey or coloured, and from the time there is and the speed of this machine.

1. Pictures of at most 48 pixels are seen at their own size, by ResNet-20 for CIFAR. Grey ones of at most 32 are left to
   LeNet-5 where they are so many that ResNet-20 would need more than two minutes, or smaller than 16.
   LeNet-5 brings them to its 28 where it cannot take their own size. Coloured ones get a ResNet-20 twice as wide where there
   is time for so many looks at them that the narrow one would learn little more.
2. Larger ones are seen by ResNet-18 at the first row of `FORMS` in which there is time for `EPOCHS` epochs, or at its last.
   They are not enlarged, but for those under 64 pixels, which become as large as that.
3. As many epochs as there is time for, from 4 to 100; of LeNet-5 at most 20.
   Spectra of sounds are seen by ResNet-18 as narrow as the time asks for, short ones by ResNet-20 where there is time.
4. Small coloured pictures are mirrored, moved, and change their colours; for the wide net they are moved by whole pixels and
   partly erased. Small grey ones, which may be letters or patches about a
   point, are moved, turned, scaled and lit a little, never mirrored. Large ones are seen through windows.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from striate import plan
from striate.data import Data
from striate.errors import ShapeError
from striate.inputs.preprocessing import Settings, Size
from striate.models import catalog
from striate.text import rough

LENET = (
    16,
    32,
)  # pixels of the longer side: grey pictures below get LeNet-5, or may up to the second
SMALL = 48  # up to which pictures keep their own size
KEPT = 64  # up to which pictures are kept whole; larger ones are cropped
OWN = 512  # pictures up to this side reach a net of the user's own as they are, others at:
PUBLISHED = (224, 224)

TIME = 600.0  # seconds that a training takes at most if no budget= is given, and
SHORT = 120.0  # what a more accurate net than LeNet-5 may take
OVERHEAD = 15.0  # of a budget: imports, reading, the report
EFFICIENCY = 0.6  # of a net's learning against that of one convolution
SPEEDS = {"lenet5": 0.1}  # of nets that are slower than that for their multiply-adds
EPOCHS = 40  # that ResNet-18 should have the time for, and half of them ResNet-20
LEAST, MOST = 4, 100  # epochs of any training
RESNET20 = "resnet20_cifar"  # of small pictures, and:
WIDE = 2.0  # of it where there is time for so many looks at training pictures at that width:
LOOKS_OF_WIDE = 600_000
LOOKS, ROUNDS = 240_000, 20  # at training pictures, and epochs, after which LeNet-5 gains little

# Net, width and share of the usual speed for spectra of sounds, the most accurate first; and for short ones.
OF_SOUNDS = (("resnet18", 0.5, 1.0), ("resnet18", 0.25, 0.6))
OF_SHORT = ("resnet20_cifar", 0.5, 0.4)
SHORT_FRAMES = 128  # of a spectrum, up to which sounds are short

# Side of the pictures, and width of ResNet-18, the most accurate first.
FORMS = ((224, 1.0), (160, 1.0), (128, 1.0), (96, 1.0), (96, 0.5), (64, 0.5))


def whole_pictures(data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
    """Settings of nets that see whole pictures, such as net, size and epochs.

    Where a net is chosen, "why" gives one line on it, from the recipe once it is settled.

    Args:
        data: opened.
        recipe: as written; what it says stays.
        own_net: the user brings a net.
    """
    native = data.native_size
    color = recipe.color or data.color
    longer = max(native) if native else None
    if own_net or recipe.net:
        own = native if native is not None and max(native) <= OWN else PUBLISHED
        size = recipe.size or (_size(recipe.net, native) if recipe.net else own)
        views = _views(None, longer, color)
        return {"net": recipe.net, "size": size, "color": color, "augment": views}
    found = Fingerprint.of(data, recipe)
    best = chosen(found)
    if "width" in recipe.model_fields_set:  # which decides on the epochs and the views too
        best = _timed(found, best.net, best.size, recipe.width)
    size = recipe.size or _size(best.net, best.size)
    return {
        "color": color,
        "augment": _views(best.net, max(size), color, width=best.width),
        "net": best.net,
        "size": size,
        "width": best.width,
        "epochs": best.epochs,
        "why": partial(reason, found, classes=len(data.classes)),
    }


def _views(net: str | None, longer: int | None, color: str, *, width: float = 1.0) -> str:
    """Random views that suit pictures whose longer side is known if all have the same, and a net that can learn more."""
    if longer is None or longer > KEPT:
        return "crop+flip" if color == "rgb" else "crop"
    if net in (None, "lenet5"):
        return "shift"
    if net == RESNET20 and width >= WIDE and color != "grey":
        return "crop+flip+color:0.2+erase"
    return (
        "flip+translate:0.12+color:0.2"
        if color == "rgb"
        else "translate:0.04+rotate:10+scale:0.1+brightness:0.2+contrast:0.2"
    )


def _size(net: str, native: Size | None) -> Size:
    """The pictures' own size where the net takes it and was not published for less, else the published one."""
    height, width = catalog.entry(net).input[-2:]
    if native is None or native[0] > height or native[1] > width or catalog.is_library(net):
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
        return cls(
            items=len(data.splits["train"]),
            size=(height, width),
            same=native is not None,
            color=recipe.color or data.color,
            seconds=time_for(recipe),
            speed=plan.learning_speed(plan.device(recipe.device)),
        )


@dataclass(frozen=True)
class Choice:
    """A net with its width and input size, the epochs for which there is time, and the seconds these take about."""

    net: str
    size: Size
    width: float
    epochs: int
    seconds: float

    @property
    def least(self) -> float:
        """Seconds of `EPOCHS` epochs."""
        return self.seconds / self.epochs * EPOCHS


def reason(data: Fingerprint, settled: Settings, *, classes: int) -> str:
    """One line on a net that was chosen: what it is, why, and how to choose otherwise.

    Args:
        data: what decided.
        settled: the recipe as it will be trained, with what the user said of size, width and epochs.
        classes: how many; 0 of data without.
    """
    net, size = settled.net or "", settled.size or data.size
    timed = _timed(data, net, size, settled.width)
    count = settled.epochs or timed.epochs
    epochs = f"{'' if settled.epochs else 'about '}{count} epoch{'s' * (count != 1)}"
    seconds = rough(timed.seconds / timed.epochs * count)
    width = "" if settled.width == 1 else f", width {settled.width:g}"
    kind = {"grey": "grey", "rgb": "colour"}.get(data.color, data.color)
    sides = f"{data.size[0]}x{data.size[1]}"
    pictures = f"{data.items:,} {kind} pictures of {sides if data.same else f'{sides} (median)'}"
    named = f", {classes} classes" if classes else ""
    return (
        f"chosen: {net} at {size[0]}x{size[1]}{width}, {epochs}, about {seconds} here, for {pictures}{named}; "
        "--net, size=, width= and epochs= change it"
    )


def time_for(recipe: Settings) -> float:
    """Seconds that a training may take: most of its budget, or what is usual."""
    if recipe.budget is None:
        return TIME
    return max(recipe.budget / 2, recipe.budget - OVERHEAD)


def learning_seconds(macs: float, recipe: Settings) -> float:
    """Seconds in which a net learns from so many multiply-adds of its forward pass, on the device of the recipe."""
    return macs / (EFFICIENCY * plan.learning_speed(plan.device(recipe.device)))


def of_spectra(items: int, size: Size, recipe: Settings) -> dict[str, Any]:
    """Settings of a net that reads spectra of sounds: net, width and epochs, and "why" as in `whole_pictures`.

    Short sounds keep their resolution where there is time for it; of others the first of `OF_SOUNDS` is taken that has
    time for `EPOCHS` epochs, or the last.

    Args:
        items: for training.
        size: bands and frames.
        recipe: as written.
    """
    seconds, speed = time_for(recipe), plan.learning_speed(plan.device(recipe.device))
    found = Fingerprint(items, size, True, "grey", seconds, speed)
    rows = [*([OF_SHORT] if size[1] <= SHORT_FRAMES else []), *OF_SOUNDS]
    forms = [_timed(found, net, size, width, share) for net, width, share in rows]
    best, row = next(
        ((form, row) for form, row in zip(forms, rows, strict=True) if form.least <= seconds),
        (forms[-1], rows[-1]),
    )
    if "width" in recipe.model_fields_set:  # which decides on the epochs too
        best = _timed(found, row[0], size, recipe.width, row[2])

    def why(settled: Settings) -> str:
        count = settled.epochs or best.epochs
        took = rough(best.seconds / best.epochs * count)
        about = "" if settled.epochs else "about "
        return (
            f"chosen: {best.net}, width {settled.width:g}, {about}{count} epochs, about {took} here, for {items:,} spectra of "
            f"{size[0]} bands and {size[1]} frames; --net, width= and epochs= change it"
        )

    return {"net": best.net, "width": best.width, "epochs": best.epochs, "why": why}


def chosen(data: Fingerprint) -> Choice:
    """The net for pictures with this fingerprint, by the rules above."""
    longer = max(data.size)
    if longer <= SMALL:
        small = _timed(data, RESNET20, data.size)
        slow = small.least / 2 > min(SHORT, data.seconds)
        light = data.color == "grey" and (longer < LENET[0] or (longer <= LENET[1] and slow))
        wide = _timed(data, RESNET20, data.size, WIDE)
        if data.color != "grey" and wide.epochs * data.items >= LOOKS_OF_WIDE:
            return wide
        return _timed(data, "lenet5", data.size) if light else small
    sides = max(min(data.size), FORMS[-1][0])
    forms = [_timed(data, "resnet18", (n, n), width) for n, width in FORMS if n <= sides]
    return next((form for form in forms if form.least <= data.seconds), forms[-1])


def _timed(
    data: Fingerprint, net: str, size: Size, width: float = 1.0, share: float = 1.0
) -> Choice:
    """A net with the epochs for which there is time; `share` of the usual speed is what so narrow a net reaches."""
    entry = catalog.entry(net)
    published = entry.input[-2] * entry.input[-1]
    # Pictures that are too small for LeNet-5 are brought to its own size.
    pixels = published if net == "lenet5" else size[0] * size[1]
    macs = entry.macs * pixels / published * width**2
    epoch = data.items * macs / (EFFICIENCY * share * SPEEDS.get(net, 1.0) * data.speed)
    most = min(ROUNDS, math.ceil(LOOKS / data.items)) if net == "lenet5" else MOST
    epochs = max(LEAST, min(most, int(data.seconds / epoch)))
    return Choice(net, size, width, epochs, epochs * epoch)
