"""Maps of `striate see saliency` beside captum's, on ten nets, where both have the method.

captum is no dependency: run this where it is installed.   python benchmarks/saliency_captum.py [NET ...]
Prints for each net and method the largest difference as a share of captum's largest value; more than 1e-4 ends with status 1.
"""

import sys
import warnings
from unittest import mock

import torch
from captum.attr import (
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    LayerGradCam,
    NoiseTunnel,
    Occlusion,
    Saliency,
)
from torch import nn

from striate.models import catalog
from striate.see.attribution import activation_maps, gradients, layers, methods, perturbation
from striate.see.attribution.subject import MIB, Subject

NETS = {
    "lenet5": (1, 28, 28),
    "resnet20_cifar": (3, 32, 32),
    "resnet32_cifar": (3, 32, 32),
    "allcnn_cifar": (3, 32, 32),
    "nin_cifar10": (3, 32, 32),
    "densenet40_cifar": (3, 32, 32),
    "highway_cifar_11": (3, 32, 32),
    "squeezenet1_1": (3, 96, 96),
    "resnet18": (3, 96, 96),
    "googlenet": (3, 96, 96),
}
LIMIT = 1e-4
STEPS, SAMPLES = 8, 4


def subject(net, x):
    return Subject(net, x, 512 * MIB)


def noises(x):
    """The same noise for both: drawn item by item as ours, in captum's order."""
    generator = torch.Generator().manual_seed(methods.SEED)
    drawn = [
        [torch.randn(x.shape[1:], generator=generator).to(x) for _ in range(SAMPLES)] for _ in x
    ]
    return torch.stack([noise for item in drawn for noise in item])


def captum_smooth(net, x, target):
    """NoiseTunnel with our noise, one deviation an item, item after item."""
    parts = []
    for i, noise in enumerate(noises(x).split(SAMPLES)):
        spread = float(gradients.NOISE * (x[i].max() - x[i].min()))
        with mock.patch("torch.normal", lambda mean, std, noise=noise: mean + std * noise):
            tunnel = NoiseTunnel(Saliency(net))
            parts.append(
                tunnel.attribute(
                    x[i : i + 1],
                    target=target[i : i + 1],
                    nt_samples=SAMPLES,
                    stdevs=spread,
                    abs=False,
                )
            )
    return torch.cat(parts)


def pairs(net, x):
    """For each method ours and captum's."""
    asked = subject(net, x)
    ours = gradients.gradient(asked)
    target = torch.tensor([int(words.split()[-1]) for words in asked.words])
    yield "gradient", ours, Saliency(net).attribute(x, target=target, abs=False)
    yield (
        "gradient-x-input",
        gradients.gradient_x_input(subject(net, x)),
        InputXGradient(net).attribute(x, target=target),
    )
    theirs = IntegratedGradients(net).attribute(
        x, target=target, n_steps=STEPS, method="gausslegendre"
    )
    yield "integrated", gradients.integrated(subject(net, x), STEPS), theirs
    generator = torch.Generator().manual_seed(methods.SEED)
    yield (
        "smoothgrad",
        gradients.smooth(subject(net, x), SAMPLES, generator),
        captum_smooth(net, x, target),
    )
    if all(type(m) is not nn.ReLU or not m.inplace for m in net.modules()) and uses_modules(net):
        yield (
            "guided",
            gradients.guided(subject(net, x))[0],
            GuidedBackprop(net).attribute(x, target=target),
        )
    side = x.shape[2] // 4
    step = -(-side // 2)
    theirs = Occlusion(net).attribute(
        x,
        target=target,
        sliding_window_shapes=(x.shape[1], side, side),
        strides=(x.shape[1], step, step),
    )
    yield (
        "occlusion",
        perturbation.occlusion(subject(net, x), (side, side), (step, step)),
        theirs[:, 0],
    )
    path = layers.last(net, x[:1], "grad-cam")
    theirs = LayerGradCam(net, net.get_submodule(path)).attribute(
        x, target=target, relu_attributions=True
    )
    theirs = theirs[-1] if isinstance(theirs, tuple) else theirs
    yield (
        "grad-cam",
        activation_maps.weighed_maps(subject(net, x), path, activation_maps.grad_cam),
        theirs[:, 0],
    )


def uses_modules(net):
    """Whether every rectifier is a module that runs once, which is what captum's hooks see."""
    rectifiers = {m for m in net.modules() if type(m) is nn.ReLU}
    runs = []
    handles = [m.register_forward_hook(lambda m, *_: runs.append(m)) for m in rectifiers]
    asked = Subject(net, torch.zeros(1, *net.shape).double(), 512 * MIB)
    with gradients.Guided() as mode:
        gradients.gradient(asked)
    for handle in handles:
        handle.remove()
    return len(runs) == len(rectifiers) == mode.met


def plain(net):
    """No rectifier in place: captum's guided backpropagation does not take one."""
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return net


def main(names):
    warnings.simplefilter("ignore")  # captum speaks of its hooks
    worst = 0.0
    for name in names or NETS:
        net = plain(catalog.build(name, generator=torch.Generator().manual_seed(0)))
        net = net.eval().double()  # so that no rectifier is at another side of zero by rounding
        net.shape = NETS[name]
        x = torch.randn(2, *NETS[name], generator=torch.Generator().manual_seed(1)).double()
        said = []
        for method, ours, theirs in pairs(net, x):
            top = float(theirs.abs().max())
            off = float((ours.detach() - theirs.detach()).abs().max()) / (top or 1.0)
            worst = max(worst, off)
            said.append(f"{method} {off:.1e}")
        print(f"{name}: {', '.join(said)}", flush=True)
    print(f"largest difference {worst:.1e} of the largest value")
    return worst > LIMIT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
