"""The Inception nets after GoogLeNet, and Xception."""

from striate.models.facts import Entry, Flag, Published, Small, drop_rate, rows

ROWS = rows(
    Entry(
        name="inception_v3",
        file="inception_v3",
        family="inception",
        year=2015,
        paper="Szegedy et al. 2015, arXiv 1512.00567",
        input=(3, 299, 299),
        classes=1000,
        params=23_834_568,
        params_train=27_161_264,
        macs=5_713_216_096,
        published=Published(
            "torchvision 0.29 model metadata", params=23_834_568, macs=5_713_000_000
        ),
        options={"auxiliary": Flag(True), **drop_rate(0.5)},
        note="large kernels as rows of small ones",
        small=Small(size=96, width=0.125),
    ),
)
