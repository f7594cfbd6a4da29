"""Weights that others publish, by name: where they are, what they are worth, what they expect to be fed.

Nothing is fetched unless a name is asked for. Addresses and preprocessing are those of torchvision 0.29 and
timm 1.0, whose licences are BSD-3-Clause and Apache-2.0; the ImageNet weights come without the pictures' licence:
ImageNet itself is for research alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from striate.data.cache import store
from striate.download import fetch
from striate.errors import ArgumentError, nearest
from striate.models import catalog, libraries
from striate.models.catalog_rows import TOP1

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
TORCH = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Published:
    """One file of weights.

    Attributes:
        net: the net of the catalogue it belongs to.
        address: where it is fetched.
        sha256: the checksum, or as much of it as the publisher gives.
        crop: side of the centre that is cut out; 0 takes all.
        mean: of each channel, of values 0..1.
        std: of each channel.
        top1: percent of ImageNet's validation pictures that are answered rightly, as the publisher measured.
    """

    net: str
    address: str
    sha256: str
    crop: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    top1: float | None = None


def _torch(
    net: str,
    file: str,
    *,
    crop: int = 224,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    top1: float | None = None,
) -> Published:
    """A file of torchvision; its name ends with the first eight digits of its SHA-256. `top1` is the net's best if not given."""
    sha256 = file.removesuffix(".pth").rpartition("-")[2]
    return Published(net, TORCH + file, sha256, crop, mean, std, top1 or TOP1.get(net))


PUBLISHED: Mapping[str, Published] = {
    "torchvision/alexnet.IMAGENET1K_V1": _torch("alexnet", "alexnet-owt-7be5be79.pth"),
    "torchvision/vgg11.IMAGENET1K_V1": _torch("vgg11", "vgg11-8a719046.pth"),
    "torchvision/vgg13.IMAGENET1K_V1": _torch("vgg13", "vgg13-19584684.pth"),
    "torchvision/vgg16.IMAGENET1K_V1": _torch("vgg16", "vgg16-397923af.pth"),
    "torchvision/vgg19.IMAGENET1K_V1": _torch("vgg19", "vgg19-dcbb9e9d.pth"),
    "torchvision/vgg11_bn.IMAGENET1K_V1": _torch("vgg11_bn", "vgg11_bn-6002323d.pth"),
    "torchvision/vgg13_bn.IMAGENET1K_V1": _torch("vgg13_bn", "vgg13_bn-abd245e5.pth"),
    "torchvision/vgg16_bn.IMAGENET1K_V1": _torch("vgg16_bn", "vgg16_bn-6c64b313.pth"),
    "torchvision/vgg19_bn.IMAGENET1K_V1": _torch("vgg19_bn", "vgg19_bn-c79401a0.pth"),
    "torchvision/googlenet.IMAGENET1K_V1": _torch(
        "googlenet", "googlenet-1378be20.pth", mean=HALF, std=HALF
    ),
    "torchvision/inception_v3.IMAGENET1K_V1": _torch(
        "inception_v3", "inception_v3_google-0cc3c7bd.pth", crop=299, mean=HALF, std=HALF
    ),
    "torchvision/resnet18.IMAGENET1K_V1": _torch("resnet18", "resnet18-f37072fd.pth"),
    "torchvision/resnet34.IMAGENET1K_V1": _torch("resnet34", "resnet34-b627a593.pth"),
    "torchvision/resnet50.IMAGENET1K_V1": _torch("resnet50", "resnet50-0676ba61.pth", top1=76.13),
    "torchvision/resnet50.IMAGENET1K_V2": _torch("resnet50", "resnet50-11ad3fa6.pth"),
    "torchvision/resnet101.IMAGENET1K_V1": _torch(
        "resnet101", "resnet101-63fe2227.pth", top1=77.374
    ),
    "torchvision/resnet101.IMAGENET1K_V2": _torch("resnet101", "resnet101-cd907fc2.pth"),
    "torchvision/resnet152.IMAGENET1K_V1": _torch(
        "resnet152", "resnet152-394f9c45.pth", top1=78.312
    ),
    "torchvision/resnet152.IMAGENET1K_V2": _torch("resnet152", "resnet152-f82ba261.pth"),
    "torchvision/densenet121.IMAGENET1K_V1": _torch("densenet121", "densenet121-a639ec97.pth"),
    "torchvision/densenet161.IMAGENET1K_V1": _torch("densenet161", "densenet161-8d451a50.pth"),
    "torchvision/densenet169.IMAGENET1K_V1": _torch("densenet169", "densenet169-b2777c0a.pth"),
    "torchvision/densenet201.IMAGENET1K_V1": _torch("densenet201", "densenet201-c1103571.pth"),
    "torchvision/squeezenet1_0.IMAGENET1K_V1": _torch(
        "squeezenet1_0", "squeezenet1_0-b66bff10.pth"
    ),
    "torchvision/squeezenet1_1.IMAGENET1K_V1": _torch(
        "squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"
    ),
    "torchvision/fcn_resnet50.COCO_WITH_VOC_LABELS_V1": _torch(
        "fcn_resnet50", "fcn_resnet50_coco-1167a1af.pth", crop=0
    ),
    "timm/xception.tf_in1k": Published(
        "xception",
        "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene/xception-43020ad28.pth",
        "43020ad28",
        299,
        HALF,
        HALF,
    ),
    "timm/inception_v4.tf_in1k": Published(
        "inception_v4",
        "https://huggingface.co/timm/inception_v4.tf_in1k/resolve/main/model.safetensors",
        "",
        299,
        HALF,
        HALF,
    ),
    "timm/inception_resnet_v2.tf_in1k": Published(
        "inception_resnet_v2",
        "https://huggingface.co/timm/inception_resnet_v2.tf_in1k/resolve/main/model.safetensors",
        "",
        299,
        HALF,
        HALF,
    ),
}


def best(net: str) -> str | None:
    """The name of the published weights of a net of the catalogue, timm or torchvision: of several the most accurate.

    Raises:
        MissingExtraError: a net of a package that is not installed.
        ArgumentError: a net that the package does not have.
    """
    if catalog.is_library(net):
        return libraries.pictures(net).weights or None
    rows = [name for name, row in PUBLISHED.items() if row.net == net]
    return max(rows, key=lambda name: PUBLISHED[name].top1 or 0, default=None)


def described(name: str) -> str:
    """Weights by name with what is published of them."""
    row = PUBLISHED.get(name)
    about = f"{row.top1:.1f} % of ImageNet" if row and row.top1 else ""
    if row is None and catalog.is_library(name):
        about = libraries.pictures(name).about
    return f"{name} ({about}, as published)" if about else name


def known(name: str) -> bool:
    """Whether a word names published weights: of the table, or of a package whose nets open by name."""
    return name in PUBLISHED or catalog.is_library(name)


def levels(name: str) -> tuple[tuple[int, int], tuple[float, ...], tuple[float, ...]]:
    """The size that published weights expect of their pictures, and mean and deviation of values 0..1.

    Raises:
        ArgumentError: no such name.
    """
    if name in PUBLISHED:
        row = PUBLISHED[name]
        return (row.crop, row.crop), row.mean, row.std
    each = libraries.pictures(name)
    return each.size, each.mean, each.std


def found(weights: str | Path, table: Mapping[str, Published] = PUBLISHED) -> Path:
    """The file that a path or a published name means; a name is fetched if it is not here yet.

    Raises:
        ArgumentError: neither a file nor a name.
        MissingExtraError: weights of a package that is not installed.
        DataError: it cannot be fetched, or is not what was published.
    """
    path = Path(weights)
    if path.exists():
        return path
    name = str(weights)
    address, sha256 = _place(name, table)
    file = f"{name.replace('/', '-')}{Path(address).suffix}"
    checksum = f"sha256:{sha256}" if sha256 else ""
    return fetch(address, store().folder / "weights" / file, checksum)


def _place(name: str, table: Mapping[str, Published]) -> tuple[str, str]:
    """Address and checksum of published weights."""
    if name in table:
        return table[name].address, table[name].sha256
    net, dot, _ = name.partition(".")
    if catalog.is_library(name) and not any(key.startswith(f"{net}.") for key in table):
        each = libraries.pictures(name)
        if each.address:
            return each.address, each.sha256
        if not dot:
            raise ArgumentError(f"weights={name}: it has none that are published as safetensors")
    raise ArgumentError(
        f"weights={name}: no such file, and no published name; {nearest(name, table)}"
    )
