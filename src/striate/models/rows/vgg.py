"""VGG: configurations A to E, with and without batch normalisation."""

from striate.models.facts import Entry, Published, Small, drop_rate, rows

TORCHVISION = "torchvision 0.29 model metadata"
TABLE_2 = "Simonyan and Zisserman 2014, table 2 (rounded to millions)"


def configuration(name: str, params: int, macs: int, published: Published, *, note: str) -> Entry:
    """One row: the ten differ in little else."""
    return Entry(
        name=name,
        file="vgg",
        family="vgg",
        year=2014,
        paper="Simonyan and Zisserman 2014, arXiv 1409.1556",
        input=(3, 224, 224),
        classes=1000,
        strides=(2, 4, 8, 16, 32),
        params=params,
        macs=macs,
        published=published,
        options=drop_rate(0.5),
        note=note,
        small=Small(size=32, width=1 / 16),
    )


def distributed(name: str, params: int, macs: int, *, note: str) -> Entry:
    """A row that torchvision has too, which prints multiply-adds to a million."""
    published = Published(TORCHVISION, params=params, macs=round(macs, -6))
    return configuration(name, params, macs, published, note=note)


ROWS = rows(
    distributed("vgg11", 132_863_336, 7_609_090_048, note="configuration A"),
    configuration(
        "vgg11_lrn",
        132_863_336,
        7_609_090_048,
        Published(TABLE_2, params=133_000_000),
        note="configuration A-LRN: response normalisation",
    ),
    distributed("vgg13", 133_047_848, 11_308_466_176, note="configuration B"),
    configuration(
        "vgg16_1x1",
        133_638_952,
        11_770_888_192,
        Published(TABLE_2, params=134_000_000),
        note="configuration C: three 1x1",
    ),
    distributed("vgg16", 138_357_544, 15_470_264_320, note="configuration D"),
    distributed("vgg19", 143_667_240, 19_632_062_464, note="configuration E"),
    distributed("vgg11_bn", 132_868_840, 7_609_090_048, note="A, batch normalisation"),
    distributed("vgg13_bn", 133_053_736, 11_308_466_176, note="B, batch normalisation"),
    distributed("vgg16_bn", 138_365_992, 15_470_264_320, note="D, batch normalisation"),
    distributed("vgg19_bn", 143_678_248, 19_632_062_464, note="E, batch normalisation"),
)
