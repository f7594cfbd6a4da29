"""U-Nets: a path down, a path up, and copies across."""

from striate.models.facts import Entry, Flag, Net, Published, Small, drop_rate, rows

PAPER = "Ronneberger, Fischer and Brox 2015, arXiv 1505.04597"
PAPER_3D = "Cicek, Abdulkadir, Lienkamp, Brox and Ronneberger 2016, arXiv 1606.06650"
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
    Entry(
        name="unet3d",
        file="unet3d",
        family="unet",
        year=2016,
        paper=PAPER_3D,
        input=(3, 116, 132, 132),
        classes=3,
        params=19_072_291,
        macs=266_731_018_496,
        published=Published(
            "Cicek et al. 2016, section 2 (a bias for each channel in place of normalisation)",
            params=19_069_955,
        ),
        tasks=("segment",),
        options={"batch_norm": Flag(True), **drop_rate()},
        note="volumes; valid 3x3x3, 132 x 132 x 116 in and 44 x 44 x 28 out",
        small=Small(size=92, width=0.03125),
    ),
    Entry(
        name="unet3d_same",
        file="unet3d",
        family="unet",
        year=2016,
        paper=PAPER_3D,
        input=(1, 64, 64, 64),
        classes=2,
        params=19_070_498,
        macs=244_234_321_920,
        published=Published("derived: the layers of unet3d, padded"),
        tasks=("segment",),
        options={"batch_norm": Flag(True), **drop_rate()},
        note="volumes; padded 3x3x3: any size, as large out as in",
        small=Small(size=12, width=0.0625),
    ),
)
