"""The time-delay network."""

from striate.models.facts import Choice, Entry, Published, drop_rate, rows

ROWS = rows(
    Entry(
        name="tdnn",
        file="tdnn",
        family="tdnn",
        year=1989,
        paper="Waibel et al. 1989, doi 10.1109/29.21701",
        input=(16, 15),
        classes=3,
        bounded=True,
        params=515,
        macs=6_072,
        published=Published(
            "derived: 16 x 3 x 8 + 8 + 8 x 5 x 3 + 3; 13 x 8 x 48 + 9 x 3 x 40 multiply-adds",
            params=515,
            macs=6_072,
        ),
        options={"evidence": Choice(("squares", "sum")), **drop_rate()},
        note="16 coefficients x 15 frames; evidence summed over time",
    ),
)
