"""Linear classifier and multilayer perceptron."""

from striate.models.facts import Choice, Counts, Entry, Published, drop_rate, rows

ACT = Choice(("relu", "sigmoid", "tanh"))

ROWS = rows(
    Entry(
        name="linear",
        file="linear",
        family="linear",
        year=1936,
        paper="Fisher 1936, doi 10.1111/j.1469-1809.1936.tb02137.x",
        input=(1, 28, 28),
        classes=10,
        params=7_850,
        macs=7_840,
        published=Published("derived: 784 x 10 + 10", params=7_850, macs=7_840),
        options=drop_rate(),
        note="one weight a pixel and class",
    ),
    Entry(
        name="mlp",
        file="linear",
        family="linear",
        year=1986,
        paper="Rumelhart, Hinton and Williams 1986, doi 10.1038/323533a0",
        input=(1, 28, 28),
        classes=10,
        params=101_770,
        macs=101_632,
        published=Published(
            "derived: 784 x 128 + 128 + 128 x 10 + 10", params=101_770, macs=101_632
        ),
        options={"hidden": Counts((128,)), "act": ACT, **drop_rate()},
        note="hidden layers by hidden=",
    ),
)
