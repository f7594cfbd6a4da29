"""A class for every pixel: background, the ink of a 0, the ink of a 1; images/ and masks/ with class numbers."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import striate


def write(root: Path, count: int = 300) -> None:
    """Write pictures of 32 x 32 with two digits in noise, and masks of the same names."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    digits, labels = load_digits(n_class=2, return_X_y=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        picture, mask = rng.integers(0, 90, (32, 32), dtype=np.uint8), np.zeros((32, 32), np.uint8)
        for x in (0, 16):
            pick, y = rng.integers(len(labels)), rng.integers(0, 17)
            digit = digits[pick].reshape(8, 8).repeat(2, 0).repeat(2, 1)
            ink = digit > 6
            picture[y : y + 16, x : x + 16][ink] = (digit * 255 / 16)[ink]
            mask[y : y + 16, x : x + 16][ink] = 1 + labels[pick]
        Image.fromarray(picture).save(root / "images" / f"{i:03d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i:03d}.png")
    (root / "classes.txt").write_text("background\nzero\none\n")


def main() -> float:
    write(Path("ink"))
    run = striate.train("ink/", net="unet_same", width=0.125, epochs=6)
    print(run)
    run.predict(["ink/images/000.png"], out="answers")  # the mask and an overlay as pictures
    return run.evaluate().scores["miou"].value


if __name__ == "__main__":
    main()
