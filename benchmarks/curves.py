"""Four curves of the course, each with three seeds: what ReLU, batch normalisation and shortcuts are for.

    python benchmarks/curves.py [--data mnist] [--out docs/curves.svg]

1. LeNet-5 with ReLU and with tanh, each at the best of its rates: training loss by step.
2. VGG-11 with and without batch normalisation at five rates, from He's first weights and from ones ten times
   smaller: training accuracy after the same steps.
3. Gradient of each hidden layer of a 50-layer net at its first step: plain, highway, residual.
4. Those three nets in training: loss by step.
"""

import argparse
import html
import math
import statistics
from pathlib import Path

import torch
from torch.nn import functional as F

import striate
from striate.models.catalog import build

SEEDS = (0, 1, 2)
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


def activations(x, y, steps=400):
    """Steps until the training loss is under a bound, for ReLU and tanh, best of three rates each."""
    curves, rows = {}, []
    for act in ("relu", "tanh", "sigmoid"):
        tried = {
            lr: [
                losses(
                    build("lenet5", act=act, generator=generator(seed)),
                    x,
                    y,
                    lr=lr,
                    seed=seed,
                    steps=steps,
                )
                for seed in SEEDS
            ]
            for lr in (0.01, 0.03, 0.1)
        }
        best = min(tried, key=lambda lr: statistics.median(reached(c, 0.25) for c in tried[lr]))
        curves[f"{act}, rate {best}"] = tried[best]
        rows.append(
            (act, best, *(reached(curve, bound) for bound in (0.5, 0.25) for curve in tried[best]))
        )
    return curves, rows


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


def depths(x, y, steps=300, depth=50):
    """Training loss of fifty layers: plain, highway, residual."""
    return {
        path: [
            losses(
                build("highway_fc", depth=depth, path=path, generator=generator(seed)),
                x, y, lr=0.01, seed=seed, steps=steps,
            )
            for seed in SEEDS
        ]
        for path in ("plain", "highway", "residual")
    }  # fmt: skip


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
        parts.append(
            f'<rect x="{left + 170}" y="{top + 6 + 15 * i}" width="10" height="3" fill="{COLOURS[i]}"/>'
        )
        parts.append(
            f'<text class="s" x="{left + 185}" y="{top + 11 + 15 * i}">{html.escape(name)}</text>'
        )
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


def main():
    """Measure, print the figures, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--out", type=Path, default=Path("docs/curves.svg"))
    given = parser.parse_args()
    arrays = striate.open(given.data).arrays("train", size=(28, 28), color="grey")
    x = (torch.from_numpy(arrays.images[:20_000, ..., 0])[:, None].float() - 33) / 79
    y = torch.from_numpy(arrays.labels[:20_000])
    acts, rows = activations(x, y)
    print("activation, rate, steps to a loss of 0.5 (three seeds) and of 0.25:", *rows, sep="\n")
    norms, rows = normalisation(x, y)
    print("net, spread of first weights, rate, loss after 60 steps (three seeds):", *rows, sep="\n")
    slopes, trained = gradients(x, y), depths(x, y)
    for path in slopes:
        ratio = [run[0] - run[-1] for run in slopes[path]]
        print(f"{path}: first / last layer's gradient 10^{statistics.median(ratio):.1f};", end=" ")
        print("loss after 300 steps", *(f"{run[-1]:.2f}" for run in trained[path]))
    body = panel(
        "Activations",
        "LeNet-5 on MNIST, each at its best rate: loss by step of 400",
        acts,
        60,
        60,
        low=0,
        high=2.4,
    )
    body += panel(
        "Batch normalisation, rates and first weights",
        "VGG-11 / 8: loss after 60 steps by rate",
        norms,
        470,
        60,
        low=0,
        high=2.6,
        names=(0.003, 0.01, 0.03, 0.1, 0.3),
    )
    body += panel(
        "Gradients by layer",
        "50 layers at the first step: log10 of the gradient's norm by layer",
        slopes,
        60,
        340,
    )
    body += panel(
        "Fifty layers",
        "dense, tanh, rate 0.01: loss by step of 300",
        trained,
        470,
        340,
        low=0,
        high=2.6,
    )
    given.out.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 560" width="840"><style>{STYLE}</style>{body}</svg>\n'
    )


if __name__ == "__main__":
    main()
