"""Residual networks, for ImageNet and for CIFAR-10."""

from striate.models.facts import Choice, Entry, Published, Small, drop_rate, rows

PAPER = "He et al. 2015, arXiv 1512.03385"
SHORTCUT = Choice(("projection", "padding"))


def _imagenet(name: str, params: int, macs: int, published: Published, note: str) -> Entry:
    return Entry(
        name=name,
        file="resnet",
        family="resnet",
        year=2015,
        paper=PAPER,
        input=(3, 224, 224),
        classes=1000,
        strides=(4, 8, 16, 32),
        params=params,
        macs=macs,
        published=published,
        options=drop_rate(),
        note=note,
        # Bottlenecks quadruple their width.
        small=Small(size=64, width=0.25 if name in {"resnet18", "resnet34"} else 0.125),
    )


def _later(name: str, params: int, macs: int, gmacs: float) -> Entry:
    published = Published(
        "torchvision 0.29 model metadata", params=params, macs=round(gmacs * 10**9)
    )
    return _imagenet(name, params, macs, published, "stride in the 3x3")


def _printed(name: str, params: int, macs: int, gmacs: float, source: str) -> Entry:
    published = Published(source, params=params, macs=round(gmacs * 10**9))
    return _imagenet(name, params, macs, published, "stride in the first 1x1, as printed")


def _cifar(name: str, params: int, macs: int, source: str) -> Entry:
    return Entry(
        name=name,
        file="resnet",
        family="resnet",
        year=2015,
        paper=f"{PAPER}, section 4.2",
        input=(3, 32, 32),
        classes=10,
        strides=(1, 2, 4),
        params=params,
        macs=macs,
        published=Published(source, params=params),
        options={"shortcut": SHORTCUT, **drop_rate()},
        note="shortcut=padding is the paper's option A",
        small=Small(size=16, width=0.5),
    )


_TABLE = "imgclsmob table (exact count)"

ROWS = rows(
    _later("resnet18", 11_689_512, 1_814_073_344, 1.814),
    _later("resnet34", 21_797_672, 3_663_761_408, 3.664),
    _later("resnet50", 25_557_032, 4_089_184_256, 4.089),
    _later("resnet101", 44_549_160, 7_801_405_440, 7.801),
    _later("resnet152", 60_192_808, 11_513_626_624, 11.514),
    _printed(
        "resnet50_v1",
        25_557_032,
        3_857_973_248,
        3.858,
        "stride in the first 1x1 as in He et al. 2015; the paper prints 3.8 (truncated)",
    ),
    _printed("resnet101_v1", 44_549_160, 7_570_194_432, 7.570, "the paper prints 7.6"),
    _printed("resnet152_v1", 60_192_808, 11_282_415_616, 11.282, "the paper prints 11.3"),
    _cifar("resnet20_cifar", 272_474, 40_813_184, _TABLE),
    _cifar("resnet32_cifar", 466_906, 69_124_736, "derived: 15 blocks"),
    _cifar("resnet44_cifar", 661_338, 97_436_288, "derived: 21 blocks"),
    _cifar("resnet56_cifar", 855_770, 125_747_840, _TABLE),
    _cifar("resnet110_cifar", 1_730_714, 253_149_824, _TABLE),
)
