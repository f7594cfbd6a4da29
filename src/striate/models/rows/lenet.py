"""LeNet in today's form."""

from striate.models.facts import Choice, Entry, Published, drop_rate, rows
from striate.models.rows.linear import ACT

ROWS = rows(
    Entry(
        name="lenet5",
        file="lenet",
        family="lenet",
        year=1998,
        paper="LeCun et al. 1998, doi 10.1109/5.726791",
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
