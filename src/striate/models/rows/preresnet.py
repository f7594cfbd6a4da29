"""Residual networks with identity mappings."""

from striate.models.facts import Entry, Published, Small, drop_rate, rows


def _row(name: str, params: int, macs: int, width: float) -> Entry:
    layers = name.removeprefix("preresnet")
    return Entry(
        name=name,
        file="preresnet",
        family="preresnet",
        year=2016,
        paper="He et al. 2016, arXiv 1603.05027",
        input=(3, 224, 224),
        classes=1000,
        strides=(4, 8, 16, 32),
        params=params,
        macs=macs,
        published=Published(
            f"derived: resnet{layers} with its normalisation before each convolution",
            params=params,
            macs=macs,
        ),
        options=drop_rate(),
        note="nothing on the sum between blocks",
        small=Small(size=64, width=width),
    )


ROWS = rows(
    _row("preresnet18", 11_687_720, 1_814_073_344, 0.25),
    _row("preresnet34", 21_795_880, 3_663_761_408, 0.25),
    _row("preresnet50", 25_549_352, 4_089_184_256, 0.125),
    _row("preresnet101", 44_541_480, 7_801_405_440, 0.125),
    _row("preresnet152", 60_185_128, 11_513_626_624, 0.125),
)
