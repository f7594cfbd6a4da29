"""LeNet as it was, and in today's form."""

from striate.models.facts import Choice, Entry, Number, Published, drop_rate, rows
from striate.models.rows.linear import ACT

PAPER = "LeCun et al. 1998, doi 10.1109/5.726791"

ROWS = rows(
    Entry(
        name="lenet1",
        file="lenet_1998",
        family="lenet",
        year=1990,
        paper="LeCun et al. 1990, Handwritten digit recognition with a back-propagation network, NIPS 2",
        input=(1, 28, 28),
        classes=10,
        params=2_578,
        macs=139_392,
        published=Published("LeCun et al. 1990 (2,600 in LeCun et al. 1998)", params=2_578),
        options=drop_rate(),
        note="98,442 connections; MACs of C3 as the dense layer it is computed as",
    ),
    Entry(
        name="lenet4",
        file="lenet_1998",
        family="lenet",
        year=1995,
        paper=PAPER,
        input=(1, 32, 32),
        classes=10,
        params=16_998,
        macs=455_472,
        published=Published("LeCun et al. 1998 (about)", params=17_000),
        options=drop_rate(),
        note="about 260,000 connections; tables of C3 and C5 of our own that give these totals",
    ),
    Entry(
        name="lenet5_1998",
        file="lenet_1998",
        family="lenet",
        year=1998,
        paper=PAPER,
        input=(1, 32, 32),
        classes=10,
        bounded=True,
        params=60_000,
        macs=422_824,
        published=Published("LeCun et al. 1998", params=60_000),
        options={"j": Number(1.0, low=0), **drop_rate()},
        note="the paper's: 340,908 connections, RBF outputs and their loss, its constant by j=",
    ),
    Entry(
        name="lenet5",
        file="lenet",
        family="lenet",
        year=1998,
        paper=PAPER,
        input=(1, 28, 28),
        classes=10,
        params=61_706,
        macs=416_520,
        published=Published(
            "derived: 6 and 16 maps of 5x5, then 120, 84 and 10", params=61_706, macs=416_520
        ),
        options={"act": ACT, "pool": Choice(("max", "avg")), **drop_rate()},
        note="today's form; act=sigmoid pool=avg is the lectures'",
    ),
)
