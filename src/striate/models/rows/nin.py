"""Network in network for CIFAR-10 and ImageNet, and its batch-normalised maxout form."""

from striate.models.facts import Entry, Published, Small, drop_rate, rows

ROWS = rows(
    Entry(
        name="nin_cifar10",
        file="nin",
        family="nin",
        year=2013,
        paper="Lin, Chen and Yan 2013, arXiv 1312.4400",
        input=(3, 32, 32),
        classes=10,
        bounded=True,
        strides=(1, 2, 4),
        params=966_986,
        macs=222_486_528,
        published=Published("imgclsmob table (exact count)", params=966_986),
        options=drop_rate(0.5),
        note="three blocks",
        small=Small(size=16, width=0.25),
    ),
    Entry(
        name="nin_imagenet",
        file="nin",
        family="nin",
        year=2013,
        paper="Lin, Chen and Yan 2013, arXiv 1312.4400",
        input=(3, 224, 224),
        classes=1000,
        bounded=True,
        strides=(4, 8, 16, 32),
        params=7_595_176,
        macs=1_100_188_800,
        published=Published(
            "derived: the layers of the authors' Caffe file, whose weights have 29 MB",
            params=7_595_176,
            macs=1_100_188_800,
        ),
        options=drop_rate(0.5),
        note="four blocks",
        small=Small(size=64, width=0.25),
    ),
    Entry(
        name="bn_nin",
        file="nin",
        family="nin",
        year=2015,
        paper="Chang and Chen 2015, arXiv 1511.02583",
        input=(3, 32, 32),
        classes=10,
        strides=(1, 2, 4),
        params=1_614_294,
        macs=496_656_384,
        published=Published(
            "derived: the layers of the authors' code", params=1_614_294, macs=496_656_384
        ),
        options=drop_rate(0.5),
        note="batch normalisation and maxout",
        small=Small(size=16, width=0.25),
    ),
)
