"""How fast pictures of what is inside a net are made, beside the bare work behind them: ratios of medians of turns.

That is the net's forward pass, of neighbours the matrix product, of a page of maps the painting of its pixels.

Times are of the processor, so that other programs disturb less; give one thread, OMP_NUM_THREADS=1.

python benchmarks/see.py [CASE ...]     A case is a function of `CASES`: it gives two callables and how many inputs each
takes through the net; the ratio is the second's time an input over the first's. More cases may be added.
"""

import statistics
import sys
import time

import numpy as np
import torch
from PIL import Image

from striate.models import catalog
from striate.see import paint, saliency
from striate.see.attribution import activation_maps, layers, perturbation
from striate.see.attribution.subject import MIB, Subject
from striate.see.pictures.maps import Maps, Stage
from striate.see.pictures.neighbours import nearest

TURNS = 7
MEMORY = 1024


def net_and_items(name="resnet18", items=8, side=224, channels=3):
    net = catalog.build(name, generator=torch.Generator().manual_seed(0)).eval()
    return net, torch.randn(items, channels, side, side, generator=torch.Generator().manual_seed(1))


def bare(net, x):
    def run():
        with torch.no_grad():
            net(x)

    return run


def grad_cam(name="resnet18"):
    """Grad-CAM of 8 pictures beside one forward pass of them; at most 3."""
    net, x = net_and_items(name)
    layer = layers.last(net, x[:1], "grad-cam")

    def run():
        activation_maps.weighed_maps(Subject(net, x, MEMORY * MIB), layer, activation_maps.grad_cam)

    return bare(net, x), run, (1, 1)


def grad_cam_of_one():
    """The same of a single picture."""
    net, x = net_and_items(items=1)
    layer = layers.last(net, x, "grad-cam")

    def run():
        activation_maps.weighed_maps(Subject(net, x, MEMORY * MIB), layer, activation_maps.grad_cam)

    return bare(net, x), run, (1, 1)


def grad_cam_command():
    """The whole `saliency(net, 8 pictures)`: with the search for the layer and what its cells read."""
    net, x = net_and_items()
    return bare(net, x), lambda: saliency(net, x, memory=MEMORY), (1, 1)


def perturbed(run, batch, count, net, x):
    """A method of `count` changed inputs beside bare batches as large as its own."""
    many = x[:1].expand(batch, *x.shape[1:]).contiguous()
    return bare(net, many), run, (batch, count)


def rise(name="resnet18", side=224, channels=3, samples=64):
    """RISE beside the bare forward pass in equal batches: time a mask; at most 1/0.9 = 1.11."""
    net, x = net_and_items(name, 1, side, channels)
    asked = Subject(net, x, MEMORY * MIB)
    asked.settle()
    batch = next(iter(asked.batches(samples, graph=False))).stop

    def run():
        perturbation.rise(asked, samples, torch.Generator().manual_seed(0))

    return perturbed(run, batch, samples, net, x)


def occlusion(name="resnet18", side=224, channels=3, window=56):
    """Occlusion likewise: time a window; at most 1.11."""
    net, x = net_and_items(name, 1, side, channels)
    asked = Subject(net, x, MEMORY * MIB)
    asked.settle()
    step = (window // 2, window // 2)
    count = len(perturbation.windows(asked.space, (window, window), step))
    batch = next(iter(asked.batches(count, graph=False))).stop

    def run():
        perturbation.occlusion(asked, (window, window), step)

    return perturbed(run, batch, count, net, x)


def rise_small():
    """RISE on a small net, where masks cost as much as answers."""
    return rise("resnet20_cifar", 32, 3, 512)


def neighbours(asked=100, known=50_000, features=2048):
    """The six nearest of 50,000 items to each of 100, beside the bare product of their features; at most 1.4."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n, features)).astype(np.float32) for n in (asked, known))
    left, right = torch.from_numpy(a), torch.from_numpy(b)
    return lambda: left @ right.T, lambda: nearest(a, b, 6), (1, 1)


def maps_page(count=2048, side=7):
    """A page of 2,048 maps of a layer, beside the bare colouring and writing of as many pixels; at most 2."""
    values = np.random.default_rng(0).random((1, count, side, side), dtype=np.float32)
    made = Maps(
        np.zeros((1, 3, 224, 224), np.float32), (Stage("layer4", "Sequential", count, values),)
    )
    size = 64 // side

    def bare_pixels():
        colours = paint.sequential(values[0].reshape(-1, 32 * side), 1.0)
        paint.data_uri(Image.fromarray(colours.repeat(size, 0).repeat(size, 1)))

    return bare_pixels, made.as_html, (1, 1)


CASES = {
    "grad-cam": grad_cam,
    "grad-cam of one": grad_cam_of_one,
    "grad-cam, whole command": grad_cam_command,
    "rise": rise,
    "occlusion": occlusion,
    "rise, small net": rise_small,
    "neighbours": neighbours,
    "page of maps": maps_page,
}


def seconds(run):
    start = time.process_time()
    run()
    return time.process_time() - start


def main(names):
    for name in names or CASES:
        first, second, (few, many) = CASES[name]()
        first(), second()
        turns = [(seconds(first) / few, seconds(second) / many) for _ in range(TURNS)]
        ratio = statistics.median(b for _, b in turns) / statistics.median(a for a, _ in turns)
        spread = sorted(b / a for a, b in turns)
        print(
            f"{name}: {ratio:.2f} of the bare work ({spread[0]:.2f} to {spread[-1]:.2f}, {TURNS} turns)",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
