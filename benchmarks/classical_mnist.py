"""The classical rows of the 1998 table on MNIST, by scikit-learn, beside the printed errors.

    python benchmarks/classical_mnist.py [--data mnist] [--quick]

LeCun, Bottou, Bengio and Haffner 1998, fig. 9 and section III: what networks were compared with. Pictures
are the 28 x 28 ones (the paper pads or deslants to 20 x 20), so figures are of the same kind, not the same.
"""

import argparse
import time

import numpy as np
from scipy import ndimage
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.multiclass import OneVsOneClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures
from sklearn.svm import SVC, LinearSVC

import striate
from striate.metrics.classify import wilson


def deslanted(images):
    """Shear each digit [N, H, W] so that its principal axis stands upright, and centre it."""
    rows, columns = np.mgrid[:28, :28]
    out = np.empty_like(images, dtype=np.float32)
    for i, image in enumerate(images.astype(np.float32)):
        total = image.sum()
        y, x = (rows * image).sum() / total, (columns * image).sum() / total
        slant = ((rows - y) * (columns - x) * image).sum() / (((rows - y) ** 2) * image).sum()
        matrix = np.array([[1, 0], [slant, 1]])
        offset = np.array([y, x]) - matrix @ np.array([13.5, 13.5])
        out[i] = ndimage.affine_transform(image, matrix, offset=offset, order=1)
    return out


class Least:
    """Least squares on one output a class: the linear classifier of the paper, in closed form."""

    def __init__(self, ridge=0.0):
        self.model = Ridge(ridge) if ridge else LinearRegression()

    def fit(self, x, y):
        """Targets are +1 for the class and -1 elsewhere."""
        self.model.fit(x, 2.0 * np.eye(10)[y] - 1)
        return self

    def predict(self, x):
        """The class of the largest output."""
        return self.model.predict(x).argmax(1)


class RBF:
    """A thousand Gaussian units at cluster centres (100 a class), and a linear layer by least squares."""

    def fit(self, x, y):
        """Centres of each class by k-means; one width for all, the median distance to a centre."""
        means = [MiniBatchKMeans(100, random_state=0, n_init=1).fit(x[y == k]) for k in range(10)]
        self.centres = np.concatenate([each.cluster_centers_ for each in means])
        self.width = np.median(self.distances(x[:2000]).min(1))
        self.out = Least(1e-3).fit(self.units(x), y)
        return self

    def distances(self, x):
        """Squared distances [N, 1000]."""
        return np.maximum(
            (x**2).sum(1)[:, None] + (self.centres**2).sum(1) - 2 * x @ self.centres.T, 0
        )

    def units(self, x):
        """Responses of the units."""
        return np.exp(-self.distances(x) / (2 * self.width))

    def predict(self, x):
        """The class of the largest output."""
        return self.out.predict(self.units(x))


def rows():
    """Name, printed error in percent, classifier, whether deslanted, items it trains on."""
    quadratic = make_pipeline(PCA(40, random_state=0), PolynomialFeatures(2), FunctionTransformer())
    return [
        ("linear", 12.0, Least(1.0), False, None),
        ("linear, deslanted", 8.4, Least(1.0), True, None),
        ("pairwise linear", 7.6, OneVsOneClassifier(LinearSVC(C=0.01, dual=False)), False, 30_000),
        ("k-NN, Euclidean", 5.0, KNeighborsClassifier(3, algorithm="brute"), False, None),
        ("k-NN, Euclidean, deslanted", 2.4, KNeighborsClassifier(3, algorithm="brute"), True, None),
        ("PCA 40 + quadratic", 3.3, (quadratic, Least(1e-2)), False, None),
        ("1000 RBF + linear", 3.6, RBF(), False, None),
        ("SVM, polynomial of degree 4", 1.4, SVC(kernel="poly", degree=4, gamma=0.02, coef0=1, C=10), False, 20_000),
        ("SVM, polynomial of degree 4, deslanted", 1.1, SVC(kernel="poly", degree=4, gamma=0.02, coef0=1, C=10), True, 20_000),
    ]  # fmt: skip


def main():
    """Print one line a classifier."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--quick", action="store_true", help="2,000 items to train, 1,000 to test")
    given = parser.parse_args()
    data = striate.open(given.data)
    train, test = (data.arrays(split, size=(28, 28), color="grey") for split in ("train", "test"))
    most = (2000, 1000) if given.quick else (60_000, 10_000)
    images = [s.inputs[:n, ..., 0] for s, n in zip((train, test), most, strict=True)]
    labels = [s.targets[:n] for s, n in zip((train, test), most, strict=True)]
    plain = [x.reshape(len(x), -1).astype(np.float32) / 255 for x in images]
    upright = [deslanted(x).reshape(len(x), -1) / 255 for x in images]
    print("| classifier | trained on | error % (95 % interval) | printed 1998 | seconds |")
    print("|---|---|---|---|---|")
    for name, printed, model, straight, limit in rows():
        start = time.perf_counter()
        x, held = upright if straight else plain
        x, y = x[:limit], labels[0][:limit]
        features, last = model if isinstance(model, tuple) else (None, model)
        if features:
            x, held = features.fit_transform(x), features.transform(held)
        wrong = int((last.fit(x, y).predict(held) != labels[1]).sum())
        share = wilson(wrong, len(held))
        print(
            f"| {name} | {len(x):,} | {100 * share.value:.2f} ({100 * share.low:.2f}-{100 * share.high:.2f}) "
            f"| {printed} | {time.perf_counter() - start:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
