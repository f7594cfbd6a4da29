"""`--sweep`: a training a setting and seed, paired differences, gone on with where it was stopped."""

import json
from pathlib import Path

import numpy as np
import pytest

from striate import cli
from striate.errors import UsageError
from striate.metrics.compare import paired
from striate.runs import Run
from striate.runs.split_answers import read_rows
from striate.training import Progress, Recipe
from striate.workbench import series
from striate.workbench import sweep as sweeps
from striate.workbench.sweep import read_axes, settings_of

WORDS = ["net=lenet5", "epochs=2", "batch=16", "plan=default"]


@pytest.fixture(scope="module")
def swept(shapes, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweeps")
    words = ["train", str(shapes), *WORDS, "--sweep", "lr=0.0000001,0.01", "--seeds", "2"]
    assert cli.main([*words, "--out", str(out), "--name", "s"]) == 0
    return out / "sweep" / "s", words


def test_a_run_a_setting_and_seed(swept):
    path, _ = swept
    summary = json.loads((path / "summary.json").read_text())
    assert [row["settings"] for row in summary["table"]] == [{"lr": "0.0000001"}, {"lr": "0.01"}]
    assert len(summary["runs"]) == 4
    assert [run for row in summary["table"] for run in row["runs"]] == summary["runs"]
    assert (summary["folder"], str(path) in (path / "summary.json").read_text()) == (".", False)
    assert summary["best"] == {"lr": "0.01"}
    assert {Run(path / run).config.task for run in summary["runs"]} == {"classify"}
    page = (path / "report.html").read_text()
    assert "2 settings on shapes" in page
    assert all(f"{run}/report.html" in page for run in summary["runs"])


def test_numbers_are_those_of_the_runs(swept):
    path, _ = swept
    summary = json.loads((path / "summary.json").read_text())
    items = []
    for row in summary["table"]:
        runs = [Run(path / run) for run in row["runs"]]
        values = [run.summary["scores"]["accuracy"]["value"] for run in runs]
        assert row["values"]["accuracy"] == pytest.approx(values)
        assert row["scores"]["accuracy"]["value"] == pytest.approx(np.mean(values))
        rows = [each for run in runs for each in read_rows(run.path / "items.csv")]
        items.append(np.array([float(each["accuracy"]) for each in rows]))
    wanted = paired(*items)
    assert summary["table"][1]["difference"]["value"] == pytest.approx(wanted.value)
    assert summary["table"][1]["difference"]["p"] == pytest.approx(wanted.p)


def test_seeds_hold_out_the_same_items_in_all_settings(swept):
    path, _ = swept
    table = json.loads((path / "summary.json").read_text())["table"]
    files = [
        [[row["file"] for row in read_rows(path / run / "items.csv")] for run in row["runs"]]
        for row in table
    ]
    assert files[0] == files[1]
    assert files[0][0] != files[0][1], "another seed holds out others"


def test_it_goes_on_where_it_was_stopped(swept, tmp_path, monkeypatch, shapes):
    """The second of four trainings fails; called again the first is taken over."""
    trained = []
    real = series.train_recipe

    def stopping(data, recipe, **settings):
        trained.append(settings["name"])
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(data, recipe, **settings)

    monkeypatch.setattr(series, "train_recipe", stopping)
    words = [*swept[1], "--out", str(tmp_path), "--name", "t"]
    assert cli.main(words) == 130
    assert not (tmp_path / "sweep" / "t" / "summary.json").exists()
    assert cli.main(words) == 0
    assert len(trained) == len(set(trained)) + 1 == 5


@pytest.mark.parametrize(
    ("score", "values", "ends"),
    [
        ("accuracy", (0.999, 0.99, 0.95), (0.0, 1.0)),
        ("miou", (0.001, 0.01, 0.06), (0.0, 1.0)),
        ("accuracy", (1.0, 1.0, 1.0), None),
        ("mape", (0.5, 1.4, 1.2), (-np.inf, np.inf)),  # may be more than 100 %
        ("psnr", (20.0, 24.0, 22.0), (-np.inf, np.inf)),
    ],
)
def test_an_interval_over_seeds_stays_within_what_a_score_can_be(score, values, ends):
    found = sweeps.Setting({}, (), {score: values}, np.zeros(0)).interval(score)
    assert found.value == pytest.approx(np.mean(values))
    assert found.known == (ends is not None)
    if ends is not None:
        assert ends[0] < found.low < found.value < found.high < ends[1]


def test_axes():
    assert read_axes(["a=1,2", "b=x"]) == {"a": ["1", "2"], "b": ["x"]}
    assert settings_of({"a": ["1", "2"], "b": ["x", "y"]}) == [
        {"a": a, "b": b} for a in "12" for b in "xy"
    ]


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ([{"lr": "0.01", "lrn": "true"}, {"lr": "0.1", "lrn": "true"}], True),
        ([{"augment": "flip+scale"}, {"augment": "flip scale"}, {"augment": "flip_scale"}], False),
        ([{"net": "x" * 120, "lr": "0.1"}, {"net": "x" * 120, "lr": "0.2"}], False),
    ],
    ids=["short", "changed", "cut"],
)
def test_no_two_trainings_share_a_folder(settings, kept, monkeypatch, tmp_path):
    """A finished run would be taken for that of another seed or setting."""
    names: list[str] = []

    def one(path, data, recipe, name, progress):
        names.append(name)
        if recipe.seed == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweeps.series, "one", one)
    for each in settings:
        words = "\n".join(f"{key}={value}" for key, value in each.items())
        with pytest.raises(KeyboardInterrupt):
            sweeps._setting(tmp_path, "d", words, Recipe(), 2, Progress(say=lambda _words: None))
    assert len(set(names)) == 2 * len(settings)
    assert all(len(name) <= 100 for name in names)
    plain = ["-".join(f"{k}-{v}" for k, v in each.items()) for each in settings]
    assert (names[::2] == [f"{name}-s0" for name in plain]) is kept


@pytest.mark.parametrize("word", ["lr", "lr=", "=1", "lr=1,1", "seed=1,2"])
def test_wrong_axes(word):
    with pytest.raises(UsageError, match="sweep"):
        read_axes([word])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--sweep", "lrr=1,2"], "lrr"),
        (["--sweep", "lr=1,much"], "much"),
        (["--sweep", "epochs=1,2"], "given twice"),
        (["--sweep", "lr=1,2", "--sweep", "lr=3"], "twice"),
        (["--seeds", "3"], "--sweep"),
        (["--sweep", "lr=0.1,0.2", "--seeds", "0"], "expected at least 1"),
        (["--sweep", "lr=0.1,0.2", "--seeds", "101"], "more than 200"),
        (["--sweep", "lr=0.1,0.2", "--folds", "3"], "name one"),
    ],
)
def test_wrong_words(words, says, shapes, tmp_path, capsys):
    assert cli.main(["train", str(shapes), *WORDS, *words, "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert len(err.splitlines()) == 1
    assert not list(Path(tmp_path).rglob("*.json"))


def test_resume_says_how(swept, capsys):
    assert cli.main(["train", "--resume", str(swept[0])]) == 2
    assert "once more" in capsys.readouterr().err
