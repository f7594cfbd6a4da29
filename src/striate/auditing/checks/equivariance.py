"""Whether answers stay the same where what the picture shows does: moved, mirrored, turned, enlarged, lighter, greyer.

A convolution moves with its input (equivariance), a stride of s keeps that for shifts by multiples of s alone (Azulay and
Weiss 2019, JMLR 20; Zhang 2019, arXiv 1904.11486). No layer is equivariant to turning or to scale.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.auditing.antialias import blurred
from striate.auditing.check import Case, Check, changed, pictures_with_labels, seconds_of
from striate.auditing.finding import Finding
from striate.metrics import Interval
from striate.metrics.classify import share
from striate.metrics.compare import paired
from striate.probe import as_eval, watch
from striate.text import counted, percent, plain

MOST = 300
BLURRED = 150  # pictures that are shifted before and after a swap of strides
MAPPED = 16  # pictures whose maps are held against each other
SHIFTS = (1, 2, 4, 8)  # pixels
USUAL = 0.95  # agreement below which, for certain, a small change counts as a weakness
SMALL = frozenset(["shift by 1", "shift by 2", "light by 10 %", "contrast by 10 %"])


@dataclass(frozen=True)
class Change:
    """A change of pictures [N, C, H, W] of 0 to 255 that leaves what they show."""

    name: str
    of: Callable[[Tensor], Tensor]


def _moved(pixels: int) -> Callable[[Tensor], Tensor]:
    """To the right and down; the border is continued."""

    def change(x: Tensor) -> Tensor:
        padded = F.pad(x, (pixels, 0, pixels, 0), mode="replicate")
        return padded[:, :, : x.shape[2], : x.shape[3]]

    return change


def _warped(matrix: Sequence[Sequence[float]]) -> Callable[[Tensor], Tensor]:
    """By an affine map of coordinates -1 to 1; a third row makes it a perspective."""

    def change(x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        ys, xs = torch.meshgrid(
            (torch.arange(height) * 2 + 1) / height - 1,
            (torch.arange(width) * 2 + 1) / width - 1,
            indexing="ij",
        )
        points = torch.stack([xs, ys, torch.ones_like(xs)], -1) @ torch.tensor(matrix).T
        grid = points[..., :2] / (points[..., 2:] if points.shape[-1] == 3 else 1.0)
        batch = grid[None].expand(len(x), -1, -1, -1)
        return F.grid_sample(x, batch, padding_mode="border", align_corners=False)

    return change


def _turned(degrees: float) -> Callable[[Tensor], Tensor]:
    angle = np.radians(degrees)
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return _warped([[c, -s, 0.0], [s, c, 0.0]])


def _contrasted(factor: float) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        middle = x.mean((1, 2, 3), keepdim=True)
        return (middle + (x - middle) * factor).clamp(0, 255)

    return change


CHANGES = (
    *(Change(f"shift by {k}", _moved(k)) for k in SHIFTS),
    Change("mirrored", lambda x: x.flip(3)),
    Change("upside down", lambda x: x.flip(2)),
    Change("turned by 5 degrees", _turned(5)),
    Change("turned by 15 degrees", _turned(15)),
    Change("turned by 90 degrees", lambda x: torch.rot90(x, 1, (2, 3))),
    Change("enlarged by 10 %", _warped([[1 / 1.1, 0.0, 0.0], [0.0, 1 / 1.1, 0.0]])),
    Change("shrunk by 10 %", _warped([[1.1, 0.0, 0.0], [0.0, 1.1, 0.0]])),
    Change("sheared by 10 %", _warped([[1.0, 0.1, 0.0], [0.0, 1.0, 0.0]])),
    Change("in perspective", _warped([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.1, 0.1, 1.0]])),
    Change("light by 10 %", lambda x: (x * 1.1).clamp(0, 255)),
    Change("light by 30 %", lambda x: (x * 1.3).clamp(0, 255)),
    Change("contrast by 10 %", _contrasted(0.9)),
    Change("contrast by 30 %", _contrasted(0.7)),
)


PASSES = len(CHANGES) + 10  # with those of the swap of strides, of half as many pictures


def _find(case: Case) -> Iterator[Finding]:
    index = case.sample(case.affordable(PASSES, 0.15, MOST), "equivariance")
    stored = np.array(case.arrays.inputs[index])
    labels = case.labels()[index]
    plain_answers = case.outputs(stored).argmax(1).numpy()
    rows: list[dict[str, object]] = []
    worst: tuple[str, NDArray[np.bool_]] | None = None
    for each in CHANGES:
        if each.name == "turned by 90 degrees" and stored.shape[1] != stored.shape[2]:
            continue
        answers = case.outputs(changed(stored, each.of)).argmax(1).numpy()
        agree = answers == plain_answers
        found = share(agree.astype(np.float64))
        rows.append(
            {
                "change": each.name,
                "agreement": found.value,
                "low": found.low,
                "high": found.high,
                "accuracy": float((answers == labels).mean()),
            }
        )
        if each.name in SMALL and (worst is None or agree.mean() < worst[1].mean()):
            worst = each.name, agree
    rows.sort(key=lambda row: float(str(row["agreement"])))
    if worst is not None:
        found = share(worst[1].astype(np.float64))
        weak = found.high < USUAL
        yield Finding(
            "equivariance",
            plain(
                f"{percent(found.value)} of {len(index)} answers stay the same after the worst small change, {worst[0]}"
                + (" pixel" if worst[0] == "shift by 1" else "")
            ),
            found,
            limit=USUAL,
            crossed=weak,
            evidence=[*rows, *case.files(index[~worst[1]][:10])],
            advice="train with augment=translate+brightness, or with a net whose strides follow a blur"
            if weak
            else "",
            unit="share",
        )
    mapped = min(MAPPED, case.used.batch_size(case.arrays.inputs))
    yield from _layers(case, stored[case.of_all_classes(labels, mapped, "maps")])
    some = case.of_all_classes(labels, BLURRED, "blurred")
    yield from _blurred(case, stored[some], labels[some])


def _blurred(
    case: Case, stored: NDArray[np.generic], labels: NDArray[np.int64]
) -> Iterator[Finding]:
    """Shifts of 1 to 8 pixels before and after an anti-alias swap of strides, without training after it."""
    net, paths = blurred(case.used.net)
    if not paths:
        return
    nets = {"before": case.used, "after": replace(case.used, net=net)}
    plain_answers = {
        key: case.outputs(stored, used).argmax(1).numpy() for key, used in nets.items()
    }
    agree: dict[str, list[NDArray[np.bool_]]] = {key: [] for key in nets}
    rows: list[dict[str, object]] = []
    for pixels in range(1, 9):
        moved = changed(stored, _moved(pixels))
        row: dict[str, object] = {"shift": pixels}
        for key, used in nets.items():
            same = case.outputs(moved, used).argmax(1).numpy() == plain_answers[key]
            agree[key].append(same)
            row[key] = float(same.mean())
        rows.append(row)
    before, after = (np.mean(agree[key], 0) for key in ("before", "after"))
    gain = paired(before, after)
    right = {key: float((said == labels).mean()) for key, said in plain_answers.items()}
    yield Finding(
        "equivariance",
        f"with a blur before {counted(len(paths), 'stride')}, and no training after that, {percent(float(after.mean()))} of answers "
        f"stay under shifts of 1 to 8 pixels, {percent(float(before.mean()))} before; of {len(labels)} pictures "
        f"{percent(right['after'])} are right, {percent(right['before'])} before: agreement alone is no gain where that falls",
        Interval(gain.value, gain.low, gain.high),
        evidence=rows,
        unit="share",
    )


def _layers(case: Case, stored: NDArray[np.generic]) -> Iterator[Finding]:
    """How much each stage's maps move with the input: the part of a map's variance that is left when both are moved."""
    net, pre, plan = case.used.net, case.used.preprocessing, case.used.plan
    paths = [path for path, _ in net.named_modules() if path]
    seen: list[dict[str, Tensor]] = []
    for each in (stored, changed(stored, CHANGES[3].of)):  # by 8 pixels
        x = plan.batch(pre.normalise(pre.centre(torch.from_numpy(np.array(each)))).to(plan.device))
        with as_eval(net), plan.uncompiled(), torch.inference_mode(), watch(net, paths) as record:
            net(x)
        last = {p: record.activations[p][-1] for p in paths if record.activations[p]}
        seen.append({p: value.float().cpu() for p, value in last.items() if value.ndim == 4})
    size = x.shape[2:]
    rows: list[dict[str, object]] = []
    for path in seen[0]:
        before, after = seen[0][path], seen[1][path]
        step = 8 * before.shape[2] / size[0], 8 * before.shape[3] / size[1]
        if min(before.shape[2:]) < 6 or any(abs(s - round(s)) > 1e-6 or s < 1 for s in step):
            continue
        down, right = (round(s) for s in step)
        edge = max(2, min(before.shape[2:]) // 6)
        top, left = edge + down, edge + right
        height, width = before.shape[2] - edge - top, before.shape[3] - edge - left
        if min(height, width) < 1:
            continue
        inner = before[:, :, edge : edge + height, edge : edge + width]
        moved = after[:, :, top : top + height, left : left + width]
        spread = float(inner.var())
        if spread > 0:
            rows.append(
                {"layer": path, "left": float((moved - inner).square().mean()) / spread / 2}
            )
    if rows:
        worst = max(rows, key=lambda row: float(str(row["left"])))
        yield Finding(
            "equivariance",
            plain(
                f"maps move with an input that moves by 8 pixels: of {len(rows)} layers {worst['layer']} least, "
                f"{percent(float(str(worst['left'])))} of its variance is left over"
            ),
            evidence=rows,
            unit="share",
        )


CHECK = Check(
    "equivariance",
    "Do answers stay the same where what the picture shows does?",
    _find,
    lacks=pictures_with_labels,
    seconds=lambda case: seconds_of(case, PASSES, 0.15, MOST),
)
