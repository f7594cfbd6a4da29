"""Recipes by name: what each sets differently from the default, and where that comes from. Flat data.

None names a net: a recipe trains any. What a source does and this package does not is said in `departs`.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Named:
    """A recipe with its source; `departs` says what of the source is missing or different here.

    goes_on: it makes sense only with weights that have learnt already.
    """

    source: str
    settings: dict[str, Any]
    departs: str = ""
    goes_on: bool = False


NAMED: dict[str, Named] = {
    "quick": Named(
        "ours: what measured best on MNIST and CIFAR-10 per second of CPU; "
        "one-cycle rate of Smith and Topin 2017, arXiv 1708.07120",
        {},
    ),
    "lecture": Named(
        "gradient descent as it is taught: a mini-batch, momentum, L2 on the weights, "
        "the rate x0.999 after every epoch",
        {
            "optimizer": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "schedule": "exponential",
            "gamma": 0.999,
            "augment": "none",
        },
    ),
    "lenet1998": Named(
        "LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition, "
        "section III.B: 20 passes, one picture a step, rates 0.0005 for two passes, 0.0002 for three, "
        "0.0001 for three, 0.00005 for four, then 0.00001",
        {
            "epochs": 20,
            "batch": 1,
            "optimizer": "sgd",
            "lr": 0.0005,
            "momentum": 0.0,
            "weight_decay": 0.0,
            "schedule": "step",
            "milestones": (0.1, 0.25, 0.4, 0.6),
            "gamma": (0.4, 0.5, 0.5, 0.2),
            "augment": "none",
        },
        "there each weight's rate was divided by an estimate of its curvature plus 0.02, so that it could be "
        "50 times larger; here it is not, so more passes or a larger lr= may be needed",
    ),
    "alexnet2012": Named(
        "Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional neural "
        "networks, section 5: batch 128, momentum 0.9, decay 0.0005, rate 0.01 divided by 10 when the "
        "validation error stopped improving, about 90 passes; crops of 224 in 256 with flips, "
        "colour along the principal components, section 4.1",
        {
            "epochs": 90,
            "batch": 128,
            "optimizer": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "decay_all": True,
            "schedule": "plateau",
            "gamma": 0.1,
            "plateau": 5,
            "augment": "crop+flip+pca",
        },
        "the rate was lowered by hand, here after 5 epochs without a smaller held-out loss",
    ),
    "resnet2015": Named(
        "He, Zhang, Ren, Sun 2015, arXiv 1512.03385, section 4.2: batch 128, momentum 0.9, decay 0.0001, "
        "rate 0.1 divided by 10 at 32k and 48k of 64k steps (182 passes over 45k pictures), crops and flips",
        {
            "epochs": 182,
            "batch": 128,
            "optimizer": "sgd",
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "decay_all": True,
            "schedule": "step",
            "milestones": (0.5, 0.75),
            "gamma": 0.1,
            "augment": "crop+flip",
        },
        "the last epoch is not augmented; crops leave an eighth around instead of 4 black pixels",
    ),
    "strong": Named(
        "He, Zhang, Zhang, Zhang, Xie, Li 2019, Bag of tricks, arXiv 1812.01187, sections 3.1 and 5: rate 0.1 "
        "at batch 256, 5 epochs of warm-up, cosine, smoothing 0.1, no decay on biases and normalisation, section "
        "5.4: mix-up of 0.2 and 200 epochs for it; running average of the weights as in Szegedy et al. 2016, arXiv 1512.00567, section 8",
        {
            "epochs": 200,
            "batch": 256,
            "optimizer": "sgd",
            "nesterov": True,
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "schedule": "cosine",
            "warmup": 5 / 200,
            "smoothing": 0.1,
            "ema": 0.999,
            "augment": "auto+mixup:0.2",
        },
        "no distillation; views are those that suit the data; the last epoch is neither augmented nor mixed",
    ),
    "finetune": Named(
        "after Howard and Ruder 2018, arXiv 1801.06146, sections 3.2 and 3.3: the head first, then all, smaller "
        "rates for earlier layers; the numbers are ours. Give it weights=",
        {
            "optimizer": "adamw",
            "lr": 1e-3,
            "schedule": "cosine",
            "warmup": 0.1,
            "head_epochs": 1,
            "lr_decay": 0.7,
        },
        goes_on=True,
    ),
}
