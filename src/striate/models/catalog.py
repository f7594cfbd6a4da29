"""The catalogue: every net by name, with its published facts. Needs torch only once a net is built.

Figures are for one item at `input`; `macs` counts one multiply-add as one and padding cells as read.
"""

import fnmatch
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from striate.errors import ArgumentError, ShapeError, nearest
from striate.models.facts import Choice, Counts, Entry, Published, Request
from striate.models.table import NetTable

if TYPE_CHECKING:
    import torch

    from striate.models.backbone import Backbone


def _linear(request: Request) -> "Backbone":
    from striate.models.linear import build as family

    return family(request)


def _lenet(request: Request) -> "Backbone":
    from striate.models.lenet import build as family

    return family(request)


def _resnet(request: Request) -> "Backbone":
    from striate.models.resnet import build as family

    return family(request)


ACT = Choice(("relu", "sigmoid", "tanh"))

CATALOG = {
    "linear": Entry(
        name="linear",
        family="linear",
        year=1936,
        paper="Fisher 1936, doi 10.1111/j.1469-1809.1936.tb02137.x",
        tasks=("classify",),
        input=(1, 28, 28),
        classes=10,
        params=7_850,
        params_train=7_850,
        macs=7_840,
        published=Published("derived: 784 x 10 + 10", params=7_850, macs=7_840),
        builder=_linear,
        note="one weight a pixel and class",
    ),
    "mlp": Entry(
        name="mlp",
        family="linear",
        year=1986,
        paper="Rumelhart, Hinton and Williams 1986, doi 10.1038/323533a0",
        tasks=("classify",),
        input=(1, 28, 28),
        classes=10,
        params=101_770,
        params_train=101_770,
        macs=101_632,
        published=Published(
            "derived: 784 x 128 + 128 + 128 x 10 + 10", params=101_770, macs=101_632
        ),
        builder=_linear,
        options={"hidden": Counts((128,)), "act": ACT},
        note="hidden layers by hidden=",
    ),
    "lenet5": Entry(
        name="lenet5",
        family="lenet",
        year=1998,
        paper="LeCun et al. 1998, doi 10.1109/5.726791",
        tasks=("classify",),
        input=(1, 28, 28),
        classes=10,
        params=61_706,
        params_train=61_706,
        macs=416_520,
        published=Published(
            "derived: 6 and 16 maps of 5x5, then 120, 84 and 10", params=61_706, macs=416_520
        ),
        builder=_lenet,
        options={"act": ACT, "pool": Choice(("max", "avg"))},
        note="today's form; act=sigmoid pool=avg is the lectures'",
    ),
    "resnet18": Entry(
        name="resnet18",
        family="resnet",
        year=2015,
        paper="He et al. 2015, arXiv 1512.03385",
        tasks=("classify",),
        input=(3, 224, 224),
        classes=1000,
        params=11_689_512,
        params_train=11_689_512,
        macs=1_814_073_344,
        published=Published(
            "torchvision 0.29 model metadata", params=11_689_512, macs=1_814_000_000
        ),
        builder=_resnet,
        note="stride in the 3x3",
    ),
}


def entry(name: str) -> Entry:
    """One row of the catalogue.

    Raises:
        ArgumentError: no net has this name; the message ends with the nearest.
    """
    if name not in CATALOG:
        raise ArgumentError(f"no net is called {name!r}; {nearest(name, CATALOG)}")
    return CATALOG[name]


def build(
    name: str,
    *,
    in_channels: int | None = None,
    num_classes: int | None = None,
    size: int | tuple[int, int] | None = None,
    width: float = 1.0,
    options: Mapping[str, object] | None = None,
    generator: "torch.Generator | None" = None,
    init: bool = True,
) -> "Backbone":
    """A net of the catalogue, in training mode on the CPU; whatever is not said is as published.

    Args:
        name: a key of `CATALOG`.
        in_channels: channels of a picture.
        num_classes: logits of an item.
        size: height and width of a picture in pixels, or one side of a square.
        width: factor on the channels between input and output.
        options: settings of the family by name, such as {"act": "tanh"}; see `Entry.options`.
        generator: source of the first weights. None is a new one, so equal calls give equal
            weights; the global random state is neither read nor moved.
        init: False leaves the weights unset, for a net whose weights are loaded next.

    Raises:
        ArgumentError: an unknown name or option, or a value out of range.
        ShapeError: a size that the net cannot take; raised before anything is allocated.
    """
    request = _request(
        entry(name),
        in_channels=in_channels,
        num_classes=num_classes,
        size=size,
        width=width,
        options=options,
    )
    import torch

    from striate.models.init import skipped

    with skipped():
        net = entry(name).builder(request)
    if init:
        net.initialise(torch.Generator() if generator is None else generator)
    return net


def nets(pattern: str | None = None) -> NetTable:
    """The catalogue, or the nets whose name or family contains or matches (*, ?) a pattern.

    Raises:
        ArgumentError: nothing matches.
    """
    wanted = "*" if not pattern else pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    found = tuple(
        row
        for row in CATALOG.values()
        if any(fnmatch.fnmatchcase(word, wanted) for word in (row.name, row.family))
    )
    if not found:
        raise ArgumentError(f"no net matches {pattern!r}; {nearest(str(pattern), CATALOG)}")
    return NetTable(found)


def _request(
    row: Entry,
    *,
    in_channels: int | None,
    num_classes: int | None,
    size: int | tuple[int, int] | None,
    width: float,
    options: Mapping[str, object] | None,
) -> Request:
    channels, *sides = row.input
    height, across = (size, size) if isinstance(size, int) else size or sides
    counts = {
        "in_channels": channels if in_channels is None else in_channels,
        "num_classes": row.classes if num_classes is None else num_classes,
        "the height in size": height,
        "the width in size": across,
    }
    for what, count in counts.items():
        if count < 1:
            raise ShapeError(f"{row.name}: {what} must be at least 1, got {count}")
    if not (math.isfinite(width) and width > 0):
        raise ArgumentError(f"{row.name}: width must be a factor above 0, got {width}")
    return Request(
        name=row.name,
        in_channels=counts["in_channels"],
        num_classes=counts["num_classes"],
        size=(height, across),
        width=width,
        options=_settled(row, options or {}),
    )


def _settled(row: Entry, given: Mapping[str, object]) -> dict[str, str | tuple[int, ...]]:
    for key in given:
        if key not in row.options:
            raise ArgumentError(
                f"{row.name} has no option {key!r}; "
                + (nearest(key, row.options) if row.options else "it takes none")
            )
    return {
        key: option.read(f"{row.name}: {key}", given[key]) if key in given else option.default
        for key, option in row.options.items()
    }
