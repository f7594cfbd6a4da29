"""Nets that read volumes and name them."""

from striate.models.facts import Entry, Published, Small, drop_rate, rows

ROWS = rows(
    Entry(
        name="voxnet",
        file="voxnet",
        family="voxnet",
        year=2015,
        paper="Maturana and Scherer 2015, doi 10.1109/IROS.2015.7353481",
        input=(1, 32, 32, 32),
        classes=40,
        params=921_736,
        macs=59_641_600,
        published=Published("Maturana and Scherer 2015, section III", params=921_736),
        options=drop_rate(0.4),
        note="occupancy grids of 32 x 32 x 32 voxels",
        small=Small(size=12, width=0.25),
    ),
)
