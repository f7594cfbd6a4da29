"""Fully convolutional networks."""

from striate.models.facts import Entry, Flag, Net, Published, Small, drop_rate, rows

PAPER = "Long, Shelhamer and Darrell 2015, arXiv 1411.4038"
DERIVED = Published("derived: fcn32s, the scores of finer maps and the learnt upsampling")
AT_ONCE = {"at_once": Flag(False), **drop_rate(0.5)}

ROWS = rows(
    Entry(
        name="fcn32s",
        file="fcn",
        family="fcn",
        year=2015,
        paper=PAPER,
        input=(3, 500, 500),
        classes=21,
        params=134_346_581,
        macs=180_925_453_056,
        published=Published("table 1 (rounded)", params=134_000_000),
        tasks=("segment",),
        options=drop_rate(0.5),
        note="on VGG-16; one upsampling by 32",
        small=Small(size=40, width=0.0625),
    ),
    Entry(
        name="fcn16s",
        file="fcn",
        family="fcn",
        year=2015,
        paper=PAPER,
        input=(3, 500, 500),
        classes=21,
        params=134_364_410,
        macs=180_950_913_792,
        published=DERIVED,
        tasks=("segment",),
        options=AT_ONCE,
        note="on VGG-16; scores of pool4 added",
        small=Small(size=40, width=0.0625),
    ),
    Entry(
        name="fcn8s",
        file="fcn",
        family="fcn",
        year=2015,
        paper=PAPER,
        input=(3, 500, 500),
        classes=21,
        params=134_376_863,
        macs=181_002_186_048,
        published=DERIVED,
        tasks=("segment",),
        options=AT_ONCE,
        note="on VGG-16; scores of pool4 and pool3 added",
        small=Small(size=40, width=0.0625),
    ),
    Entry(
        name="fcn_resnet50",
        file="fcn_resnet",
        family="fcn",
        year=2015,
        paper=PAPER,
        input=(3, 520, 520),
        classes=21,
        params=32_957_013,
        params_train=35_322_218,
        macs=142_725_772_800,
        published=Published(
            "torchvision 0.29 model metadata", params=32_957_013, macs=152_717_000_000
        ),
        tasks=("segment",),
        options={"auxiliary": Flag(True), **drop_rate(0.1)},
        note="dilated, stride 8; published figures count the auxiliary head",
        small=Small(size=48, width=0.125),
    ),
    Entry(
        name="fcn",
        file="fcn_backbone",
        family="fcn",
        year=2015,
        paper=PAPER,
        input=(3, 512, 512),
        classes=21,
        params=14_741_631,
        macs=80_214_097_920,
        published=Published(
            "derived: the convolutions of vgg16, and a score of each map of strides 8, 16 and 32"
        ),
        tasks=("segment",),
        options={"backbone": Net("vgg16"), **drop_rate(0.5)},
        note="any backbone by backbone=; scores of its three coarsest maps added",
        small=Small(size=40, width=0.0625),
    ),
)
