"""Series of one axis from a file to an answer: the usual first example of a net over time, with ours and with one's own."""

from typing import Any

import numpy as np
import pytest
from torch import nn

import striate

STEPS = 64
SHORT: dict[str, Any] = {"plan": "default", "health": 0, "lr": 0.01}


def signals(count, seed=0):
    """Sines and square waves [N, T] of any phase and frequency in noise, which each is, and the frequency."""
    rng = np.random.default_rng(seed)
    kinds, cycles = np.arange(count) % 2, rng.uniform(2, 5, count)
    angle = 2 * np.pi * (cycles[:, None] * np.arange(STEPS) / STEPS + rng.uniform(0, 1, (count, 1)))
    clean = np.where(kinds[:, None] == 1, np.sign(np.sin(angle)), np.sqrt(2) * np.sin(angle))
    return (clean + 0.1 * rng.normal(size=clean.shape)).astype(np.float32), kinds, cycles


def small(outputs):
    """Two convolutions of width five, a pooling between them, the mean over time."""
    return nn.Sequential(
        nn.Conv1d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(8, 16, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.Linear(16, outputs),
    )  # fmt: skip


@pytest.mark.parametrize("net", ["fcn1d", "own"])
@pytest.mark.parametrize("files", ["npz", "folders"])
def test_a_net_over_time_tells_signals_apart_from_file_to_answer(tmp_path, net, files):
    x, kinds, _ = signals(160)
    path = tmp_path / ("signals.npz" if files == "npz" else "signals")
    if files == "npz":
        np.savez(path, x=x, y=np.array(["sine", "square"])[kinds])
    else:
        for i, (row, kind) in enumerate(zip(x, kinds, strict=True)):
            folder = path / ("sine", "square")[kind]
            folder.mkdir(parents=True, exist_ok=True)
            np.savetxt(folder / f"{i}.csv", row, "%.5f")
    settings = {"width": 0.0625} if net == "fcn1d" else {}
    run = striate.train(
        path,
        net if net == "fcn1d" else small(2),
        out=tmp_path,
        epochs=12,
        batch=16,
        **settings,
        **SHORT,
    )
    assert (run.config.task, run.config.preprocessing.shape) == ("classify", (1, STEPS))
    fresh, fresh_kinds, _ = signals(40, seed=1)
    names = []
    for i, row in enumerate(fresh):
        names.append(tmp_path / f"new{i}.npy")
        np.save(names[-1], row)
    answers = [(answer.answer or {})["label"] for answer in run.predict(names)]
    right = np.mean(np.array(answers) == np.array(["sine", "square"])[fresh_kinds])
    assert right >= 0.85
    page = (run.path / "report.html").read_text()
    assert "<svg" in page
    assert run.evaluate(path, split="val").as_dict()["items"] == 32


def test_numbers_of_series_are_learned(tmp_path):
    x, _, cycles = signals(200)
    np.savez(tmp_path / "signals.npz", x=x[:, None], y=cycles)
    run = striate.train(
        tmp_path / "signals.npz", small(1), out=tmp_path, epochs=25, batch=16, **SHORT
    )
    scores = run.summary["scores"]
    assert run.config.task == "regress"
    assert scores["mae"]["value"] < 0.6 * np.abs(cycles - cycles.mean()).mean()
