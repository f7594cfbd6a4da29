"""Our attacks beside foolbox's on five small nets: accuracy under FGSM and PGD, L-inf and L2, with intervals.

    python benchmarks/attacks.py --library VENV/lib/python3.11/site-packages --json attacks.json

foolbox is no dependency: it is read from a folder of its own, `python -m venv VENV; VENV/bin/pip install torch foolbox`.
The nets are trained here on the built-in digits; both attack the same held-out pictures with the same bounds and
steps. Ours climbs the margin between the best other class and the right one, foolbox the cross-entropy, so that
accuracies may differ: `agree` says whether the paired difference of right answers has an interval with zero in it.
Lower accuracy is the stronger attack.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import striate
from striate.auditing.attacks import Attack, attacked
from striate.metrics.classify import wilson
from striate.metrics.compare import paired
from striate.probe import as_eval, frozen
from striate.result import text_table
from striate.runs import Run

NETS: dict[str, dict[str, Any]] = {
    "linear": {},
    "mlp": {},
    "lenet1": {},
    "lenet5": {},
    "resnet20_cifar": {"width": 0.25},
}
STEPS = 20
ATTACKS = (
    ("FGSM", "linf", 4.0, 1),
    ("FGSM", "linf", 16.0, 1),
    ("PGD", "linf", 4.0, STEPS),
    ("PGD", "linf", 16.0, STEPS),
    ("PGD", "l2", 100.0, STEPS),
    ("PGD", "l2", 400.0, STEPS),
)  # strengths in grey levels of 255


class Pictures(nn.Module):
    """A run's net with its preprocessing, of pictures of 0 to 255 [N, C, H, W]."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.used = run.used
        self.net = run.net

    def forward(self, x: Tensor) -> Tensor:
        pre, plan = self.used.preprocessing, self.used.plan
        ready = pre.normalise(pre.centre(x.permute(0, 2, 3, 1)))
        return self.used.net(plan.batch(ready)).float()


def held_out(run: Run, most: int) -> tuple[Tensor, Tensor]:
    """Pictures [N, C, H, W] of 0 to 255 as the net gets them, and their classes [N]."""
    data = run.open_data()
    arrays = data.arrays(data.held_out, form=run.used.preprocessing.form)
    x = torch.from_numpy(np.asarray(arrays.inputs[:most], np.float32)).permute(0, 3, 1, 2)
    labels = data.splits[data.held_out].labels[arrays.numbers[:most]]
    return x.contiguous(), torch.from_numpy(labels)


def ours(model: nn.Module, x: Tensor, y: Tensor, norm: str, strength: float, steps: int) -> Tensor:
    return attacked(model, x, y, Attack(norm, strength, steps), torch.Generator().manual_seed(0))


def theirs(
    model: nn.Module, x: Tensor, y: Tensor, norm: str, strength: float, steps: int
) -> Tensor:
    import foolbox  # pyright: ignore[reportMissingImports]

    class Unit(nn.Module):
        """The same of pictures of 0 to 1, foolbox's bounds."""

        def forward(self, unit: Tensor) -> Tensor:
            return model(unit * 255)

    known = foolbox.PyTorchModel(Unit().eval(), bounds=(0, 1), device="cpu")
    if steps == 1:
        attack = foolbox.attacks.LinfFastGradientAttack()
    else:
        kinds = {
            "linf": foolbox.attacks.LinfProjectedGradientDescentAttack,
            "l2": foolbox.attacks.L2ProjectedGradientDescentAttack,
        }
        attack = kinds[norm](rel_stepsize=2.5 / steps, steps=steps, random_start=False)
    _, found, _ = attack(known, x / 255, y, epsilons=strength / 255)
    return found * 255


def right(model: nn.Module, x: Tensor, y: Tensor) -> np.ndarray:
    with torch.no_grad():
        return (model(x).argmax(1) == y).numpy()


def rows_of(name: str, run: Run, most: int) -> list[dict[str, Any]]:
    model = Pictures(run).eval()
    x, y = held_out(run, most)
    found: list[dict[str, Any]] = []
    with as_eval(run.used.net), frozen(run.used.net), run.used.plan.uncompiled():
        clean = float(right(model, x, y).mean())
        for attack, norm, strength, steps in ATTACKS:
            both = [
                right(model, make(model, x, y, norm, strength, steps), y) for make in (ours, theirs)
            ]
            gap = paired(*(each.astype(np.float64) for each in both))
            intervals = [wilson(int(each.sum()), len(each)).as_dict() for each in both]
            inside = gap.low <= 0 <= gap.high
            found.append(
                {
                    "net": name,
                    "items": len(y),
                    "clean": clean,
                    "attack": attack,
                    "norm": norm,
                    "strength": strength,
                    "steps": steps,
                    "striate": intervals[0],
                    "foolbox": intervals[1],
                    "difference": {"value": gap.value, "low": gap.low, "high": gap.high},
                    "agree": bool(inside or gap.value == 0),
                    "not_weaker": bool(gap.low >= 0 or inside or gap.value == 0),
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", help="site-packages that hold foolbox")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--json", type=Path, help="where the figures are written")
    args = parser.parse_args()
    if args.library:
        sys.path.append(args.library)  # after what is installed, so that torch is the same
    try:
        import foolbox  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        sys.exit(f"foolbox cannot be imported ({error}): --library SITE-PACKAGES that hold it")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as out:
        for name, settings in NETS.items():
            run = striate.train(
                "digits", name, out=out, epochs=args.epochs, plan="default", **settings
            )
            rows += rows_of(name, run, args.items)
    shown = [
        [
            row["net"],
            f"{row['clean']:.3f}",
            f"{row['attack']} {row['norm']} {row['strength']:g}",
            *(
                f"{row[who]['value']:.3f} ({row[who]['low']:.3f} to {row[who]['high']:.3f})"
                for who in ("striate", "foolbox")
            ),
            f"{row['difference']['value']:+.3f}",
            "yes" if row["agree"] else "no",
        ]
        for row in rows
    ]
    names = ["net", "clean", "attack", "striate", "foolbox", "foolbox - striate", "agree"]
    print(text_table(names, shown))
    agreeing = sum(row["agree"] for row in rows)
    not_weaker = sum(row["not_weaker"] for row in rows)
    print(
        f"{agreeing} of {len(rows)} differences have zero in their interval; ours is the weaker one for certain in "
        f"{len(rows) - not_weaker}; foolbox {foolbox.__version__}, torch {torch.__version__}"
    )
    if args.json:
        args.json.write_text(json.dumps({"rows": rows, "foolbox": foolbox.__version__}, indent=1))


if __name__ == "__main__":
    main()
