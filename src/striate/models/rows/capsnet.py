"""The capsule network."""

from striate.models.facts import Counts, Entry, Flag, Published, Small, drop_rate, rows

ROWS = rows(
    Entry(
        name="capsnet",
        file="capsnet",
        family="capsnet",
        year=2017,
        paper="Sabour et al. 2017, arXiv 1710.09829",
        input=(1, 28, 28),
        classes=10,
        bounded=True,
        # With the decoder, as the paper counts: a trained net is asked to draw too.
        params=8_215_568,
        macs=201_793_536,
        published=Published(
            "Sabour et al. 2017 sec. 5 (rounded; 6.8M without the decoder)", params=8_200_000
        ),
        options={"routing": Counts((3,)), "decoder": Flag(True), **drop_rate()},
        note="answers are lengths of capsules; MACs without the decoder, which answering does not run",
        small=Small(width=0.0625),
    ),
)
