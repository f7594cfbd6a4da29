"""Schedules of the learning rate: an optimiser that circles a minimum, drawn on a real loss surface; x0.999; a plateau of five epochs."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from striate.lessons.exercise import Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Pictures, Shown, Table
from striate.lessons.small import digits, seeded, taught
from striate.training import read_recipe
from striate.training.schedules import Course, Place, rate

SIDE = 21  # places of the surface an axis
LAST = 40  # steps of a walk that are drawn
RATES = (0.1, 1.0, 5.0)


def circling() -> Shown:
    rows: list[list[object]] = []
    for lr in (0.1, 0.9, 1.0, 1.05):
        w, seen = 1.0, list[str]()
        for _ in range(4):
            w -= lr * 2 * w  # the slope of w^2
            seen.append(f"{w:+.3f}")
        rows.append([lr, *seen])
    return Shown([Table(["rate", "step 1", "step 2", "step 3", "step 4"], rows)])


def on_a_real_surface() -> Shown:
    rows: list[list[object]] = []
    drawn: dict[str, Any] = {}
    for name, normed in (("without", False), ("with batch norm", True)):
        for lr in RATES:
            path = walk(normed=normed, lr=lr)
            last = path.losses[-LAST:]
            rows.append(
                [name, lr, f"{np.median(last):.4f}", f"{max(last):.4f}", turned_back(path.points)]
            )
            if lr == RATES[-1]:
                drawn[name] = surface(path)
    table = Table(["net", "rate", "loss, median", "loss, largest", "steps that turn back"], rows)
    return Shown([Pictures(drawn), table])


class Path:
    """The last steps of a training, and the plane in which they moved most.

    Attributes:
        net: that was trained.
        losses: of all items, at each of the last steps.
        centre: the mean of the weights.
        axes: two directions [2, weights].
        points: the steps in that plane [LAST, 2].
    """

    def __init__(self, net: nn.Module, weights: list[Tensor]) -> None:
        self.net = net
        walked = torch.stack(weights[-LAST:])
        self.losses = [loss_at(net, each) for each in walked]
        self.centre = walked.mean(0)
        _, _, axes = torch.linalg.svd(walked - self.centre, full_matrices=False)
        self.axes = axes[:2]
        self.points = (walked - self.centre) @ self.axes.T


def small_net(*, normed: bool) -> nn.Module:
    """16 units, normalised or not."""
    norm = [nn.BatchNorm1d(16)] if normed else []
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), *norm, nn.Tanh(), nn.Linear(16, 10))


def walk(*, normed: bool, lr: float) -> Path:
    """Train on 300 digits, 30 at a time, and keep the weights of every step."""
    net = seeded(lambda: small_net(normed=normed))
    weights: list[Tensor] = []

    def keep(_state: object) -> None:
        weights.append(parameters_to_vector(net.parameters()).detach().clone())

    d = digits()
    taught(net, d.x[:300], d.y[:300], settings={"epochs": 40, "lr": lr}, batch=30, after_step=keep)
    return Path(net, weights)


def loss_at(net: nn.Module, weights: Tensor) -> float:
    """The loss of all 300 digits with other weights; what is normalised is normalised over them."""
    d = digits()
    with torch.no_grad():
        vector_to_parameters(weights, net.parameters())
        return float(nn.functional.cross_entropy(net.train()(d.x[:300]), d.y[:300]))


def surface(path: Path) -> Tensor:
    """The logarithm of the loss over the plane of the walk [SIDE, SIDE], dark where it is small; the steps are white."""
    reach = float(path.points.abs().max()) * 1.3 + 1e-6
    places = torch.linspace(-reach, reach, SIDE)
    grid = torch.empty(SIDE, SIDE)
    for i, down in enumerate(places.tolist()):
        for j, across in enumerate(places.tolist()):
            at = path.centre + down * path.axes[0] + across * path.axes[1]
            grid[i, j] = np.log(loss_at(path.net, at))
    low, high = grid.min(), grid.max()
    share = 0.75 * (grid - low) / (high - low)
    cells = ((path.points / reach + 1) / 2 * (SIDE - 1)).round().long()
    share[cells[:, 0], cells[:, 1]] = 1.0
    return share


def turned_back(points: Tensor) -> str:
    """The share of steps that go back on the one before."""
    steps = points.diff(dim=0)
    back = (steps[1:] * steps[:-1]).sum(1) < 0
    return f"{float(back.double().mean()):.0%}"


def schedules() -> Shown:
    epochs = (0, 1, 10, 50, 99)
    common = {"epochs": 100, "lr": 0.1}
    recipes = {
        "constant": {"schedule": "constant"},
        "x0.999": {"schedule": "exponential", "gamma": 0.999},
        "x0.95": {"schedule": "exponential", "gamma": 0.95},
        "cosine": {"schedule": "cosine"},
    }
    rows: list[list[object]] = []
    for name, settings in recipes.items():
        recipe = read_recipe("quick", {**common, **settings})
        rows.append([name, *(f"{rate(recipe, Place(epoch, 100, epoch)):.4f}" for epoch in epochs)])
    return Shown(
        [Table(["schedule", *(str(epoch + 1) for epoch in epochs)], rows)],
        {"left": 0.999**99, "steps": 0.999**2300},
    )


def plateau() -> Shown:
    losses = [1.0, 0.8, 0.7, 0.71, 0.72, 0.71, 0.70, 0.73, 0.69, 0.7]
    rates = plateau_rates(losses, 5, 0.1, 0.1)
    rows = [
        [i, loss, f"{each:g}"] for i, (loss, each) in enumerate(zip(losses, rates, strict=True), 1)
    ]
    return Shown([Table(["epoch", "held-out loss", "rate afterwards"], rows)])


def plateau_rates(losses: list[float], patience: int, lr: float, factor: float) -> list[float]:
    """The rate after every epoch, by the schedule of `striate train`."""
    recipe = read_recipe(
        "quick",
        {"epochs": 99, "lr": lr, "schedule": "plateau", "gamma": factor, "plateau": patience},
    )
    course, rates = Course(), list[float]()
    for epoch, loss in enumerate(losses):
        course.judge(loss, recipe)
        rates.append(rate(recipe, Place(epoch, 99, epoch), course))
    return rates


def plateau_cases(rng: np.random.Generator) -> list[Case]:
    found: list[Case] = [
        {
            "losses": [1.0, 0.9, 0.9, 0.95, 0.92, 0.91, 0.93, 0.94],
            "patience": 3,
            "lr": 0.1,
            "factor": 0.1,
        }
    ]
    for _ in range(4):
        steps = rng.choice([-0.1, -0.05, 0.0, 0.05, 0.1], 12)
        losses = np.round(3 + np.cumsum(steps), 2).tolist()
        patience, factor = int(rng.integers(2, 4)), float(rng.choice([0.1, 0.5]))
        found.append({"losses": losses, "patience": patience, "lr": 0.1, "factor": factor})
    return found


def step_rates(lr: float, factor: float, epochs: int) -> list[float]:
    """The rate of every epoch that takes a factor after each."""
    recipe = read_recipe(
        "quick", {"epochs": epochs, "lr": lr, "schedule": "exponential", "gamma": factor}
    )
    return [rate(recipe, Place(epoch, epochs, epoch)) for epoch in range(epochs)]


def step_cases(rng: np.random.Generator) -> list[Case]:
    factors = (0.999, 0.5, float(rng.choice([0.9, 0.95, 0.8])))
    return [
        {"lr": 0.1 * (1 + i), "factor": each, "epochs": 6 + i} for i, each in enumerate(factors)
    ]


def by_plateau(
    case: Case, *, patience: int, against_last: bool = False, forget: bool = False
) -> list[float]:
    """The rate after every epoch by a rule that is not quite right."""
    best, waited, lowered = float("inf"), 0, 0
    rates = list[float]()
    for loss in case["losses"]:
        better = loss < best
        waited = 0 if better else waited + 1
        best = loss if against_last or better else best
        if waited >= patience:
            lowered += 1
            waited = waited if forget else 0
        rates.append(case["lr"] * case["factor"] ** lowered)
    return rates


LESSON = Lesson(
    "learning_rates",
    (circling, on_a_real_surface, schedules, plateau),
    (
        Exercise(
            "plateau_rates",
            ("losses", "patience", "lr", "factor"),
            plateau_rates,
            plateau_cases,
            (
                Mistake(
                    "one_epoch_late", instead=lambda c: by_plateau(c, patience=c["patience"] + 1)
                ),
                Mistake(
                    "one_epoch_early", instead=lambda c: by_plateau(c, patience=c["patience"] - 1)
                ),
                Mistake(
                    "against_last",
                    instead=lambda c: by_plateau(c, patience=c["patience"], against_last=True),
                ),
                Mistake(
                    "waits_on", instead=lambda c: by_plateau(c, patience=c["patience"], forget=True)
                ),
            ),
        ),
        Exercise(
            "step_rates",
            ("lr", "factor", "epochs"),
            step_rates,
            step_cases,
            (
                Mistake(
                    "one_epoch_early",
                    instead=lambda c: [
                        c["lr"] * c["factor"] ** (i + 1) for i in range(c["epochs"])
                    ],
                ),
                Mistake(
                    "linear_decay",
                    instead=lambda c: [
                        c["lr"] * (1 - (1 - c["factor"]) * i) for i in range(c["epochs"])
                    ],
                ),
                Mistake(
                    "factor_once",
                    instead=lambda c: [
                        c["lr"] * (c["factor"] if i else 1) for i in range(c["epochs"])
                    ],
                ),
            ),
        ),
    ),
)
