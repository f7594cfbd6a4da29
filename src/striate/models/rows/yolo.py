"""Detectors of one look: every cell of a grid tells boxes and classes."""

from striate.models.facts import Choice, Counts, Entry, Flag, Net, Published, Small, drop_rate, rows

PAPER = "Redmon et al. 2016, arXiv 1506.02640"
BOXES = {"boxes": Counts((2,))}

ROWS = rows(
    Entry(
        name="yolo_v1",
        file="yolo",
        family="yolo",
        year=2016,
        paper=PAPER,
        input=(3, 448, 448),
        classes=20,
        strides=(2, 4, 8, 16, 32, 64),
        params=271_703_550,
        macs=20_285_153_280,
        published=Published("derived: fig. 3, with biases and two boxes a cell"),
        tasks=("detect",),
        options={**BOXES, "batch_norm": Flag(False), **drop_rate(0.5)},
        note="24 convolutions, 2 linear layers, 7x7 cells",
        small=Small(size=64, width=0.0625),
    ),
    Entry(
        name="yolo_v1_tiny",
        file="yolo",
        family="yolo",
        year=2016,
        paper=PAPER,
        input=(3, 448, 448),
        classes=20,
        strides=(1, 2, 4, 8, 16, 32, 64),
        params=45_089_374,
        macs=2_418_728_960,
        published=Published("derived: the nine convolutions and three linear layers of Fast YOLO"),
        tasks=("detect",),
        options={**BOXES, "batch_norm": Flag(False), **drop_rate(0.5)},
        note="Fast YOLO: 9 convolutions; a cell for every 64 pixels",
        small=Small(size=(64, 128), width=0.125),
    ),
    Entry(
        name="yolo_grid",
        file="yolo_grid",
        family="yolo",
        year=2016,
        paper=PAPER,
        input=(3, 448, 448),
        classes=20,
        params=13_552_222,
        macs=7_719_677_952,
        published=Published(
            "derived: resnet18 without its linear layer, and a head of two convolutions"
        ),
        tasks=("detect",),
        options={
            "backbone": Net("resnet18", strides=(16, 32)),
            "stride": Choice(("32", "16")),
            **BOXES,
            **drop_rate(),
        },
        note="fully convolutional on any backbone",
        small=Small(size=64, width=0.25),
    ),
)
