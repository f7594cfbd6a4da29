"""AlexNet, its batch-normalised form, its single tower, and the net of Zeiler and Fergus."""

from striate.models.facts import Choice, Entry, Flag, Published, Small, drop_rate, rows

HEAD = Choice(("fc", "linear", "gap"))
DROP = {"dropout": Flag(True), **drop_rate(0.5)}
SMALL = Small(size=80, width=0.125)

ROWS = rows(
    Entry(
        name="alexnet_2012",
        file="alexnet",
        family="alexnet",
        year=2012,
        paper="Krizhevsky, Sutskever and Hinton 2012, doi 10.1145/3065386",
        input=(3, 227, 227),
        classes=1000,
        strides=(8, 16, 32),
        params=60_965_224,
        macs=724_406_816,
        published=Published(
            "derived: the kernel list of Krizhevsky et al. 2012 in two groups; the paper says 60 million",
            params=60_965_224,
            macs=724_406_816,
        ),
        options={
            "lrn": Flag(True),
            "overlap": Flag(True),
            "groups": Flag(True),
            "head": HEAD,
            **DROP,
        },
        note="two columns, response normalisation",
        small=SMALL,
    ),
    Entry(
        name="zfnet",
        file="alexnet",
        family="alexnet",
        year=2013,
        paper="Zeiler and Fergus 2013, arXiv 1311.2901",
        input=(3, 224, 224),
        classes=1000,
        strides=(4, 16, 32),
        params=62_357_608,
        macs=1_168_032_896,
        published=Published("imgclsmob table (exact count)", params=62_357_608),
        options={"lrn": Flag(True), "overlap": Flag(True), "head": HEAD, **DROP},
        note="7x7 first, stride 2; no columns",
        small=SMALL,
    ),
    Entry(
        name="alexnet",
        file="alexnet",
        family="alexnet",
        year=2014,
        paper="Krizhevsky 2014, arXiv 1404.5997",
        input=(3, 224, 224),
        classes=1000,
        strides=(8, 16, 32),
        params=61_100_840,
        macs=714_188_480,
        published=Published("torchvision 0.29 model metadata", params=61_100_840, macs=714_000_000),
        options={"overlap": Flag(True), "head": HEAD, **DROP},
        note="single tower, no response normalisation",
        small=SMALL,
    ),
    Entry(
        name="bn_alexnet",
        file="alexnet",
        family="alexnet",
        year=2016,
        paper="Simon, Rodner and Denzler 2016, arXiv 1612.01452",
        input=(3, 227, 227),
        classes=1000,
        strides=(8, 16, 32),
        params=60_965_230,
        macs=724_406_816,
        published=Published(
            "derived: alexnet_2012 and a scale and a shift of each of three input channels",
            params=60_965_230,
            macs=724_406_816,
        ),
        options={"overlap": Flag(True), "groups": Flag(True), "head": HEAD, **drop_rate()},
        note="two columns, batch normalisation",
        small=SMALL,
    ),
)
