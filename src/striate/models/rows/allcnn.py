"""The all convolutional net."""

from striate.models.facts import Entry, Published, Small, drop_rate, rows

ROWS = rows(
    Entry(
        name="allcnn_cifar",
        file="allcnn",
        family="allcnn",
        year=2014,
        paper="Springenberg et al. 2014, arXiv 1412.6806",
        input=(3, 32, 32),
        classes=10,
        bounded=True,
        strides=(1, 2, 4),
        params=1_369_738,
        macs=270_798_336,
        published=Published("Springenberg et al. 2014, table 3 (about)", params=1_400_000),
        options=drop_rate(0.5),
        note="All-CNN-C: no pooling",
        small=Small(size=16, width=0.25),
    ),
)
