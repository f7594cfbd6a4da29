"""Several labels a picture: which of three digits stand on it; a table with labels in a cell, apart by semicolons."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import striate


def write(root: Path, count: int = 400) -> None:
    """Write labels.csv and pictures of 16 x 24 with none to three of the digits 0, 1 and 4."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    digits, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    lines = ["path,labels"]
    for i in range(count):
        picture = np.zeros((16, 24), np.uint8)
        shown = [digit for digit in (0, 1, 4) if rng.random() < 0.5]
        for place, digit in zip(rng.permutation(3), shown, strict=False):
            one = digits[rng.choice(np.flatnonzero(labels == digit))].reshape(8, 8)
            top = rng.integers(9)
            picture[top : top + 8, 8 * place : 8 * place + 8] = one * 255 / 16
        Image.fromarray(picture).save(root / "images" / f"{i:03d}.png")
        lines.append(f"images/{i:03d}.png,{';'.join(map(str, shown)) or ';'}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")


def main() -> float:
    write(Path("several"))
    run = striate.train("several/", net="resnet20_cifar", width=0.5, epochs=8, augment="none")
    print(run)
    return run.evaluate().scores["average_precision"].value


if __name__ == "__main__":
    main()
