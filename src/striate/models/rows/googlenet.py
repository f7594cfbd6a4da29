"""GoogLeNet, as printed and as distributed."""

from striate.models.facts import Entry, Flag, Published, Small, drop_rate, rows

PAPER = "Szegedy et al. 2014, arXiv 1409.4842"
SMALL = Small(size=64, width=0.25)

ROWS = rows(
    Entry(
        name="googlenet_2014",
        file="googlenet",
        family="googlenet",
        year=2014,
        paper=PAPER,
        input=(3, 224, 224),
        classes=1000,
        strides=(2, 4, 8, 16, 32),
        params=6_998_552,
        params_train=13_378_280,
        macs=1_582_671_872,
        published=Published(
            "counted from Table 1 of Szegedy et al. 2014 (biases, real 5x5, no batch norm)",
            params=6_998_552,
        ),
        options={"auxiliary": Flag(True), **drop_rate(0.4)},
        note="as printed: 5x5, response normalisation",
        small=SMALL,
    ),
    Entry(
        name="googlenet",
        file="googlenet",
        family="googlenet",
        year=2014,
        paper=PAPER,
        input=(3, 224, 224),
        classes=1000,
        strides=(2, 4, 8, 16, 32),
        params=6_624_904,
        params_train=13_004_888,
        macs=1_498_376_192,
        published=Published(
            "torchvision 0.29 model metadata", params=6_624_904, macs=1_498_000_000
        ),
        options={"auxiliary": Flag(True), **drop_rate(0.2)},
        note="as distributed: 3x3 for 5x5, batch normalisation",
        small=SMALL,
    ),
)
