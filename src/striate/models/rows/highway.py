"""Highway networks: convolutional for digits and small colour pictures, and fully connected of any depth."""

from striate.models.facts import Choice, Entry, Number, Published, Small, drop_rate, rows

PAPER = "Srivastava, Greff and Schmidhuber 2015, arXiv 1507.06228"


def _carry(bias: float) -> Number:
    return Number(bias, -20, 20)


def _conv(
    name: str, params: int, macs: int, printed: int, *, digits: bool = False, note: str
) -> Entry:
    return Entry(
        name=name,
        file="highway",
        family="highway",
        year=2015,
        paper=PAPER,
        input=(1, 28, 28) if digits else (3, 32, 32),
        classes=10,
        strides=(1, 2, 4),
        params=params,
        macs=macs,
        published=Published(
            f"Srivastava et al. 2015 Table {1 if digits else 2} (rounded)", params=printed
        ),
        options={"carry_bias": _carry(-1 if digits else -2), **drop_rate()},
        note=note,
        small=Small(size=None if digits else 16, width=0.5),
    )


ROWS = rows(
    _conv("highway_mnist_16", 38_986, 8_028_576, 39_000, digits=True, note="10 layers of 16 maps"),
    _conv(
        "highway_mnist_32", 151_690, 31_650_624, 151_000, digits=True, note="10 layers of 32 maps"
    ),
    _conv(
        "highway_cifar_11",
        236_714,
        35_832_448,
        236_000,
        note="11 layers; widths chosen to meet the total",
    ),
    _conv("highway_cifar_19", 2_256_838, 330_826_728, 2_300_000, note="19 layers"),
    _conv(
        "highway_cifar_32",
        1_255_270,
        314_491_880,
        1_250_000,
        note="32 layers; widths chosen to meet the total",
    ),
    Entry(
        name="highway_fc",
        file="highway",
        family="highway",
        year=2015,
        paper="Srivastava, Greff and Schmidhuber 2015, arXiv 1505.00387",
        input=(1, 28, 28),
        classes=10,
        params=289_660,
        macs=284_700,
        published=Published(
            "derived: 784 x 50 + 50 + 49 x 2 (50 x 50 + 50) + 50 x 10 + 10",
            params=289_660,
            macs=284_700,
        ),
        options={
            "depth": Number(50, 1, 1000, whole=True),
            "path": Choice(("highway", "plain", "residual")),
            "carry_bias": _carry(-4),
            "act": Choice(("tanh", "relu")),
            **drop_rate(),
        },
        note="any depth by depth=; path=plain or residual to compare",
    ),
)
