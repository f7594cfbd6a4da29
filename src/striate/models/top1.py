"""What the best published weights of a net score: percent of ImageNet's 50,000 validation pictures, one crop, as the publisher measured.

Of torchvision 0.29; `striate.weights.PUBLISHED` has the figure of every file of weights, which a test holds these to.
"""

TOP1 = {
    "alexnet": 56.522,
    "vgg11": 69.02,
    "vgg13": 69.928,
    "vgg16": 71.592,
    "vgg19": 72.376,
    "vgg11_bn": 70.37,
    "vgg13_bn": 71.586,
    "vgg16_bn": 73.36,
    "vgg19_bn": 74.218,
    "googlenet": 69.778,
    "inception_v3": 77.294,
    "resnet18": 69.758,
    "resnet34": 73.314,
    "resnet50": 80.858,
    "resnet101": 81.886,
    "resnet152": 82.284,
    "densenet121": 74.434,
    "densenet161": 77.138,
    "densenet169": 75.6,
    "densenet201": 76.896,
    "squeezenet1_0": 58.092,
    "squeezenet1_1": 58.178,
}
