"""A label a series: how a pen moved for a digit, row by row of the real pictures; arrays x [N, C, T] and y in one .npz."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import striate


def write(file: Path) -> None:
    """Each digit of 8 x 8 as eight steps of eight values."""
    pictures, labels = load_digits(return_X_y=True)
    np.savez(file, x=pictures.reshape(-1, 8, 8).transpose(0, 2, 1).astype(np.float32), y=labels)


def main() -> float:
    write(Path("rows.npz"))
    run = striate.train("rows.npz", net="fcn1d", width=0.5, epochs=6, layout="series_items")
    print(run)
    return run.evaluate().scores["accuracy"].value


if __name__ == "__main__":
    main()
