"""A label a volume: a folder a class of arrays [D, H, W]; no real scans are shipped, so digits become tubes and cones."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import striate


def write(root: Path, count: int = 160) -> None:
    """Write tube/ (a digit in each of 16 slices) and cone/ (fainter from slice to slice), 16 x 16 x 16 in noise."""
    digits = load_digits().images / 16
    rng = np.random.default_rng(0)
    for i in range(count):
        name = ("tube", "cone")[i % 2]
        slope = np.linspace(1, 0, 16) if name == "cone" else np.full(16, 0.5)
        voxels = slope[:, None, None] * digits[i].repeat(2, 0).repeat(2, 1)
        (root / name).mkdir(parents=True, exist_ok=True)
        noisy = voxels + rng.normal(0, 0.1, voxels.shape)
        np.save(root / name / f"{i:03d}.npy", noisy.astype(np.float32))


def main() -> float:
    write(Path("scans"))
    run = striate.train("scans/", net="voxnet", width=0.5, epochs=12, augment="flip")
    print(run)
    return run.evaluate().scores["accuracy"].value


if __name__ == "__main__":
    main()
