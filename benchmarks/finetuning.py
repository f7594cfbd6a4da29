"""Weights that others trained, against none: fine-tuning, ten minutes from scratch, and a logistic regression on frozen features.

    python benchmarks/finetuning.py DATA/clothing --net MODULE:TRAINED --blank MODULE:UNTRAINED --out FOLDER [--seeds 5] [--only ARM]

Both nets are yours: a factory of the trained net, whose `pretrained_cfg` says how it wants its pictures, and one of the same net
without its training. The arms are `finetune` (the recipe of that name, eight epochs, a few minutes of one core), `scratch` (the default recipe,
ten minutes) and `regression` (scikit-learn on what the last layer of the trained net reads, pictures scaled by Pillow, the
strength chosen on the validation pictures, C of 0.1 and 1). Scores are of the test pictures, which choose nothing; differences are paired by picture,
as means over seeds, with 95 % intervals. A run that is there already is not trained again, so that arms can be trained apart.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import striate
from striate.metrics import paired
from striate.models.backbone import last_layer
from striate.runs import Run
from striate.workbench import nets

SETTINGS = {
    "finetune": {"recipe": "finetune", "weights": "own", "epochs": "8"},
    "scratch": {"budget": "10m"},
}


def trained(given: argparse.Namespace, arm: str, seed: int) -> Run:
    """The run of an arm and a seed."""
    folder = given.out / "classify" / f"{arm}-{seed}"
    net = given.net if arm == "finetune" else given.blank
    if not (folder / "summary.json").exists():
        recipe = SETTINGS[arm] | dict(word.split("=", 1) for word in given.settings)
        begun = time.process_time()
        striate.train(given.data, net, out=given.out, name=folder.name, seed=seed, **recipe)
        print(f"{folder.name}: {time.process_time() - begun:.0f} s of processor time", flush=True)
    return Run.load(folder, net=nets.own(net))


def right(run: Run) -> np.ndarray:
    """1 for each test picture that the run answers rightly, else 0, in the order of the data."""
    held = run.held(run.open_data(), "test")
    return np.array([row["accuracy"] for row in held.rows], float)


@torch.no_grad()
def features(net: nn.Module, data: striate.Data, split: str) -> np.ndarray:
    """[N, D] of what the last layer reads, of pictures whose middle square is scaled to the net's size by Pillow."""
    says = net.pretrained_cfg
    side = says["input_size"][-1]
    held: list[torch.Tensor] = []
    last = net.eval().get_submodule(last_layer(net))
    last.register_forward_pre_hook(lambda _module, given: held.append(given[0]))
    level, spread = (np.float32(says[key]) for key in ("mean", "std"))
    for name in data.splits[split].names:
        picture = Image.open(Path(data.path) / name).convert("RGB")
        edge = min(picture.size)
        left, top = ((n - edge) // 2 for n in picture.size)
        cut = picture.crop((left, top, left + edge, top + edge)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        pixels = (np.asarray(cut, np.float32) / 255 - level) / spread
        net(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    return torch.cat(held).numpy()


def regression(given: argparse.Namespace) -> np.ndarray:
    """1 for each test picture that a logistic regression on frozen features answers rightly."""
    data = striate.open(given.data)
    net = nets.own(given.net)
    x = {split: features(net, data, split) for split in ("train", "val", "test")}
    y = {split: data.splits[split].targets.codes for split in x}
    fits = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000)).fit(
            x["train"], y["train"]
        )
        for c in (0.1, 1)
    ]
    best = max(fits, key=lambda fit: fit.score(x["val"], y["val"]))
    return (best.predict(x["test"]) == y["test"]).astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--net", required=True)
    parser.add_argument("--blank", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=list(SETTINGS))
    parser.add_argument("settings", nargs="*", help="key=value of all trainings")
    given = parser.parse_intermixed_args()
    arms = {
        arm: np.array([right(trained(given, arm, seed)) for seed in range(given.seeds)])
        for arm in SETTINGS
        if given.only in (None, arm)
    }
    for arm, table in arms.items():
        print(
            arm,
            "by seed",
            ", ".join(f"{row.mean():.1%}" for row in table),
            f"mean {table.mean():.1%}",
        )
    if given.only:
        return
    arms["regression"] = regression(given)[None]
    print(f"regression {arms['regression'].mean():.1%}")
    for other in ("scratch", "regression"):
        gain = paired(arms[other].mean(0), arms["finetune"].mean(0))
        print(f"finetune over {other}: {gain.value:+.1%} ({gain.low:+.1%} to {gain.high:+.1%})")


if __name__ == "__main__":
    main()
