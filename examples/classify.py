"""A label a picture: handwritten digits in a folder a class; train, score, read three of them."""

from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

import striate


def write(root: Path) -> None:
    """Write digits/0/0000.png and so on: the 1,797 digits that come with scikit-learn."""
    pictures, labels = load_digits(return_X_y=True)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        (root / str(label)).mkdir(parents=True, exist_ok=True)
        grey = (picture.reshape(8, 8) * 255 / 16).astype("uint8")
        Image.fromarray(grey).save(root / str(label) / f"{i:04d}.png")


def main() -> float:
    write(Path("digits"))
    run = striate.train("digits/", net="lenet5", epochs=3)
    print(run)
    for answer in run.predict(sorted(Path("digits").glob("*/*.png"))[:600:200]):
        print(answer)
    return run.evaluate().scores["accuracy"].value


if __name__ == "__main__":
    main()
