"""Weights that others publish, by name: where they are, what they are worth, what they expect to be fed.

Nothing is fetched unless a name is asked for. Addresses and preprocessing are those of torchvision 0.29 and
timm 1.0; the ImageNet weights come without the pictures' licence: ImageNet itself is for research alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from striate.data.cache import store
from striate.download import fetch
from striate.errors import ArgumentError, nearest

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
        licence: of the weights, as the publisher states it.
        classes: a key of the class lists, and how many they are.
        resize: pixels that the shorter side is brought to.
        crop: side of the centre that is cut out; 0 takes all.
        mean: of each channel, of values 0..1.
        std: of each channel.
        interpolation: of the resizing.
    """

    net: str
    address: str
    sha256: str
    licence: str = "BSD-3-Clause"
    classes: tuple[str, int] = ("imagenet1k", 1000)
    resize: int = 256
    crop: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"


USUAL = Published("", "", "")


def _torch(
    file: str, net: str = "", *, version: str = "IMAGENET1K_V1", like: Published = USUAL
) -> tuple[str, Published]:
    """A file of torchvision by its name without .pth, which ends with the first eight digits of its SHA-256."""
    named, _, sha256 = file.rpartition("-")
    row = replace(like, net=net or named, address=f"{TORCH}{file}.pth", sha256=sha256)
    return f"torchvision/{row.net}.{version}", row


_later = partial(_torch, version="IMAGENET1K_V2", like=replace(USUAL, resize=232))
_timm = partial(
    Published, licence="Apache-2.0", crop=299, mean=HALF, std=HALF, interpolation="bicubic"
)
PUBLISHED: Mapping[str, Published] = {
    **dict(
        [
            _torch("alexnet-owt-7be5be79", "alexnet"),
            *map(_torch, ("vgg11-8a719046", "vgg13-19584684", "vgg16-397923af", "vgg19-dcbb9e9d")),
            *map(_torch, ("vgg11_bn-6002323d", "vgg13_bn-abd245e5")),
            *map(_torch, ("vgg16_bn-6c64b313", "vgg19_bn-c79401a0")),
            _torch("googlenet-1378be20", like=replace(USUAL, mean=HALF, std=HALF)),
            _torch(
                "inception_v3_google-0cc3c7bd",
                "inception_v3",
                like=replace(USUAL, resize=342, crop=299, mean=HALF, std=HALF),
            ),
            *map(_torch, ("resnet18-f37072fd", "resnet34-b627a593", "resnet50-0676ba61")),
            _later("resnet50-11ad3fa6"),
            _torch("resnet101-63fe2227"),
            _later("resnet101-cd907fc2"),
            _torch("resnet152-394f9c45"),
            _later("resnet152-f82ba261"),
            *map(_torch, ("densenet121-a639ec97", "densenet161-8d451a50")),
            *map(_torch, ("densenet169-b2777c0a", "densenet201-c1103571")),
            *map(_torch, ("squeezenet1_0-b66bff10", "squeezenet1_1-b8a52dc0")),
            _torch(
                "fcn_resnet50_coco-1167a1af",
                "fcn_resnet50",
                version="COCO_WITH_VOC_LABELS_V1",
                like=replace(USUAL, resize=520, crop=0, classes=("voc", 21)),
            ),
        ]
    ),
    "timm/xception.tf_in1k": _timm(
        "xception",
        "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene/xception-43020ad28.pth",
        "43020ad28",
        resize=333,
    ),
    "timm/inception_v4.tf_in1k": _timm(
        "inception_v4",
        "https://huggingface.co/timm/inception_v4.tf_in1k/resolve/main/model.safetensors",
        "",
        resize=341,
    ),
    "timm/inception_resnet_v2.tf_in1k": _timm(
        "inception_resnet_v2",
        "https://huggingface.co/timm/inception_resnet_v2.tf_in1k/resolve/main/model.safetensors",
        "",
        resize=333,
    ),
}


def found(weights: str | Path, table: Mapping[str, Published] = PUBLISHED) -> Path:
    """The file that a path or a published name means; a name is fetched if it is not here yet.

    Raises:
        ArgumentError: neither a file nor a name.
        DataError: it cannot be fetched, or is not what was published.
    """
    path = Path(weights)
    if path.exists():
        return path
    name = str(weights)
    if name not in table:
        raise ArgumentError(
            f"weights={name}: no such file, and no published name; {nearest(name, table)}"
        )
    each = table[name]
    file = f"{name.replace('/', '-')}{Path(each.address).suffix}"
    checksum = f"sha256:{each.sha256}" if each.sha256 else ""
    return fetch(each.address, store().folder / "weights" / file, checksum)
