"""The convolutional deep belief network."""

from striate.models.facts import Entry, Number, Published, Small, rows

ROWS = rows(
    Entry(
        name="cdbn",
        file="cdbn",
        family="cdbn",
        year=2009,
        paper="Lee et al. 2009, doi 10.1145/1553374.1553453",
        tasks=("unsupervised",),
        input=(1, 64, 64),
        classes=100,
        params=242_549,
        macs=85_020_000,
        published=Published(
            "derived: 24 and 100 kernels of 10x10, a bias a group and a channel",
            params=242_549,
            macs=85_020_000,
        ),
        options={"sparsity": Number(0.005, 1e-4, 0.2), "sigma": Number(1.0, 0.01, 100)},
        note="learns by fit, without labels; its classes are the groups of the last layer",
        small=Small(size=40, width=0.25),
    ),
)
