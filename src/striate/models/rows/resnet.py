"""Residual networks for ImageNet."""

from striate.models.facts import Entry, Published, Small, drop_rate, rows

ROWS = rows(
    Entry(
        name="resnet18",
        file="resnet",
        family="resnet",
        year=2015,
        paper="He et al. 2015, arXiv 1512.03385",
        input=(3, 224, 224),
        classes=1000,
        params=11_689_512,
        macs=1_814_073_344,
        published=Published(
            "torchvision 0.29 model metadata", params=11_689_512, macs=1_814_000_000
        ),
        options=drop_rate(),
        note="stride in the 3x3",
        small=Small(size=64, width=0.25),
    ),
)
