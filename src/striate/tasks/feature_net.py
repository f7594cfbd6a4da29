"""A trained net as a pair of eyes: what its layers give of pictures with values 0 to 1. B batch, C channels, H W pixels.

For losses that compare pictures by their features, and whatever else looks at features of pictures. Only the layers up
to the last that is asked for are built, loaded and run.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate import inputs, weights
from striate.errors import ArgumentError, CheckpointError, RecipeError, nearest
from striate.inputs import Pictures
from striate.losses import RANDOM, Look, Perceptual
from striate.models import catalog
from striate.probe import layer_outputs, ran_until
from striate.weights import published

IMAGENET = published.IMAGENET_MEAN, published.IMAGENET_STD  # where weights do not say theirs
GREY = (0.5,), (0.25,)

Levels = tuple[float, ...]


@dataclass(frozen=True)
class Form:
    """How a net is built and what it reads.

    Attributes:
        settings: of `catalog.build` beside the name.
        mean: of each channel it reads, for values 0..1.
        std: likewise.
    """

    settings: Mapping[str, Any]
    mean: Levels
    std: Levels


class FeatureNet(nn.Module):
    """A net behind its own preprocessing, in evaluation mode; its weights learn nothing."""

    def __init__(self, net: nn.Module, mean: Levels, std: Levels) -> None:
        super().__init__()
        self.net = net.eval().requires_grad_(requires_grad=False)
        self.mean: Tensor
        self.std: Tensor
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Any:
        """What the net says of pictures [B, C, H, W]; grey ones are given to each of its channels."""
        return self.net(self.prepared(x))

    def prepared(self, x: Tensor) -> Tensor:
        """Pictures as the net reads them."""
        channels = self.mean.shape[1]
        if x.shape[1] != channels:
            x = x.mean(1, keepdim=True).expand(-1, channels, -1, -1)
        return (x - self.mean) / self.std

    def features(self, x: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """What some layers give, with their gradients."""
        return layer_outputs(self.net, layers, self.prepared(x))


def check(look: Look, spelt: str) -> None:
    """Refuse a net, weights or a layer that there are not, before anything is decoded.

    Args:
        look: as it is asked for.
        spelt: the loss, for messages.

    Raises:
        RecipeError: saying which, and what there is.
        CheckpointError: weights that are damaged, no numbers, or do not fit the net.
    """
    try:
        _check_layer(look)
    except (ArgumentError, CheckpointError) as error:
        raise RecipeError(f"loss={spelt}: {error}") from error
    if Path(
        look.weights
    ).exists():  # what is published is fetched when it is needed, and is known to fit
        built(look)


def _check_layer(look: Look) -> None:
    check_net(look, way=f"{look.net}=")
    with torch.device("meta"):
        layers = [name for name, _ in outline(look).named_modules() if name]
    if look.layer not in layers:
        raise ArgumentError(
            f"{look.net} has no layer {look.layer!r}; {nearest(look.layer, layers)}"
        )


def check_net(look: Look, *, way: str = "weights=") -> None:
    """Refuse a net or weights that there are not.

    Args:
        look: as it is asked for.
        way: how weights are named where it is asked for, for messages.

    Raises:
        ArgumentError: saying what there is.
    """
    row = catalog.entry(look.net)
    if row.kind != "picture":
        raise ArgumentError(f"{look.net} reads a {row.kind}, and looks at no pictures")
    if not look.weights:
        raise ArgumentError(
            f"{look.net} sees nothing without trained weights: {way}WEIGHTS names a file, a run folder or a published "
            f"name; {way}{RANDOM} means first weights"
        )
    if look.weights == RANDOM or Path(look.weights).exists() or published.known(look.weights):
        return
    raise ArgumentError(
        f"{look.weights}: no such file, and no published name; {nearest(look.weights, published.PUBLISHED)}"
    )


def look(net: str, weights: str = "") -> Look:
    """A look through a net by its name, or through that of a run folder; all of its layers.

    Raises:
        ArgumentError: no such net or weights.
        CheckpointError: a run that is damaged, or of a net that is no longer there.
    """
    config = Path(net) / "config.json"
    if config.exists():
        if weights:
            raise ArgumentError(f"{net} brings its weights: leave weights={weights} out")
        found = Look(str(_content(config)["net"]["name"]), net, "")
    else:
        found = Look(net, weights, "")
    check_net(found)
    return found


def outline(look: Look) -> nn.Module:
    """The net of a look with its weights unset."""
    return catalog.build(look.net, init=False, **form_of(look).settings)


def own(net: nn.Module) -> FeatureNet:
    """A copy of any net, behind the preprocessing that it names in `pretrained_cfg`, else ImageNet's."""
    channels = channels_of(net)
    said: Mapping[str, Any] = getattr(net, "pretrained_cfg", None) or {}
    mean, std = GREY if channels == 1 else IMAGENET
    found = FeatureNet(
        copy.deepcopy(net), tuple(said.get("mean", mean)), tuple(said.get("std", std))
    )
    if found.mean.shape[1] != channels:
        raise ArgumentError(f"the net reads {channels} channels, pictures have 1 or 3")
    return found


def channels_of(net: nn.Module) -> int:
    """The channels that the first convolution of a net reads; 3 where there is none."""
    convolutions = (each for each in net.modules() if isinstance(each, nn.Conv2d))
    return next((each.in_channels for each in convolutions), 3)


def form_of(look: Look) -> Form:
    """How the net of a look is built: as its run says, where the weights are of one, else as published.

    Raises:
        CheckpointError: a run that is damaged, or of other inputs than pictures.
    """
    config = Path(look.weights) / "config.json"
    if look.weights and config.exists():
        return _of_run(config, look.net)
    if published.known(look.weights):
        _, mean, std = published.levels(look.weights)
        return Form({}, mean, std)
    return Form({}, *(GREY if catalog.entry(look.net).input[0] == 1 else IMAGENET))


def _of_run(config: Path, named: str) -> Form:
    """The settings and the preprocessing of a run of the net of the catalogue that is named."""
    content = _content(config)
    try:
        net, read = content["net"], inputs.from_dict(content["preprocessing"])
        names = ("in_channels", "num_classes", "size", "width")
        settings = {name: net[name] for name in names if net.get(name)} | dict(net["options"])
        if isinstance(settings.get("size"), list):
            settings["size"] = tuple(settings["size"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{config} is damaged: {error}") from error
    if net.get("own"):
        raise CheckpointError(f"{config.parent} holds a net that is not of the catalogue")
    if net["name"] != named:
        raise CheckpointError(f"{config.parent} holds {net['name']}, not {named}: name that net")
    if not isinstance(read, Pictures):
        raise CheckpointError(f"{config}: its net looks at no pictures")
    levels = (tuple(value / 255 for value in values) for values in (read.mean, read.std))
    mean, std = levels
    return Form(settings, mean, std)


def _content(config: Path) -> Any:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{config} is damaged: {error}") from error
    return content


def built(look: Look, layers: Sequence[str] = ()) -> FeatureNet:
    """The net of a look with its weights, as far as its layers need it.

    Args:
        look: checked.
        layers: further ones that are asked for.

    Raises:
        CheckpointError: weights that do not fit these layers.
    """
    form, wanted = form_of(look), dict.fromkeys(filter(None, [look.layer, *layers]))
    random = look.weights == RANDOM
    net = catalog.build(look.net, init=random, **form.settings)
    with torch.device("meta"):  # which modules run shows without a number
        bare = catalog.build(look.net, init=False, **form.settings).eval()
        x = torch.zeros(1, *net.input_shape)
    with torch.inference_mode():
        begun = set[str]().union(*(ran_until(bare, layer, x) for layer in wanted))
    if not random:
        weights.load_part(net, look.weights, _tensors(net, begun))
    _without_rest(net, begun)
    return FeatureNet(net, form.mean, form.std)


def _tensors(net: nn.Module, modules: set[str]) -> set[str]:
    """Names of the weights and buffers that these modules own themselves."""
    own = {path: module for path, module in net.named_modules() if path in modules}
    return {
        f"{path}.{name}".removeprefix(".")
        for path, module in own.items()
        for name in module.state_dict()
        if "." not in name
    }


def _without_rest(net: nn.Module, begun: set[str]) -> None:
    """Take out the layers with weights that never run, which may be most of a net's memory."""
    for path, module in list(net.named_modules()):
        alone = not any(True for _ in module.children())
        if path and path not in begun and alone and any(True for _ in module.parameters()):
            net.set_submodule(path, nn.Identity())


def perceptual(look: Look) -> Perceptual:
    """The loss between pictures [B, C, H, W] of values 0..1, as a net sees them."""
    return _OnDevice(built(look), f"net.{look.layer}")


class _OnDevice(Perceptual):
    """Follows the pictures to their device, and has them and its weights channels last, in which convolutions take less time."""

    def __call__(self, answer: Tensor, target: Tensor) -> Tensor:
        """The loss between pictures."""
        layout = torch.channels_last
        self.net.to(answer.device).to(memory_format=layout)  # pyright: ignore[reportCallIssue] - torch does not declare it
        return super().__call__(*(x.contiguous(memory_format=layout) for x in (answer, target)))
