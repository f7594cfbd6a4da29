"""A label a series: the pixels of a digit read row after row, 64 steps; arrays x [N, T] and y in one .npz."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import striate


def write(file: Path) -> None:
    """Write the 1,797 digits that come with scikit-learn, each as one line of 64 values."""
    pictures, labels = load_digits(return_X_y=True)
    np.savez(file, x=pictures.astype(np.float32), y=labels)


def main() -> float:
    write(Path("lines.npz"))
    run = striate.train("lines.npz", net="fcn1d", width=0.25, epochs=6)
    print(run)
    return run.evaluate().scores["accuracy"].value


if __name__ == "__main__":
    main()
