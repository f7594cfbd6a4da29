"""Why the choice of a loss matters: one-pixel outlines of cells, learned under squared error and under IoU.

    python benchmarks/losses_outlines.py DATA/isbi_membrane

The outlines are the inner borders of the cells, 1 pixel wide. Of 30 consecutive sections the first 24 are trained on
and the last 5 are scored; one between them is left out, since neighbours are alike. The same small net, the
same batches, the same steps; only the loss differs. Share predicted is that of pixels above a half; the true share is
printed beside it. Grey is the share of pixels between 0.1 and 0.9.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from striate import losses
from striate.result import text_table

SIDE, BATCH = 96, 8


def sections(root: Path) -> tuple[Tensor, Tensor]:
    """Pictures and outlines [30, 1, 256, 256], every second pixel of each side."""
    pictures, masks = (
        np.stack([np.asarray(Image.open(root / "train" / kind / f"{i}.png")) for i in range(30)])
        for kind in ("image", "label")
    )
    x = torch.from_numpy(pictures[:, None, ::2, ::2].astype(np.float32)) / 255
    inside = torch.from_numpy(masks[:, None, ::2, ::2] > 127).float()
    eroded = -nn.functional.max_pool2d(-inside, 3, 1, 1)
    return (x - x.mean()) / x.std(), inside - eroded


def small_net(generator: torch.Generator) -> nn.Sequential:
    """Five convolutions, the middle ones dilated, so that each pixel sees 31 x 31."""
    widths, dilations = (1, 16, 16, 16, 16), (1, 2, 4, 8)
    layers: list[nn.Module] = []
    for below, above, dilation in zip(widths, widths[1:], dilations, strict=False):
        layers += [nn.Conv2d(below, above, 3, padding=dilation, dilation=dilation), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Conv2d(16, 1, 1))
    for p in net.parameters():
        if p.ndim > 1:
            nn.init.kaiming_normal_(p, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(p)
    return net


def trained(x: Tensor, y: Tensor, spelled: str, *, steps: int, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    net, loss = small_net(generator), losses.read(spelled)
    opt = torch.optim.Adam(net.parameters())
    for step in range(steps):
        opt.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        items = torch.randint(len(x), (BATCH,), generator=generator).tolist()
        tops, lefts = (
            torch.randint(x.shape[axis] - SIDE + 1, (BATCH,), generator=generator).tolist()
            for axis in (2, 3)
        )
        some, wanted = (
            torch.stack(
                [
                    part[i, :, t : t + SIDE, s : s + SIDE]
                    for i, t, s in zip(items, tops, lefts, strict=True)
                ]
            )
            for part in (x, y)
        )
        opt.zero_grad()
        loss(net(some), wanted).backward()
        opt.step()
    return net


@torch.no_grad()
def scores(net: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
    p = net(x).sigmoid()
    above = (p > 0.5).float()
    return {
        "predicted": float(above.mean()),
        "true": float(y.mean()),
        "dice": 1 - float(losses.dice(above, y, logits=False)),
        "grey": float(((p > 0.1) & (p < 0.9)).float().mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--losses", nargs="+", default=["l2(logits=true)", "iou", "dice", "bce"])
    given = parser.parse_args()
    x, y = sections(given.data)
    rows: list[list[str]] = []
    for spelled in given.losses:
        for seed in range(given.seeds):
            net = trained(x[:24], y[:24], spelled, steps=given.steps, seed=seed)
            found = scores(net, x[25:], y[25:])
            rows.append([spelled, str(seed), *(f"{value:.2%}" for value in found.values())])
    print(text_table(["loss", "seed", "predicted", "true", "Dice", "grey"], rows))


if __name__ == "__main__":
    main()
