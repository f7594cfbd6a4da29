"""The neocognitron."""

from striate.models.facts import Entry, Published, rows

ROWS = rows(
    Entry(
        name="neocognitron",
        file="neocognitron",
        family="neocognitron",
        year=1980,
        paper="Fukushima 1980, doi 10.1007/BF00344251",
        tasks=("unsupervised",),
        input=(1, 16, 16),
        classes=24,
        params=29_472,
        macs=1_261_696,
        published=Published(
            "derived: 24 planes a layer; 25, 600 and 600 numbers a kernel and one inhibition",
            params=29_472,
            macs=1_261_696,
        ),
        note="learns by fit, without labels; its classes are the planes of the last layer",
    ),
)
