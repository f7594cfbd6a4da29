"""The Inception nets after GoogLeNet, and Xception."""

from striate.models.facts import Entry, Flag, Published, Small, drop_rate, rows

ROWS = rows(
    Entry(
        name="inception_v2",
        file="inception_v2",
        family="inception",
        year=2015,
        paper="Ioffe and Szegedy 2015, arXiv 1502.03167",
        input=(3, 224, 224),
        classes=1000,
        params=11_295_240,
        macs=2_032_600_064,
        published=Published("BN-Inception, imgclsmob table", params=11_295_240, macs=2_048_000_000),
        options=drop_rate(),
        note="BN-Inception: GoogLeNet with batch normalisation",
        small=Small(size=64, width=0.25),
    ),
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
    Entry(
        name="inception_v4",
        file="inception_v4",
        family="inception",
        year=2016,
        paper="Szegedy et al. 2016, arXiv 1602.07261",
        input=(3, 299, 299),
        classes=1000,
        params=42_679_816,
        macs=12_253_974_624,
        published=Published(
            "imgclsmob table (exact count); MACs from timm", params=42_679_816, macs=12_280_000_000
        ),
        options=drop_rate(0.2),
        note="one plan for the whole net",
        small=Small(size=96, width=0.125),
    ),
    Entry(
        name="inception_resnet_v2",
        file="inception_resnet_v2",
        family="inception",
        year=2016,
        paper="Szegedy et al. 2016, arXiv 1602.07261",
        input=(3, 299, 299),
        classes=1000,
        params=55_843_464,
        macs=13_155_794_016,
        published=Published(
            "imgclsmob table (exact count); MACs from timm", params=55_843_464, macs=13_180_000_000
        ),
        options=drop_rate(0.2),
        note="residual blocks of scaled branches",
        small=Small(size=96, width=0.125),
    ),
    Entry(
        name="xception",
        file="xception",
        family="xception",
        year=2016,
        paper="Chollet 2016, arXiv 1610.02357",
        input=(3, 299, 299),
        classes=1000,
        params=22_855_952,
        macs=8_357_403_496,
        published=Published(
            "Chollet 2017 (arXiv 1610.02357) Table 3; MACs from timm",
            params=22_855_952,
            macs=8_400_000_000,
        ),
        options=drop_rate(0.5),
        note="separable convolutions",
        small=Small(size=64, width=0.125),
    ),
)
