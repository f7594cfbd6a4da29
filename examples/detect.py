"""Boxes with labels: every 0 and every 1 on a picture; text files of YOLO beside the pictures."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import striate


def write(root: Path, count: int = 400) -> None:
    """Write images/ and labels/ (a line a box: class, middle, width and height as shares), classes.txt."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True, exist_ok=True)
    digits, labels = load_digits(n_class=2, return_X_y=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        picture, lines = rng.integers(0, 60, (64, 64), dtype=np.uint8), list[str]()
        for left in (0, 32):  # at most one in each half
            pick, y, x = rng.integers(len(labels)), rng.integers(0, 41), left + rng.integers(0, 9)
            if rng.random() < 0.7:
                digit = (digits[pick].reshape(8, 8) * 255 / 16).astype(np.uint8)
                picture[y : y + 24, x : x + 24] = digit.repeat(3, 0).repeat(3, 1)
                lines.append(f"{labels[pick]} {(x + 12) / 64} {(y + 12) / 64} {24 / 64} {24 / 64}")
        Image.fromarray(picture).save(root / "images" / f"{i:03d}.png")
        (root / "labels" / f"{i:03d}.txt").write_text("\n".join(lines))
    (root / "classes.txt").write_text("zero\none\n")


def main() -> float:
    write(Path("digits-on-noise"))
    run = striate.train("digits-on-noise/", net="yolo_grid", width=0.25, size=64, epochs=8)
    print(run)
    return run.evaluate().scores["map50"].value


if __name__ == "__main__":
    main()
