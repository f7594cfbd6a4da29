"""Weights that others publish, by name: where they are, what they are worth, what they expect to be fed.

Nothing is fetched unless a name is asked for. Addresses and preprocessing are those of torchvision 0.29 and
timm 1.0; the ImageNet weights come without the pictures' licence: ImageNet itself is for research alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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


def _torch(
    net: str,
    file: str,
    *,
    resize: int = 256,
    crop: int = 224,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    classes: tuple[str, int] = ("imagenet1k", 1000),
) -> Published:
    """A file of torchvision; its name ends with the first eight digits of its SHA-256."""
    sha256 = file.removesuffix(".pth").rpartition("-")[2]
    return Published(
        net, TORCH + file, sha256, classes=classes, resize=resize, crop=crop, mean=mean, std=std
    )


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
        "inception_v3",
        "inception_v3_google-0cc3c7bd.pth",
        resize=342,
        crop=299,
        mean=HALF,
        std=HALF,
    ),
    "torchvision/resnet18.IMAGENET1K_V1": _torch("resnet18", "resnet18-f37072fd.pth"),
    "torchvision/resnet34.IMAGENET1K_V1": _torch("resnet34", "resnet34-b627a593.pth"),
    "torchvision/resnet50.IMAGENET1K_V1": _torch("resnet50", "resnet50-0676ba61.pth"),
    "torchvision/resnet50.IMAGENET1K_V2": _torch("resnet50", "resnet50-11ad3fa6.pth", resize=232),
    "torchvision/resnet101.IMAGENET1K_V1": _torch("resnet101", "resnet101-63fe2227.pth"),
    "torchvision/resnet101.IMAGENET1K_V2": _torch(
        "resnet101", "resnet101-cd907fc2.pth", resize=232
    ),
    "torchvision/resnet152.IMAGENET1K_V1": _torch("resnet152", "resnet152-394f9c45.pth"),
    "torchvision/resnet152.IMAGENET1K_V2": _torch(
        "resnet152", "resnet152-f82ba261.pth", resize=232
    ),
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
        "fcn_resnet50", "fcn_resnet50_coco-1167a1af.pth", resize=520, crop=0, classes=("voc", 21)
    ),
    "timm/xception.tf_in1k": Published(
        "xception",
        "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene/xception-43020ad28.pth",
        "43020ad28",
        licence="Apache-2.0",
        resize=333,
        crop=299,
        mean=HALF,
        std=HALF,
        interpolation="bicubic",
    ),
    "timm/inception_v4.tf_in1k": Published(
        "inception_v4",
        "https://huggingface.co/timm/inception_v4.tf_in1k/resolve/main/model.safetensors",
        "",
        licence="Apache-2.0",
        resize=341,
        crop=299,
        mean=HALF,
        std=HALF,
        interpolation="bicubic",
    ),
    "timm/inception_resnet_v2.tf_in1k": Published(
        "inception_resnet_v2",
        "https://huggingface.co/timm/inception_resnet_v2.tf_in1k/resolve/main/model.safetensors",
        "",
        licence="Apache-2.0",
        resize=333,
        crop=299,
        mean=HALF,
        std=HALF,
        interpolation="bicubic",
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
