"""Cross-validation: refused before work where it cannot be, pooled over all items, gone on with."""

import csv
import json
import shutil
import signal
import sys

import numpy as np
import pytest

from striate import cli
from striate.errors import DataError, Stopped, UsageError
from striate.text import percent
from striate.training import Progress, read_recipe
from striate.workbench.folds import train_folds

QUICK = {"net": "lenet5", "epochs": 1, "batch": 8, "plan": "default"}


def folded(data, out, count=3, *, name=None, progress=None, **settings):
    recipe = read_recipe("quick", {**QUICK, **settings})
    return train_folds(data, recipe, count, out=out, name=name, progress=progress or Progress())


@pytest.fixture(scope="module")
def found(shapes, tmp_path_factory):
    return folded(shapes, tmp_path_factory.mktemp("runs"), name="f")


def test_one_folder_has_it_all(found, shapes, tmp_path_factory):
    from pathlib import Path

    path = Path(found.path)
    assert path.parts[-2:] == ("folds", "f")
    assert {p.name for p in path.iterdir() if p.name[0] != "."} == {
        "folds.json", "classify", "items.csv", "answers.npz", "summary.json", "report.html",
    }  # fmt: skip
    assert [Path(run).relative_to(path).as_posix() for run in found.runs] == [
        f"classify/{i}of3" for i in (1, 2, 3)
    ]
    with (path / "items.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["file"] for row in rows}) == len(rows) == found.items == 90
    shares = np.array([[float(row[f"p {c}"]) for c in ("bar", "box", "noise")] for row in rows])
    assert np.allclose(shares.sum(1), 1, atol=1e-4)
    for row, share in zip(rows, shares, strict=True):
        assert row["answer"] == ("bar", "box", "noise")[int(share.argmax())]
    right = np.mean([row["truth"] == row["answer"] for row in rows])
    document = json.loads((path / "summary.json").read_text())
    (row,) = document["table"]
    assert row["scores"] == document["pooled"]
    assert row["settings"] == document["best"] == {"folds": "3"}
    pooled = found.as_dict()["pooled"]["accuracy"]
    assert pooled["value"] == pytest.approx(right)
    assert pooled["low"] <= right <= pooled["high"]
    arrays = np.load(path / "answers.npz", allow_pickle=False)
    assert arrays["probs"].shape == (90, 3)
    assert sorted(set(arrays["folds"].tolist())) == [1, 2, 3]
    page = (path / "report.html").read_text()
    assert [f'href="classify/{i}of3/report.html"' in page for i in (1, 2, 3)] == [True] * 3
    assert "of all 90 pictures right" in page
    assert "fold 3" in page
    value = found.as_dict()["pooled"]["accuracy"]["value"]
    assert f"<b>{percent(value)}</b>" in page
    assert "One epoch does not show where the training would end" in page
    assert "--folds 3 epochs=10" in page
    assert "90 validation items." in page  # the confusion matrix is of all of them
    assert f"of {90 - round(90 * value)} wrong answers among 90 held-out pictures" in page


def groups(shapes, root, names):
    """Pictures that belong together by the word before the _."""
    for label, words in names.items():
        (root / label).mkdir(parents=True)
        for k, word in enumerate(words):
            shutil.copy(shapes / label / f"{k:02d}.png", root / label / f"{word}_{k}.png")
    return root


@pytest.mark.parametrize(
    ("names", "count", "message"),
    [
        ({"bar": "ab" * 4, "box": "ab" * 4}, 3, r"fold \d of 3 .*fewer groups"),
        ({"bar": "abcd", "box": "a" * 5 + "b"}, 9, r"fold \d of 9 "),
        ({"bar": "abcdef", "box": "aaaa"}, 2, r"box"),
    ],
)
def test_folds_that_cannot_be_made_are_refused_before_the_first(
    shapes, tmp_path, monkeypatch, names, count, message
):
    monkeypatch.setattr(
        sys.modules["striate.workbench.series"],
        "train_recipe",
        lambda *_a, **_k: pytest.fail("trained"),
    )
    data = groups(shapes, tmp_path / "data", names)
    with pytest.raises(DataError, match=message):
        folded(data, tmp_path / "runs", count, split="name:^[^_]+")
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize("way", ["again", "resume"])
def test_folds_that_were_stopped_are_gone_on_with(shapes, tmp_path, found, capsys, way):
    from pathlib import Path

    seen = []

    def bar(name, done, _total):
        if name == "training":
            seen.append(done)
        if len(seen) == 12:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped):
        folded(shapes, tmp_path, name="f", progress=Progress(bar=bar))
    path = tmp_path / "folds" / "f"
    first = (path / "classify" / "1of3" / "model.safetensors").stat().st_mtime_ns
    if way == "again":
        with pytest.raises(UsageError, match="with other settings: choose another --name"):
            folded(shapes, tmp_path, name="f", epochs=2)
        again = folded(shapes, tmp_path, name="f").as_dict()
    else:
        assert cli.main(["train", "--resume", str(path), "--json"]) == 0
        again = json.loads(capsys.readouterr().out)
    assert (path / "classify" / "1of3" / "model.safetensors").stat().st_mtime_ns == first
    whole = found.as_dict()
    assert again["pooled"] == whole["pooled"]
    assert again["scores"] == whole["scores"]
    for name in ("items.csv", "answers.npz"):
        assert (path / name).read_bytes() == (Path(found.path) / name).read_bytes()
    with pytest.raises(UsageError, match="is there already: choose another --name"):
        folded(shapes, tmp_path, name="f")
