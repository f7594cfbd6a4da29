"""Pictures given back: an auto-encoder of digits, and the ones it draws worst; no labels are needed."""

from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

import striate


def write(root: Path) -> None:
    """Write the 1,797 digits that come with scikit-learn, 16 x 16, in one folder."""
    root.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(load_digits().images):
        grey = (picture * 255 / 16).astype("uint8").repeat(2, 0).repeat(2, 1)
        Image.fromarray(grey).save(root / f"{i:04d}.png")


def main() -> float:
    write(Path("pictures"))
    run = striate.train(
        "pictures/", net="conv_autoencoder", width=0.25, epochs=4, task="reconstruct"
    )
    print(run)
    run.predict(["pictures/0007.png"], out="given-back")  # the picture as the net draws it
    return run.evaluate().scores["psnr"].value


if __name__ == "__main__":
    main()
