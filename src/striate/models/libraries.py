"""Nets of timm and torchvision by name, where those packages are installed: `timm/NAME`, `torchvision/NAME`.

They are built by the packages' public functions alone, `timm.create_model` and `torchvision.models.get_model`, and only
by names that these packages list, so that a run folder that names one imports nothing else. How they want their pictures
and where their weights lie is what the packages say. C channels, H W pixels.
"""

import importlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from striate.errors import ArgumentError, MissingExtraError, nearest
from striate.models.row_types import Entry, Published, Request

NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")  # of a net, and of weights that it has
SIZE = (224, 224)  # and the levels of ImageNet, where a package says nothing
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
AUXILIARY = ("googlenet", "inception_v3")  # of torchvision, with heads that only training uses
AUXILIARY_HEADS = {"aux1", "aux2", "AuxLogits"}  # which their published weights hold
HUB = "https://huggingface.co/{}/resolve/main/{}"


@dataclass(frozen=True)
class Pictures:
    """How a net wants its pictures, and where its published weights lie.

    Attributes:
        size: height and width.
        mean: of each channel, of values 0..1.
        std: of each channel.
        weights: the name of its weights, such as `timm/NAME.TAG`; empty where there are none.
        address: of their file.
        sha256: the first digits of its checksum, where the package tells them.
        about: what is published of them, such as "69.8 % of ImageNet"; empty where nothing is.
    """

    size: tuple[int, int] = SIZE
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    weights: str = ""
    address: str = ""
    sha256: str = ""
    about: str = ""


@lru_cache(maxsize=64)
def entry(name: str) -> Entry:
    """A row as those of the catalogue, counted on the net itself.

    Raises:
        MissingExtraError: the package is not installed.
        ArgumentError: it has no such net, or the net gives no score a class.
    """
    library = name.partition("/")[0]
    shape = (3, *pictures(name).size)
    with torch.random.fork_rng(devices=[]):  # looking at a net draws nothing
        net = _made(name)
    classes, macs = _counted(net, name, shape)
    return Entry(
        name=name,
        file="libraries",
        family=library,
        year=0,
        paper=f"of the package {library}",
        input=shape,
        classes=classes,
        params=sum(p.numel() for p in net.parameters()),
        macs=macs,
        published=Published(f"derived: counted on the net of {library}"),
    )


def build(request: Request, generator: torch.Generator | None = None) -> nn.Module:
    """The net in training mode, with first weights as its package draws them.

    Packages draw from PyTorch's global generator, which is for that in the state of `generator` and then as it was.

    Raises:
        ArgumentError: a width, or input channels that it cannot have.
    """
    if request.width != 1:
        raise ArgumentError(f"{request.name}: width= is for nets of the catalogue")
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state((generator or torch.Generator()).get_state())
        net = _made(request.name, request.num_classes, request.in_channels)
    first = first_convolution(net)
    old = net.get_submodule(first) if first else None
    if isinstance(old, nn.Conv2d) and old.in_channels == 3 != request.in_channels:
        if old.groups != 1:
            raise ArgumentError(f"{request.name} reads 3 channels: use color=rgb")
        net.set_submodule(first, _with_channels(old, request.in_channels))
    return net.train()


@lru_cache(maxsize=64)
def pictures(name: str) -> Pictures:
    """How a net wants its pictures, as its package configures it.

    Args:
        name: of the net, or of weights that it has.

    Raises:
        MissingExtraError: the package is not installed.
        ArgumentError: it has no such net or no such weights.
    """
    library, _, word = name.partition("/")
    package = _package(library)
    plain, _, tag = word.partition(".")
    known = _names(library)
    if not NAME.fullmatch(word) or plain not in known:
        raise ArgumentError(f"{library} has no net {plain!r}; {nearest(plain, known)}")
    return _timm(package, plain, tag) if library == "timm" else _torchvision(package, plain, tag)


def own_reading(weights: str, file: Path) -> dict[str, Tensor] | None:
    """The tensors of published weights as timm itself reads and renames them; None of torchvision's, which stay as they are.

    Args:
        weights: their name.
        file: fetched from their address, safetensors.
    """
    library, _, word = weights.partition("/")
    if library != "timm":
        return None
    made = _package(library).create_model(
        word, pretrained=True, pretrained_cfg_overlay={"file": str(file)}
    )
    return dict(made.state_dict())


def version(library: str) -> str:
    """Of a package as it is installed.

    Raises:
        MissingExtraError: it is not.
    """
    return str(getattr(_package(library), "__version__", "unknown"))


def first_convolution(net: nn.Module) -> str:
    """Path of the convolution that reads the pictures; empty of a net without one."""
    return next((path for path, each in net.named_modules() if isinstance(each, nn.Conv2d)), "")


def _package(library: str) -> ModuleType:
    try:
        if library == "torchvision":
            importlib.import_module("torchvision.models")
        return importlib.import_module(library)
    except ImportError as error:
        raise MissingExtraError(
            f"nets named {library}/NAME need the package {library}: pip install {library}"
        ) from error


def _names(library: str) -> list[str]:
    package = _package(library)
    if library == "timm":
        return list(package.list_models())
    return list(package.models.list_models(module=package.models))  # those that classify


def _made(name: str, num_classes: int | None = None, in_channels: int = 3) -> nn.Module:
    """A net that its package lists, as its package builds it."""
    pictures(name)
    library, _, word = name.partition("/")
    plain = word.partition(".")[0]
    settings: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    if library == "timm":
        return _package(library).create_model(plain, in_chans=in_channels, **settings)
    if plain in AUXILIARY:
        settings |= {"aux_logits": False, "init_weights": True}
    return _package(library).models.get_model(plain, **settings)


def _timm(package: ModuleType, name: str, tag: str) -> Pictures:
    try:
        with torch.random.fork_rng(devices=[]):
            net = package.create_model(f"{name}.{tag}" if tag else name)
    except RuntimeError as error:
        raise ArgumentError(f"timm/{name} has no weights {tag!r} ({error})") from error
    config = dict(getattr(net, "pretrained_cfg", {}))
    wanted = importlib.import_module("timm.data").resolve_model_data_config(net)
    tag, hub = config.get("tag") or tag, config.get("hf_hub_id")
    file = config.get("hf_hub_filename") or "model.safetensors"
    published = hub and file.endswith(".safetensors")
    return Pictures(
        (int(wanted["input_size"][-2]), int(wanted["input_size"][-1])),
        tuple(wanted["mean"]),
        tuple(wanted["std"]),
        weights=(f"timm/{name}.{tag}" if tag else f"timm/{name}") if published else "",
        address=HUB.format(hub, file) if published else "",
    )


def _torchvision(package: ModuleType, name: str, tag: str) -> Pictures:
    every = package.models.get_model_weights(name)
    known = [each.name for each in every]
    if tag and tag not in known:
        raise ArgumentError(f"torchvision/{name} has no weights {tag!r}; {nearest(tag, known)}")
    if not known:
        return Pictures()
    chosen = every[tag] if tag else every.DEFAULT
    views = chosen.transforms()
    side = int(views.crop_size[0])
    right = chosen.meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
    digits = re.search(r"-([0-9a-f]{8,})\.\w+$", chosen.url)
    return Pictures(
        (side, side),
        tuple(views.mean),
        tuple(views.std),
        weights=f"torchvision/{name}.{chosen.name}",
        address=chosen.url,
        sha256=digits[1] if digits else "",
        about=f"{right:.1f} % of ImageNet" if right else "",
    )


def _with_channels(old: nn.Conv2d, channels: int) -> nn.Conv2d:
    """A convolution like another, for so many input channels."""
    settings: dict[str, Any] = {
        key: getattr(old, key)
        for key in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    }
    return nn.Conv2d(channels, old.out_channels, bias=old.bias is not None, **settings)


def _counted(net: nn.Module, name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many scores it gives, and its multiply-adds, by running it once."""
    try:
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            given = net.eval()(torch.zeros(1, *shape))
    except Exception as error:  # another package's code may raise anything
        reason = " ".join(str(error).split())[:200]
        size = "x".join(map(str, shape))
        raise ArgumentError(f"{name} fails on a picture of {size}: {reason}") from error
    if not isinstance(given, Tensor) or given.ndim != 2:
        raise ArgumentError(f"{name} gives no score a class: it is no classifier of pictures")
    return given.shape[1], counter.get_total_flops() // 2
