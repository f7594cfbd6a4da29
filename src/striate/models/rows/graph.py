"""Nets that forecast series on the nodes of a graph. Input (C, steps, nodes), classes = steps ahead."""

from striate.models.facts import Choice, Counts, Entry, Published, Small, drop_rate, rows

ROWS = rows(
    Entry(
        name="stgcn",
        file="stgcn",
        family="stgcn",
        year=2018,
        paper="Yu, Yin and Zhu 2018, arXiv 1709.04875",
        input=(1, 12, 228),
        classes=9,
        params=137_865,
        macs=180_313_344,
        published=Published("derived: two blocks of 64, 16 and 64 channels, kernels of 3"),
        tasks=("forecast",),
        kind="graph",
        options=drop_rate(),
        note="graph convolution between gated convolutions over time; all steps ahead at once",
        small=Small(size=(12, 10), width=0.25),
    ),
    Entry(
        name="tgcn3d",
        file="tgcn3d",
        family="tgcn3d",
        year=2019,
        paper="Yu, Li, Zhang and Zhu 2019, arXiv 1903.00919",
        input=(1, 12, 228),
        classes=9,
        params=373_065,
        macs=473_751_168,
        published=Published("derived: four gated space-time graph convolutions of 64 channels"),
        tasks=("forecast",),
        kind="graph",
        options={
            "graph": Choice(("given", "learned")),
            "depth": Counts((4,)),
            **drop_rate(),
        },
        note="graph convolution over space and time at once, on a graph of similar series",
        small=Small(size=(12, 10), width=0.25),
    ),
)
