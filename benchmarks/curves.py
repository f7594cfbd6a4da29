"""Four curves of the course, each with three seeds: what ReLU, batch normalisation and shortcuts are for.

    python benchmarks/curves.py [--data mnist] [--colour cifar10] [--only 1 2 3 4] [--out docs/curves.svg]

1. Four convolutions on CIFAR-10 with ReLU and with tanh, each at the best of three rates: steps to a training
   error of 25 % (Krizhevsky, Sutskever and Hinton 2012, fig. 1).
2. VGG-11 with and without batch normalisation at five rates, from He's first weights and from ones ten times
   smaller: training accuracy after the same steps.
3. Gradient of each hidden layer of a 50-layer net at its first step: plain, highway, residual.
4. Those three nets in training, all with tanh at one rate (after Srivastava et al. 2015, arXiv 1505.00387): loss by step.

What is measured is kept beside the picture (.json), so that --only measures one again and redraws all.
"""

import argparse
import html
import json
import math
import statistics
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import striate
from striate.models import init
from striate.models.catalog import build

SEEDS, RATES, QUARTER = (0, 1, 2), (0.01, 0.03, 0.1), 0.25
COLOURS = ("#2b6cb0", "#c2561a", "#2f855a", "#805ad5")


def batches(x, y, seed, steps, size=64):
    """`steps` batches drawn without replacement within a pass."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.cat(
        [torch.randperm(len(x), generator=generator) for _ in range(-(-steps * size // len(x)))]
    )
    for step in range(steps):
        index = order[step * size : (step + 1) * size]
        yield x[index], y[index]


def losses(net, x, y, *, lr, seed, steps):
    """Training loss by step under SGD with momentum 0.9, smoothed over ten steps; infinite once it is no number."""
    optimiser = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    found = []
    for pictures, labels in batches(x, y, seed, steps):
        loss = F.cross_entropy(net.train()(pictures), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        value = float(loss.detach())
        found.append(value if math.isfinite(value) else math.inf)
        if not math.isfinite(value):
            return found + [math.inf] * (steps - len(found))
    return [statistics.mean(found[max(0, i - 9) : i + 1]) for i in range(steps)]


def generator(seed):
    """Of first weights."""
    return torch.Generator().manual_seed(seed)


def four_layers(act, generator):
    """Four convolutions with maxima between them, weights He's for ReLU and LeCun's for tanh."""
    net = nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2), act(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(32, 32, 3, padding=1), act(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(32, 64, 3, padding=1), act(), nn.Conv2d(64, 64, 3, padding=1), act(),
        nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten(), nn.Linear(64 * 16, 10),
    )  # fmt: skip
    (init.he_inputs if act is nn.ReLU else init.lecun)(net, generator)
    return net.to(memory_format=torch.channels_last).train()


def errors(act, x, y, *, lr, seed, epochs, size=128):
    """Share of wrong answers in training over the last pass of pictures, by step; stops at a quarter.

    SGD with momentum 0.9, no augmentation, bfloat16.
    """
    net = four_layers(act, generator(seed))
    optimiser = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    wrong, means, window = [], [], len(x) // size
    for pictures, labels in batches(x, y, seed, epochs * window, size):
        with torch.autocast("cpu", torch.bfloat16):
            answers = net(pictures)
            loss = F.cross_entropy(answers, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        wrong.append(float((answers.detach().argmax(1) != labels).float().mean()))
        means.append(statistics.mean(wrong[-window:]) if len(wrong) >= window else 1.0)
        if means[-1] < QUARTER:
            break
    return means


def activations(x, y, epochs=30):
    """Training error by step, ReLU and tanh, at the best of three rates (of the first seed): Krizhevsky's fig. 1."""
    curves, rows = {}, []
    for act in (nn.ReLU, nn.Tanh):
        first = {lr: errors(act, x, y, lr=lr, seed=SEEDS[0], epochs=epochs) for lr in RATES}
        best = min(RATES, key=lambda lr: reached(first[lr], QUARTER))
        runs = [first[best]] + [
            errors(act, x, y, lr=best, seed=s, epochs=epochs) for s in SEEDS[1:]
        ]
        curves[f"{act.__name__}, rate {best}"] = runs
        rows.append(
            f"{act.__name__}: steps to 25 % at {RATES}: {[reached(first[lr], QUARTER) for lr in RATES]}; "
            f"at {best}, three seeds: {[reached(run, QUARTER) for run in runs]}"
        )
        print(rows[-1], flush=True)
    longest = max(len(run) for runs in curves.values() for run in runs)
    return {
        name: [run + [run[-1]] * (longest - len(run)) for run in runs]
        for name, runs in curves.items()
    }


def reached(curve, bound):
    """The first step at which a curve is under a bound; one past the end if never."""
    return next((i + 1 for i, value in enumerate(curve) if value < bound), len(curve) + 1)


def normalisation(x, y, steps=60):
    """Training loss after the same steps at five rates and two spreads of first weights."""
    curves, rows = {}, []
    x = F.pad(x, (2, 2, 2, 2))
    for name in ("vgg11", "vgg11_bn"):
        for spread in (1.0, 0.1):
            ends = []
            for lr in (0.003, 0.01, 0.03, 0.1, 0.3):
                runs = []
                for seed in SEEDS:
                    net = build(
                        name, in_channels=1, num_classes=10, size=32, width=0.125, drop_rate=0.0,
                        generator=generator(seed),
                    )  # fmt: skip
                    with torch.no_grad():
                        for parameter in net.parameters():
                            if parameter.ndim == 4:
                                parameter.mul_(spread)
                    curve = losses(net, x, y, lr=lr, seed=seed, steps=steps)
                    runs.append(min(curve[-1], 5.0))
                ends.append(runs)
                rows.append((name, spread, lr, *(round(run, 2) for run in runs)))
            curves[f"{name}, He x {spread:g}"] = [[e[s] for e in ends] for s in range(len(SEEDS))]
    return curves, rows


def gradients(x, y, depth=50):
    """Norm of the gradient of every hidden layer's weights at the first step."""
    curves = {}
    for path in ("plain", "highway", "residual"):
        runs = []
        for seed in SEEDS:
            net = build("highway_fc", depth=depth, path=path, generator=generator(seed))
            F.cross_entropy(net(x[:256]), y[:256]).backward()
            norms = [
                float(p.grad.norm()) for name, p in net.named_parameters()
                if p.ndim == 2 and p.shape[0] == p.shape[1] and "gate" not in name
            ]  # fmt: skip
            runs.append([math.log10(max(norm, 1e-30)) for norm in norms])
        curves[path] = runs
    return curves


def deep(path, act, seed, depth=50):
    """A net of 50 layers with He's first weights, as in the highway paper: 50 units with gates, 71 without."""
    net = build("highway_fc", depth=depth, path=path, act=act, generator=generator(seed))
    carry = net.layers[0].gate.bias.detach().clone() if path == "highway" else None
    (init.he_inputs if act == "relu" else init.lecun)(net, generator(seed))
    with torch.no_grad():
        for layer in net.layers:
            if path == "highway":
                layer.gate.bias.copy_(carry)
            if path == "residual":
                layer.transform.weight.div_(math.sqrt(depth - 1))
    return net


def depths(x, y, steps=1000):
    """Training loss of fifty layers by path at one rate for all; at a smaller one, which plain layers need, printed."""
    curves = {}
    for path in ("plain", "highway", "residual"):
        small, shared = (
            [losses(deep(path, "tanh", s), x, y, lr=lr, seed=s, steps=steps) for s in SEEDS]
            for lr in (0.003, 0.01)
        )
        ends = [[round(run[-1], 3) for run in runs] for runs in (small, shared)]
        print(
            f"{path}: loss after {steps} steps at rate 0.003 {ends[0]}, at 0.01 {ends[1]}",
            flush=True,
        )
        curves[path] = shared
    return curves


def panel(title, note, curves, left, top, *, low=None, high=None, names=None):
    """One chart: the median of the seeds as a line, from the lowest to the highest as a band."""
    values = [v for runs in curves.values() for run in runs for v in run if math.isfinite(v)]
    low, high = min(values) if low is None else low, max(values) if high is None else high
    width, height = 330, 190
    parts = [f'<text class="t" x="{left}" y="{top - 26}">{html.escape(title)}</text>']
    parts.append(f'<text class="s" x="{left}" y="{top - 11}">{html.escape(note)}</text>')
    parts.append(f'<path class="x" d="M{left} {top}v{height}h{width}"/>')
    for share in (0, 0.5, 1):
        y = top + height * (1 - share)
        parts.append(
            f'<text class="s" x="{left - 5}" y="{y + 4:.0f}" text-anchor="end">{low + share * (high - low):.3g}</text>'
        )
    for i, (name, runs) in enumerate(curves.items()):
        count = len(runs[0])
        xs = [left + width * k / max(1, count - 1) for k in range(count)]

        def at(value):
            return top + height * (1 - (min(max(value, low), high) - low) / (high - low))

        columns = [sorted(run[k] for run in runs) for k in range(count)]
        band = [f"{x:.1f},{at(c[0]):.1f}" for x, c in zip(xs, columns, strict=True)]
        band += [f"{x:.1f},{at(c[-1]):.1f}" for x, c in zip(xs[::-1], columns[::-1], strict=True)]
        line = " ".join(f"{x:.1f},{at(c[1]):.1f}" for x, c in zip(xs, columns, strict=True))
        parts.append(f'<polygon points="{" ".join(band)}" fill="{COLOURS[i]}" opacity=".18"/>')
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{COLOURS[i]}" stroke-width="1.8"/>'
        )
        x, y = left + 165 * (i % 2), top + height + 28 + 14 * (i // 2)  # below, where no line is
        parts.append(f'<rect x="{x}" y="{y - 5}" width="10" height="3" fill="{COLOURS[i]}"/>')
        parts.append(f'<text class="s" x="{x + 15}" y="{y}">{html.escape(name)}</text>')
    for k, name in enumerate(names or ()):
        x = left + width * k / max(1, len(names) - 1)
        parts.append(
            f'<text class="s" x="{x:.0f}" y="{top + height + 14}" text-anchor="middle">{name}</text>'
        )
    return "".join(parts)


STYLE = (
    "text{font:11px system-ui,sans-serif;fill:var(--i)}.t{font-weight:600;font-size:13px}.s{font-size:10px;fill:var(--s)}"
    ".x{fill:none;stroke:var(--s)}svg{--i:#1b2430;--s:#5a6573}"
    "@media(prefers-color-scheme:dark){svg{--i:#e8edf3;--s:#a3afbd}}"
)


PANELS = {
    "1": ("Activations", "four convolutions on CIFAR-10: training error by step", (0, 1)),
    "2": (
        "Batch normalisation, rates and first weights",
        "VGG-11 / 8: loss after 60 steps by rate",
        (0, 2.6),
    ),
    "3": (
        "Gradients by layer",
        "50 layers at the first step: log10 of the gradient's norm by layer",
        (None, None),
    ),
    "4": ("Fifty layers", "dense, tanh, rate 0.01 for all: loss by step of 1,000", (0, 2.6)),
}


def measured(number, given):
    """The curves of one panel; figures are printed."""
    if number == "1":
        arrays = striate.open(given.colour).arrays("train", size=(32, 32), color="rgb")
        x = torch.from_numpy(arrays.inputs[:5000]).permute(0, 3, 1, 2).float()
        return activations((x - 120) / 64, torch.from_numpy(arrays.targets[:5000]))
    arrays = striate.open(given.data).arrays("train", size=(28, 28), color="grey")
    x = (torch.from_numpy(arrays.inputs[:20_000, ..., 0])[:, None].float() - 33) / 79
    y = torch.from_numpy(arrays.targets[:20_000])
    if number == "2":
        curves, rows = normalisation(x, y)
        print("net, spread of first weights, rate, loss after 60 steps:", *rows, sep="\n")
    elif number == "3":
        curves = gradients(x, y)
        for path, runs in curves.items():
            ratio = statistics.median(run[0] - run[-1] for run in runs)
            print(f"{path}: first / last layer's gradient 10^{ratio:.1f}")
    else:
        curves = depths(x, y)
    return curves


def main():
    """Measure, print the figures, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--colour", default="cifar10")
    parser.add_argument("--only", nargs="+", choices=list(PANELS), default=list(PANELS))
    parser.add_argument("--out", type=Path, default=Path("docs/curves.svg"))
    given = parser.parse_args()
    kept = given.out.with_suffix(".json")
    found = json.loads(kept.read_text()) if kept.exists() else {}
    for number in given.only:
        found[number] = measured(number, given)
        kept.write_text(json.dumps(found))
    body = ""
    for number, (title, note, (low, high)) in PANELS.items():
        if number in found:
            left, top = 60 + 410 * (number in "24"), 60 + 280 * (number in "34")
            names = (0.003, 0.01, 0.03, 0.1, 0.3) if number == "2" else None
            body += panel(title, note, found[number], left, top, low=low, high=high, names=names)
    given.out.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 600" width="840"><style>{STYLE}</style>{body}</svg>\n'
    )


if __name__ == "__main__":
    main()
