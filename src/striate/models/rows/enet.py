"""ENet, for segmentation in real time."""

from striate.models.facts import Entry, Published, Small, drop_rate, rows

ROWS = rows(
    Entry(
        name="enet",
        file="enet",
        family="enet",
        year=2016,
        paper="Paszke et al. 2016, arXiv 1606.02147",
        input=(3, 512, 1024),
        classes=19,
        params=366_167,
        macs=4_121_296_896,
        published=Published("Paszke et al. 2016, table 3 (rounded)", params=370_000),
        tasks=("segment",),
        options=drop_rate(0.1),
        note="early halving, dilated and asymmetric convolutions, unpooling by places",
        small=Small(size=32, width=0.25),
    ),
)
