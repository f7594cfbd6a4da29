"""Reports with every part there is, made without a training: what the tests of pages open."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from striate import see
from striate.metrics import Interval, Scores
from striate.tasks import Headline, Item
from striate.tasks.classify import Classify, Labelled
from striate.workbench.report import outcome
from striate.workbench.report.content import Content
from striate.workbench.report.verdict import Began, Evidence, judged

HOSTILE = '"><img src=x onerror=alert(1)>\u202egpj.\x00{{ 7*7 }}'


def interval(value: float, by: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": max(0.0, value - by), "high": min(1.0, value + by)}


def counts(k: int) -> list[list[int]]:
    """Ten items a class, one of them taken for the next class."""
    rows = np.eye(k, dtype=int) * 9
    rows[np.arange(k), (np.arange(k) + 1) % k] += 1
    return rows.tolist()


PICTURE = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)


@dataclass
class Answered:
    """Answers to held-out items as `Classify.sections` reads them, of the pairs that a confusion matrix counts."""

    scores: Scores
    picture: Any = None
    name: str = "val/7.png"
    trained: Any = field(default_factory=dict)
    noun: str = "pictures"

    def __post_init__(self):
        confusion, names = self.scores.confusion, [row["label"] for row in self.scores.per_class]
        counts_ = np.zeros((0, 0), int) if confusion is None or not names else confusion
        pairs = np.argwhere(counts_ > 0)
        self.pairs = np.repeat(pairs, counts_[tuple(pairs.T)], 0)
        k, n = max(len(names), 1), len(self.pairs)
        probs = np.full((n, k), 0.006 / max(1, k - 2), np.float32)
        if k == 2:
            probs[:] = 0.027
        truth, answer = self.pairs.T if n else (np.zeros(0, int), np.zeros(0, int))
        probs[np.arange(n), truth] = 0.021 if k > 2 else 0.027
        probs[np.arange(n), answer] = 0.973
        self.meter = Labelled(names)
        self.meter.add(probs, truth)

    @property
    def rows(self):
        names = [row["label"] for row in self.scores.per_class]
        return [
            {
                "truth": names[t],
                "answer": names[a],
                "accuracy": float(t == a),
                "confidence": "0.973",
            }
            for t, a in self.pairs.tolist()
        ]

    @property
    def names(self):
        return [self.name] * len(self.pairs)

    def items(self, numbers):
        if self.picture is None:
            return []
        rows, probs = self.rows, self.meter.probs
        return [
            Item(self.name, self.picture, int(self.pairs[i][0]), probs[i], rows[i]) for i in numbers
        ]


def per_class(k: int, **changes) -> list[dict[str, Any]]:
    plain = {"support": 10, "precision": 0.9, "recall": 0.9, "f1": 0.9, "low": 0.6, "high": 0.98}
    return [{"label": f"class {i}"} | plain | changes for i in range(k)]


def scored(k: int, scores=None, rows=None, confusion=None, *, split="val", items=None) -> Scores:
    given = {"accuracy": interval(0.9)} if scores is None else scores
    return Scores(
        "run",
        "data",
        split,
        10 * k if items is None else items,
        {name: Interval(**score) for name, score in given.items()},
        per_class(k) if rows is None else rows,
        np.array(counts(k) if confusion is None else confusion),
    )


def answered(found: Scores, **changes) -> dict[str, Any]:
    """What a task says of answers, as `Content` takes it; the test set is scored where `test` is given."""
    classes = tuple(row["label"] for row in found.per_class) or ("a", "b")
    task = Classify(classes, class_weights=changes.pop("weights", None))
    test, noun = changes.pop("test", None), changes.pop("noun", "pictures")
    held = Answered(found, PICTURE, **changes)
    of = outcome.counted((test or found).items, noun, test=test is not None)
    return {
        "headline": task.headline(Answered(test) if test else held, of),
        "sections": task.sections(held),
        "scores": found.as_dict()["scores"],
        "items": found.items,
        "classes": classes,
        "noun": noun,
    }


def content(k: int = 10, **changes) -> Content:
    classes = [f"class {i}" for i in range(k)]
    scores = {"accuracy": interval(0.9), "auroc": interval(0.987), "loss": interval(0.3456)}
    plain = Content(
        title="lenet5 on digits",
        run="runs/classify/lenet5",
        created="2026-07-01T12:00:00+00:00",
        net="lenet5",
        command="striate train digits",
        data={
            "path": "digits",
            "task": "classify",
            "layout": "builtin",
            "items": 50 * k,
            "splits": {"train": 40 * k, "val": 10 * k},
            "classes": classes,
            "sizes": {"8x8": 50 * k},
            "problems": [],
            "ignored": {},
            "duplicates": [],
            "fingerprint": "sha256:00",
        },
        history=[
            {
                "epoch": e,
                "lr": 0.1 / e,
                "train_loss": 2.0 / e,
                "train_accuracy": 1 - 0.5 / e,
                "val_loss": 2.1 / e,
                "val_accuracy": 1 - 0.6 / e,
                "seconds": 0.25,
            }
            for e in (1.0, 2.0, 3.0)
        ],
        held_out="val",
        best_epoch=3,
        measures=Classify.measures,
        counted=Classify.counted,
        seconds=12.5,
        **answered(scored(k, scores)),
    )
    return replace(plain, **changes)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())


def evidence(**changes) -> Evidence:
    """Of a training that is still under way and knows its own items best; every rule that may go together says something."""
    plain = Evidence(
        score="accuracy",
        title="accuracy",
        value=Interval(0.8912, 0.8812, 0.9012),
        items=2500,
        split="test",
        constant=0.1,
        trained=0.99,
        losses=[2.0, 1.0, 0.5],
        held_losses=[2.1, 1.1, 0.6],
        command="striate train digits --net lenet5",
        run="runs/classify/lenet5",
        rate=0.1,
        began=Began("runs/classify/other", 0.5, 0.8912, "2,500 test pictures", "its first weights"),
    )
    return replace(plain, **changes)


def full(k: int = 10, **changes) -> Content:
    """Every optional part is there."""
    layer = {
        "path": "0",
        "op": "Conv2d",
        "output": [6, 8, 8],
        "params": 156,
        "macs": 9600,
        "field": None,
    }
    test = answered(scored(k, {"accuracy": interval(0.8912)}, split="test", items=2500))
    parts = {
        "test_sections": test["sections"],
        "balance": {"train": [40] * k, "val": [10] * k, "test": [250] * k},
        "verdict": judged(evidence()),
        "test": {"accuracy": interval(0.8912)},
        "test_items": 2500,
        "headline": Headline("accuracy", "of 2,500 test pictures right"),
        "kernels": see.kernels(net()),
        "maps": see.maps(net(), torch.rand(2, 1, 8, 8)),
        "map_titles": ["a three", "a five"],
        "sheet": {
            "inputs": [[1, 8, 8]],
            "layers": [
                layer,
                layer | {"path": "1", "op": "ReLU", "params": 0, "macs": 0},
                layer | {"path": "2.conv", "params": 0, "macs": 0},
                layer | {"path": "2.relu", "op": "ReLU", "params": 0, "macs": 0},
            ],
            "totals": {"params": 156, "macs": 9600},
        },
        "plan": {
            "device": "cpu",
            "layout": "channels_last",
            "precision": "bf16",
            "compiled": False,
            "ratio": 1.31,
            "why": "measured",
            "tolerance": 0.05,
            "candidates": [
                {"layout": "contiguous", "precision": "fp32", "ms": 4.2, "difference": math.inf}
            ],
        },
        "recipe": {"net": "lenet5", "epochs": 3, "lr": 0.1, "clip": None},
        "recipe_changed": {"lr"},
        "notes": ["2 files were skipped"],
        "machine": {"torch": "2.13.0", "threads": 2},
    }
    return content(k, **(parts | changes))
