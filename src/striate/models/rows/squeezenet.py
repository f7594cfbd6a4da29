"""SqueezeNet 1.0 and 1.1."""

from striate.models.facts import Entry, Published, Small, drop_rate, rows


def version(name: str, params: int, macs: int, *, note: str) -> Entry:
    """One row: the two differ in little else."""
    return Entry(
        name=name,
        file="squeezenet",
        family="squeezenet",
        year=2016,
        paper="Iandola et al. 2016, arXiv 1602.07360",
        input=(3, 224, 224),
        classes=1000,
        bounded=True,
        strides=(4, 8, 16),
        params=params,
        macs=macs,
        published=Published("torchvision 0.29 model metadata", params=params, macs=round(macs, -6)),
        options=drop_rate(0.5),
        note=note,
        small=Small(size=64, width=0.25),
    )


ROWS = rows(
    version("squeezenet1_0", 1_248_424, 818_924_576, note="as in the paper"),
    version("squeezenet1_1", 1_235_496, 349_151_936, note="smaller and earlier windows"),
)
