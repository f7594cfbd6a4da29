"""The fully convolutional network for series."""

from striate.models.facts import Entry, Published, Small, drop_rate, rows

ROWS = rows(
    Entry(
        name="fcn1d",
        file="fcn1d",
        family="fcn1d",
        year=2017,
        paper="Wang, Yan and Oates 2017, arXiv 1611.06455",
        input=(1, 128),
        classes=2,
        params=264_450,
        macs=33_685_760,
        published=Published(
            "derived: kernels of 8, 5 and 3 over 128, 256 and 128 channels, batch normalisation, a linear layer"
        ),
        options=drop_rate(),
        note="three convolutions over time and their mean; series of any length",
        small=Small(size=32, width=0.125),
    ),
)
