"""Forecasting: what is learned and scored, the forecasts a net is held against, answers with their times."""

# pyright: reportArgumentType=false, reportOptionalSubscript=false, reportAttributeAccessIssue=false

import csv
import json
import re
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

import striate
from striate import data
from striate.data.series import Clock
from striate.errors import DataError, RecipeError, ShapeError, UsageError
from striate.inputs import SeriesWindows
from striate.inputs.forecast_windows import cut_of, scaling
from striate.metrics import Interval
from striate.ops.graph import laplacian
from striate.runs import Run
from striate.tasks.forecast import Forecast
from striate.tasks.forecast_baselines import Baselines, fitted
from striate.training import read_recipe
from striate.training.defaults import with_defaults
from striate.training.prepare import on_device
from tasks.conftest import CASES, write_series

SETTINGS: dict[str, Any] = {**CASES["forecast"].settings, "epochs": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("data") / "sensors")


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    return striate.train(folder, out=tmp_path_factory.mktemp("out"), name="run", **SETTINGS)


@pytest.fixture(scope="module")
def opened(folder):
    return data.open(folder)


@pytest.fixture(scope="module")
def task(opened):
    return Forecast.of(opened, read_recipe("quick", {}))


class LastValue(nn.Module):
    """Says of every step what was known last."""

    def __init__(self, horizon=12):
        super().__init__()
        self.horizon, self.nothing = horizon, nn.Parameter(torch.zeros(1))
        self.graph = None

    def set_graph(self, adjacency):
        self.graph = adjacency

    def forward(self, x):
        return x[:, 0, -1:].repeat(1, self.horizon, 1) + 0 * self.nothing


# --------------------------------------------------------------------------------------- the verdict


def test_a_net_that_loses_to_a_baseline_says_so_first(run):
    first = run.as_text().splitlines()[0]
    assert first.startswith("stgcn loses to the mean of the hour of the week (by ")
    scores = Run.load(run.path).evaluate()
    assert scores.as_text().startswith("loses to ")
    assert scores.as_dict()["verdict"].startswith("loses to ")
    page = (run.path / "report.html").read_text()
    words = re.sub(r"<[^>]+>", "", page)
    assert re.search(r"Mean absolute error of 73 test windows: this net loses to the mean", words)
    assert "Against forecasts without a net" in page
    assert page.count("mean absolute error") >= 6


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ((0.3, 0.2, 0.1), "better than the last value, "),
        ((0.3, 0.2, -0.1), "loses to a linear model (by 0.1, 95 % interval 0.05 to 0.15)"),
        ((0.3, 0.2, 0.02), "but from a linear model it is not told apart for certain"),
        ((0.3, 0.0, 0.1), "is no better than the mean of the hour of the week (by 0, "),
        ((-0.3, 0.2, -0.01), "0.35) and is no better than a linear model (by 0.01, "),
        ((-0.3, 0.2, -0.01), "to 0.06): a forecast that needs no net does better"),
        ((-0.3, 0.2, 0.1), "loses to the last value (by 0.3, 95 % interval 0.25 to 0.35): a "),
        ((0.3, 0.2, -0.01), "to 0.06): a forecast that needs no net does as well"),
    ],
)
def test_a_verdict_weighs_the_interval(task, gains, words):
    scores = {
        f"gain_{key}": Interval(gain, round(gain - 0.05, 3), round(gain + 0.05, 3))
        for key, gain in zip(("last_value", "season", "linear"), gains, strict=True)
    }
    assert words in task.verdict(scores)
    assert task.verdict({}) == ""


def test_a_net_that_is_a_baseline_scores_as_it_does(folder, tmp_path):
    """Scale and gaps undone: a net that answers the last value is the last value."""
    net = LastValue()
    run = striate.train(folder, net, out=tmp_path, name="own", epochs=1, plan="default", lr=1e-9)
    scores = run.evaluate(split="val").as_dict()["scores"]
    assert scores["mae"]["value"] == pytest.approx(scores["mae_last_value"]["value"], rel=1e-5)
    assert scores["gain_last_value"]["value"] == pytest.approx(0, abs=1e-5)
    assert run.summary["test"]["scores"].keys() >= {"mae@3", "rmse@6", "mape@12", "gain_linear"}
    assert net.graph is None  # a copy was trained


def test_a_net_of_the_users_own_gets_the_graph(task):
    net = LastValue()
    task.set_up(net)
    assert torch.equal(net.graph, task.graph)
    task.set_up(nn.Linear(1, 1))  # takes none


# ------------------------------------------------------------------------------------- the baselines


def plain_windows(values, cut):
    starts = range(cut.first, cut.first + cut.count)
    history = np.stack([values[s : s + cut.history] for s in starts])
    ahead = np.stack([values[s + cut.history : s + cut.history + cut.horizon] for s in starts])
    return history, ahead


def test_the_mean_of_the_hour_of_the_week_is_that_of_what_is_trained_on(opened):
    cut = cut_of(opened)
    base = fitted(cut)
    # 336 hours are trained on: two weeks.
    assert (base.season, base.seasons.shape) == ("the mean of the hour of the week", (168, 5))
    values = cut.trained.astype(np.float64)  # begins on a Monday at midnight
    for slot, node in ((0, 0), (5, 2), (167, 4), (30, 1)):
        expected = np.nanmean(values[slot::168, node])
        assert base.seasons[slot, node] == pytest.approx(expected, rel=1e-6)


def test_an_hour_that_was_never_seen_has_the_mean_of_the_day(tmp_path):
    values = np.round(10 + np.arange(480)[:, None] % 24 + np.zeros((1, 2)), 3)
    values[[3, 3 + 168], 0] = np.nan  # Monday three o'clock, in both weeks that are trained on
    start = np.datetime64("2024-03-04T00:00")
    rows = [f"{start + np.timedelta64(i, 'h')},{a},{b}" for i, (a, b) in enumerate(values.tolist())]
    (tmp_path / "s.csv").write_text("\n".join(["time,a,b", *rows]))
    base = fitted(cut_of(data.open(tmp_path / "s.csv")))
    assert base.seasons[3, 0] == pytest.approx(13)


@pytest.mark.parametrize(
    ("minutes", "parts", "words"),
    [
        (60, 24, "the mean of the hour of the day"),
        (5, 288, "the mean of the time of day"),
        (1, 288, "the mean of the time of day"),
    ],
)
def test_parts_of_a_day_are_of_equal_length(tmp_path, minutes, parts, words):
    steps = 8 * 24 * 60 // minutes
    start = np.datetime64("2024-03-04T00:00")
    stamps = [str(start + np.timedelta64(i * minutes, "m")).replace("T", " ") for i in range(steps)]
    rows = [f"{stamp},{i % 7},{i % 5}" for i, stamp in enumerate(stamps)]
    (tmp_path / "s.csv").write_text("\n".join(["time,a,b", *rows]))
    base = fitted(cut_of(data.open(tmp_path / "s.csv")))
    assert (base.season, len(base.seasons)) == (words, parts)


@pytest.mark.parametrize("slow", [True, False])
def test_a_net_starts_from_the_last_value_where_that_is_nearer(tmp_path, slow):
    rng = np.random.default_rng(0)
    hours = np.arange(480)[:, None]
    wander = np.cumsum(rng.normal(0, 1, (480, 3)), 0)
    values = 50 + (
        wander if slow else 20 * np.sin(2 * np.pi * hours / 24) + rng.normal(0, 1, (480, 3))
    )
    start = np.datetime64("2024-03-04T00:00")
    rows = [
        f"{start + np.timedelta64(i, 'h')},{','.join(map(str, row))}"
        for i, row in enumerate(values.tolist())
    ]
    (tmp_path / "s.csv").write_text("\n".join(["time,a,b,c", *rows]))
    opened, lines = data.open(tmp_path / "s.csv"), list[str]()
    recipe = with_defaults(read_recipe("quick", {}), opened, say=lines.append)
    assert recipe.options == ({"from_last": True} if slow else {})
    assert ("starts from the last value: a step ahead it is off by" in lines[0]) == slow
    said = with_defaults(read_recipe("quick", {"from_last": False, "net": "stgcn"}), opened)
    assert said.options == {"from_last": False}


def test_the_linear_model_is_a_ridge_of_each_node(opened):
    cut = cut_of(opened)
    base = fitted(cut)
    windows = [cut.window(i) for i in range(50)]
    said = base.forecasts(windows)[:, 2]
    node = 0  # no value of it is missing
    history, ahead = plain_windows(cut.series.values[:, node].astype(np.float64), cut)
    steps = np.arange(cut.count) + cut.history
    angles = [2 * np.pi * steps / n for n in (24, 168)]
    waves = np.stack([wave(a) for a in angles for wave in (np.sin, np.cos)], 1)
    mean, std = base.mean[node], base.std[node]
    x = np.concatenate([(history - mean) / std, waves], 1)
    model = Ridge(alpha=1.0).fit(x, (ahead - mean) / std)
    expected = model.predict(x[:50]) * std + mean
    assert said[:, :, node] == pytest.approx(expected, abs=2e-3)


def test_baselines_are_kept_and_read_back(opened):
    base = fitted(cut_of(opened))
    kept = json.loads(json.dumps(base.as_dict()))
    again = Baselines.from_dict(kept)
    windows = [cut_of(opened).window(i) for i in (0, 3)]
    assert np.array_equal(base.forecasts(windows), again.forecasts(windows))
    kept["seasons"]["shape"] = [1, 1]
    with pytest.raises(ValueError, match=r"bytes|sizes"):
        Baselines.from_dict(kept)


def test_what_is_missing_is_the_last_value_that_is_known(opened):
    cut = cut_of(opened)
    i = 30 - cut.history + 1  # its last step is hour 30, where b is missing
    window = cut.window(i)
    assert np.isnan(window.history[-1, 1])
    last = fitted(cut).forecasts([window])[0, 0]
    assert (last[:, 1] == window.history[-2, 1].astype(np.float64)).all()


# ------------------------------------------------------------------------------- learned and answered


def test_the_loss_is_the_mean_over_what_is_known(task):
    rng = torch.Generator().manual_seed(0)
    answer = torch.randn(2, 12, 5, requires_grad=True, generator=rng)
    target = torch.randn(2, 12, 5, generator=rng) + 10
    target[0, :6] = torch.nan
    value, _ = task.criterion(answer, target)
    value.backward()
    known = ~target.isnan()
    scaled = (target - task.mean[0]) / task.std[0]
    expected = (answer.detach() - scaled)[known].abs().mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (answer.grad[0, :6] == 0).all()
    assert (answer.grad[known] != 0).all()
    nothing, _ = task.criterion(answer, torch.full((2, 12, 5), torch.nan))
    assert nothing.item() == 0


def test_a_net_reads_scaled_values_what_is_known_and_the_periods(opened):
    form = SeriesWindows.of(None, opened, None, None)
    assert form.shape == (1 + 1 + 4, 12, 5) == SeriesWindows.planned_shape(opened, None)
    cut = cut_of(opened)
    i = 31 - cut.history + 1  # hours 30 and 31 of b are missing
    x = form.normalise(torch.from_numpy(cut.inputs[i : i + 1].copy()))[0]
    values = (cut.series.values[i : i + 12] - form.mean[0]) / form.std[0]
    assert x[0, :10].numpy() == pytest.approx(values[:10], abs=1e-5)
    assert (x[0, 10:, 1] == x[0, 9, 1]).all()
    assert x[1].sum().item() == 12 * 5 - 2
    hours = np.arange(i, i + 12)
    assert x[2, :, 0].numpy() == pytest.approx(np.sin(2 * np.pi * hours / 24), abs=1e-5)
    assert x[5, :, 3].numpy() == pytest.approx(np.cos(2 * np.pi * hours / 168), abs=1e-5)
    again = SeriesWindows.from_dict({k: v for k, v in form.as_dict().items() if k != "inputs"})
    assert again == form
    with pytest.raises(ShapeError, match="windows have 4 columns, expected 5 nodes"):
        form.normalise(torch.zeros(1, 12, 4))


def test_nodes_on_a_graph_share_a_scale_and_others_have_their_own(opened, tmp_path):
    assert scaling(cut_of(opened))[0].shape == (1,)
    values = np.stack([np.arange(100.0), 1000 + np.arange(100.0) % 7, np.full(100, 5.0)], 1)
    np.savez(tmp_path / "s.npz", values=values)
    cut = cut_of(data.open(tmp_path / "s.npz", history=4, horizon=2))
    mean, std = scaling(cut)
    trained = values[: cut.first + cut.count + 5]
    assert mean == pytest.approx(trained.mean(0), rel=1e-5)
    assert std[:2] == pytest.approx(trained.std(0)[:2], rel=1e-5)
    assert std[2] == 1  # a constant series must not be blown up


def test_constant_series_train_and_answer_themselves(tmp_path):
    np.savez(tmp_path / "s.npz", values=np.full((120, 3), 7.0))
    run = striate.train(tmp_path / "s.npz", out=tmp_path, name="run", **{**SETTINGS, "batch": 8})
    assert run.summary["scores"]["mae_last_value"]["value"] == 0
    assert run.summary["scores"]["mape"]["value"] is not None
    (found,) = run.predict(tmp_path / "s.npz")
    assert np.array(found.as_dict()["forecast"]).shape == (12, 3)


def test_windows_share_one_memory_on_every_device(opened):
    view = torch.from_numpy(opened.arrays("train").inputs)
    moved = on_device(view, "meta")
    assert (moved.shape, moved.stride()) == (view.shape, view.stride())
    assert moved.untyped_storage().nbytes() <= cut_of(opened).table.nbytes
    plain = torch.zeros(3, 4)
    assert torch.equal(on_device(plain, "cpu"), plain)


def test_the_graph_is_in_the_weights_of_a_run(run, task):
    assert torch.equal(Run.load(run.path).net.laplacian, laplacian(task.graph))
    links = np.zeros((5, 5))
    for i, j in ((0, 1), (1, 2), (2, 3), (0, 4)):
        links[i, j] = links[j, i] = 1
    assert np.array_equal(task.graph.numpy(), links)


def test_without_a_graph_alike_series_are_neighbours(tmp_path):
    hours = np.arange(300)[:, None]
    phase = np.array([0, 0, 0, 12, 12, 12])
    noise = np.random.default_rng(0).normal(0, 0.05, (300, 6))
    np.savez(tmp_path / "s.npz", values=np.sin(2 * np.pi * (hours + phase) / 24) + noise)
    opened = data.open(tmp_path / "s.npz", period="24")
    graph = Forecast.of(opened, read_recipe("quick", {})).graph
    assert graph[0, 1] > graph[0, 3]
    assert graph[3, 4] > graph[2, 3]


def test_a_setting_that_differs_from_how_data_were_opened_is_refused(opened, tmp_path):
    with pytest.raises(RecipeError, match="history=9: these data are opened with 12 already"):
        striate.training.fit(opened, read_recipe("quick", {**SETTINGS, "history": 9}), out=tmp_path)
    with pytest.raises(UsageError, match="history"):
        striate.train(opened, out=tmp_path, history=9)


def test_fewer_steps_than_a_net_reads_are_refused(folder, tmp_path):
    with pytest.raises(ShapeError, match="stgcn: its convolutions over time use up 8 steps"):
        striate.train(folder, out=tmp_path, **{**SETTINGS, "history": 6})


def test_a_net_that_answers_other_steps_is_refused(folder, tmp_path):
    with pytest.raises(ShapeError, match=r"expected one tensor \(2, 12, 5\): every step ahead"):
        striate.train(folder, LastValue(3), out=tmp_path, epochs=1, plan="default")


# --------------------------------------------------------------------------------------- predictions


def test_answers_are_the_next_values_with_their_times(run, folder, tmp_path):
    out = tmp_path / "out"
    (found,) = run.predict(folder / "speeds.csv", out=out, format="csv")
    answer = found.as_dict()
    assert answer["nodes"] == list("abcde")
    assert (answer["times"][0], answer["times"][-1]) == ("2024-03-24 00:00", "2024-03-24 11:00")
    assert found.as_text().endswith("at 2024-03-24 11:00")
    rows = list(csv.DictReader((out / "predictions.csv").read_text().splitlines()))
    assert [row["time"] for row in rows] == answer["times"]
    assert float(rows[3]["c"]) == pytest.approx(answer["forecast"][3][2])
    # What the net says of the last window that has an answer is what evaluation scored.
    text = (folder / "speeds.csv").read_text().splitlines()
    cut = tmp_path / "cut.csv"
    cut.write_text("\n".join(text[: 1 + 480 - 12]))
    (early,) = run.predict(cut)
    opened = run.open_data()
    held = run.held(opened, "test")
    (last,) = held.items([len(held.rows) - 1])
    assert early.as_dict()["times"][0] == last.name
    assert np.array(early.as_dict()["forecast"]) == pytest.approx(last.answer.values, abs=1e-4)


def test_columns_in_another_order_are_the_same_series(run, folder, tmp_path):
    rows = list(csv.reader((folder / "speeds.csv").read_text().splitlines()))
    order = [0, 5, 1, 3, 2, 4]
    turned = tmp_path / "turned.csv"
    turned.write_text("\n".join(",".join(row[k] for k in order) for row in rows))
    one, other = run.predict([folder / "speeds.csv", turned])
    assert one.as_dict()["forecast"] == other.as_dict()["forecast"]
    with_graph = tmp_path / "other"
    with_graph.mkdir()
    turned.rename(with_graph / "speeds.csv")
    (with_graph / "edges.csv").write_text((folder / "edges.csv").read_text())
    scores = [
        run.evaluate(path, leaks="keep").as_dict()["scores"]["mae"] for path in (folder, with_graph)
    ]
    assert scores[1]["value"] is not None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: [row[:5] for row in rows], "it has no series 'e'"),
        (lambda rows: rows[:8], "7 steps, the net reads the last 12"),
        (lambda rows: rows[::2], "its steps are every 2 hours, those of the training every hour"),
        (lambda rows: [["time", *rows[0][1:]], ["2024-03-04 00:30", *rows[1][1:]]], "steps"),
    ],
)
def test_a_file_that_does_not_fit_is_named(run, folder, tmp_path, change, reason):
    rows = list(csv.reader((folder / "speeds.csv").read_text().splitlines()))
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(",".join(row) for row in change(rows)))
    (found,) = run.predict(path)
    assert reason in found.error


def test_steps_beside_those_of_the_training_are_refused(run, folder, tmp_path):
    path = tmp_path / "half.csv"
    path.write_text((folder / "speeds.csv").read_text().replace(":00,", ":30,"))
    (found,) = run.predict(path)
    assert "do not fall on those of the training" in found.error


def test_series_without_times_count_their_steps_and_say_so(tmp_path):
    np.savez(tmp_path / "s.npz", values=np.random.default_rng(0).normal(5, 1, (150, 3)))
    run = striate.train(tmp_path / "s.npz", out=tmp_path, name="run", **SETTINGS)
    (found,) = run.predict(tmp_path / "s.npz")
    assert found.as_dict()["times"][0] == "150"
    assert "counted from the first row" in found.as_dict()["note"]


def test_other_data_are_read_with_the_steps_and_periods_of_the_run(folder, tmp_path):
    settings = {**SETTINGS, "history": 10, "horizon": 4, "period": "day"}
    run = striate.train(folder, out=tmp_path, name="run", **settings)
    assert run.config.preprocessing.periods == ("day",)
    text = (folder / "speeds.csv").read_text().splitlines()
    (tmp_path / "later.csv").write_text("\n".join([text[0], *text[300:400]]))
    scores = run.evaluate(tmp_path / "later.csv", leaks="keep")
    assert scores.items == 100 - 10 - 4 + 1
    (tmp_path / "few.csv").write_text("\n".join(",".join(line.split(",")[:4]) for line in text))
    with pytest.raises(DataError, match=r"few.csv: it has no series 'd'"):
        run.evaluate(tmp_path / "few.csv", leaks="keep")


def test_windows_that_overlap_are_compared_in_blocks(run, folder, tmp_path):
    other = striate.train(folder, out=tmp_path, name="other", **{**SETTINGS, "seed": 1})
    found = {each.score: each for each in striate.compare([run, other], split="test").differences}
    assert set(found) == {"mae", "rmse", "mape"}
    # 73 windows are no 73 items: a difference in blocks of 24 has few signs to change.
    rows = list(
        csv.DictReader(
            (run.path / "evaluations" / f"{folder.name}-test.csv").read_text().splitlines()
        )
    )
    blocks = {row["block"] for row in rows}
    assert (len(rows), len(blocks)) == (73, 4)
    assert np.isnan(found["mae"].difference.p)


def test_a_clock_is_read_back(task):
    kept = json.loads(json.dumps(vars(task.clock)))
    assert Clock.from_dict(kept) == task.clock
    with pytest.raises(ValueError, match="clock"):
        Clock.from_dict({**kept, "step": 0})
