"""A label and a box: which digit it is and where it lies; a table of boxes with one a picture."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import striate


def write(root: Path, count: int = 400) -> None:
    """Write boxes.csv and pictures of 32 x 32 with a 0 or a 1 somewhere, twice its size."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    digits, labels = load_digits(n_class=2, return_X_y=True)
    rng = np.random.default_rng(0)
    lines = ["file,xmin,ymin,xmax,ymax,label"]
    for i in range(count):
        picture = rng.integers(0, 60, (32, 32), dtype=np.uint8)
        pick, (y, x) = rng.integers(len(labels)), rng.integers(0, 17, 2)
        digit = (digits[pick].reshape(8, 8) * 255 / 16).astype(np.uint8).repeat(2, 0).repeat(2, 1)
        picture[y : y + 16, x : x + 16] = np.maximum(picture[y : y + 16, x : x + 16], digit)
        Image.fromarray(picture).save(root / "images" / f"{i:03d}.png")
        lines.append(f"images/{i:03d}.png,{x},{y},{x + 16},{y + 16},{labels[pick]}")
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")


def main() -> float:
    write(Path("one-digit"))
    run = striate.train("one-digit/", net="resnet20_cifar", width=0.5, epochs=8, augment="none")
    print(run)
    return run.evaluate().scores["iou"].value


if __name__ == "__main__":
    main()
