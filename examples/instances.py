"""Single objects: every digit on a picture by itself; masks with a number an object."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import striate


def write(root: Path, count: int = 200) -> None:
    """Write images/ and masks/ of 48 x 48: 0 is nothing, each other number one of up to four digits."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    zeros = load_digits(n_class=1).images.repeat(2, 1).repeat(2, 2)  # as round as cells
    rng = np.random.default_rng(0)
    for i in range(count):
        picture, ids = np.zeros((48, 48), np.uint8), np.zeros((48, 48), np.uint16)
        for k in range(4):
            digit = zeros[rng.integers(len(zeros))]
            y, x = 24 * (k // 2) + rng.integers(9), 24 * (k % 2) + rng.integers(9)
            if rng.random() < 0.8:
                picture[y : y + 16, x : x + 16] = digit * 255 / 16
                ids[y : y + 16, x : x + 16][digit > 4] = k + 1
        Image.fromarray(picture).save(root / "images" / f"{i:03d}.png")
        Image.fromarray(ids).save(root / "masks" / f"{i:03d}.png")


def main() -> float:
    write(Path("objects"))
    run = striate.train("objects/", net="unet_same", width=0.125, epochs=8, task="instances")
    print(run)
    return run.evaluate().scores["ap50"].value


if __name__ == "__main__":
    main()
