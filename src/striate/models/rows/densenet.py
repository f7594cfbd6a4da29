"""Densely connected networks, for ImageNet and for CIFAR-10."""

from striate.models.facts import Entry, Flag, Published, Small, drop_rate, rows

PAPER = "Huang et al. 2017, arXiv 1608.06993"
OPTIONS = {"recompute": Flag(False), **drop_rate()}


def _imagenet(name: str, params: int, macs: int, published: Published, note: str) -> Entry:
    return Entry(
        name=name,
        file="densenet",
        family="densenet",
        year=2017,
        paper=PAPER,
        input=(3, 224, 224),
        classes=1000,
        strides=(4, 8, 16, 32),
        params=params,
        macs=macs,
        published=published,
        options=OPTIONS,
        note=note,
        small=Small(size=64, width=0.25),
    )


def _known(name: str, params: int, macs: int, gmacs: float, note: str = "k=32") -> Entry:
    source = "torchvision 0.29 model metadata"
    published = Published(source, params=params, macs=round(gmacs * 10**9))
    return _imagenet(name, params, macs, published, note)


def _cifar(name: str, params: int, macs: int, printed: int, note: str) -> Entry:
    return Entry(
        name=name,
        file="densenet",
        family="densenet",
        year=2017,
        paper=PAPER,
        input=(3, 32, 32),
        classes=10,
        strides=(1, 2, 4),
        params=params,
        macs=macs,
        published=Published("Huang et al. 2017, table 2 (rounded)", params=printed),
        options=OPTIONS,
        note=note,
        small=Small(size=16, width=0.67),
    )


ROWS = rows(
    _cifar(
        "densenet40_cifar",
        1_019_722,
        264_812_928,
        1_000_000,
        "k=12, without bottleneck or compression",
    ),
    _cifar(
        "densenet100bc_cifar", 769_162, 287_929_692, 800_000, "k=12, bottleneck and compression"
    ),
    _known("densenet121", 7_978_856, 2_834_161_664, 2.834),
    _known("densenet161", 28_681_000, 7_727_907_072, 7.728, "k=48"),
    _known("densenet169", 14_149_480, 3_359_843_328, 3.36),
    _known("densenet201", 20_013_928, 4_291_365_888, 4.291),
    _imagenet(
        "densenet264",
        33_337_704,
        5_751_653_376,
        Published("derived: table 1 with k=32", params=33_337_704, macs=5_751_653_376),
        "k=32",
    ),
)
