"""U-Nets: a path down, a path up, and copies across."""

from striate.models.facts import Entry, Flag, Net, Published, Small, drop_rate, rows

PAPER = "Ronneberger, Fischer and Brox 2015, arXiv 1505.04597"
BACKBONE = {"backbone": Net("own", others=("own",))}

ROWS = rows(
    Entry(
        name="unet",
        file="unet",
        family="unet",
        year=2015,
        paper=PAPER,
        input=(1, 572, 572),
        classes=2,
        params=31_030_658,
        macs=150_428_424_448,
        published=Published(
            "agreed by independent reimplementations; the paper prints no total", params=31_030_658
        ),
        tasks=("segment",),
        options={**BACKBONE, **drop_rate(0.5)},
        note="valid 3x3, 572 in and 388 out",
        small=Small(size=188, width=0.0625),
    ),
    Entry(
        name="unet_same",
        file="unet",
        family="unet",
        year=2015,
        paper=PAPER,
        input=(1, 512, 512),
        classes=2,
        params=31_030_658,
        macs=192_384_335_872,
        published=Published("derived: the layers of unet, padded", params=31_030_658),
        tasks=("segment",),
        options={**BACKBONE, "batch_norm": Flag(False), **drop_rate(0.5)},
        note="padded 3x3: any size, as large out as in",
        small=Small(size=50, width=0.125),
    ),
)
