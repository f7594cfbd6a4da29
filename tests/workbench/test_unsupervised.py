"""Nets that learn without labels, taught by the command line: what they say of themselves, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from striate import cli, data
from striate.models.catalog import build
from striate.models.unsupervised import Unsupervised
from striate.training import read_recipe
from striate.workbench import unsupervised
from striate.workbench.nets import find
from striate.workbench.unsupervised import teach
from tasks.conftest import write_classes, write_numbers


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(unsupervised, "MOST", dict.fromkeys(unsupervised.MOST, 200))


@pytest.mark.slow
@pytest.mark.parametrize("net", ["neocognitron", "cdbn"])
def test_the_command_says_what_was_learned(net, few, tmp_path, capsys):
    words = ["train", "digits", "--net", net, "epochs=1", "--out", str(tmp_path), "--json"]
    assert cli.main(words) == 0
    said = json.loads(capsys.readouterr().out)
    path = tmp_path / "unsupervised" / f"digits-{net}"
    assert said["run"] == str(path)
    assert (said["task"], said["net"], said["epochs"]) == ("unsupervised", net, 1)
    assert (path / "report.html").read_text().count("learned without labels") >= 1
    assert json.loads((path / "summary.json").read_text()) == said
    with Image.open(path / "kernels.png") as picture:
        assert picture.size[0] > 20
    tensors = load_file(path / "model.safetensors")
    found = find(str(path))
    assert found.run is None
    assert found.shape == (said["settings"]["in_channels"], *said["settings"]["size"])
    assert all(torch.equal(t, tensors[k]) for k, t in found.net.state_dict().items())
    taught = build(net, init=False) if net == "neocognitron" else build(net, size=64, init=False)
    assert {k: t.shape for k, t in taught.state_dict().items()} == {
        k: t.shape for k, t in tensors.items()
    }
    for layer in said["layers"]:
        assert 0 < layer["learned"] <= layer["planes"]
        assert layer["alike"] < 0.99  # its planes differ
    accuracy = said["scores"]["accuracy"]
    assert accuracy["low"] > 0.2  # ten classes, of which always one would be right in a tenth
    assert set(said["scores_of_pixels"]) == set(said["scores"])


@pytest.mark.parametrize(("name", "layers"), [("neocognitron", 3), ("cdbn", 2)])
def test_how_far_it_is_is_told(name, layers):
    net = build(name, generator=torch.Generator())
    assert isinstance(net, Unsupervised)
    lines = torch.zeros(2, *net.input_shape)
    lines[0, :, 8], lines[1, :, :, 8] = 1, 1
    told: list[tuple[int, int]] = []
    net.fit(
        lines,
        generator=torch.Generator(),
        passes=3,
        progress=lambda done, total: told.append((done, total)),
    )
    total = layers * 3 * len(lines)
    done = [each for each, _ in told]
    assert done == sorted({*done})
    assert told[-1] == (total, total)


@pytest.mark.slow
def test_the_neocognitron_separates_digits_at_16x16_better_than_before_it_learned(few, tmp_path):
    recipe = read_recipe("quick", {"net": "neocognitron", "epochs": 2})
    found = teach("digits", recipe, out=tmp_path)
    blind = build("neocognitron", generator=torch.Generator().manual_seed(0))
    opened = data.open("digits")
    pictures, truth = unsupervised._taken(opened, "train", recipe, (8, 8), unsupervised.Progress())
    held, held_truth = unsupervised._taken(opened, "val", recipe, (8, 8), unsupervised.Progress())
    assert pictures.shape[1:] == (1, 16, 16)
    reading = (opened, "val", truth, held_truth)
    assert isinstance(blind, Unsupervised)
    seen, other = (unsupervised._answers(blind, each) for each in (pictures, held))
    before = unsupervised._read(seen, other, reading)
    assert found.scores.scores["accuracy"].low > before.scores["accuracy"].high


def test_small_pictures_are_laid_on_a_ground_and_light_ones_turned(tmp_path):
    pictures = np.full((8, 6, 6, 1), 255, np.uint8)
    pictures[:, 2:4, 1:5] = 0
    pictures[range(8), 5, 5, 0] = range(240, 248)  # no two are copies
    np.savez(tmp_path / "few.npz", x_train=pictures, y_train=np.arange(8) % 2)
    said = []
    recipe = read_recipe("quick", {"net": "neocognitron"})
    opened = data.open(tmp_path / "few.npz", val=0.25)
    x, _ = unsupervised._taken(
        opened, "train", recipe, (6, 6), unsupervised.Progress(say=said.append)
    )
    assert x.shape[1:] == (1, 16, 16)
    assert float(x[0].sum()) == pytest.approx(8, abs=0.1)  # the dark lines are what is light now
    assert torch.equal(x[0, 0, 7:9, 6:10], torch.ones(2, 4))
    assert any("dark and light are exchanged" in line for line in said)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["lr=0.1"], 2, "lr: neocognitron learns without a loss and has no such setting"),
        (["--folds", "3"], 2, "need a loss"),
        (["size=8"], 2, "its last S-layer needs"),
        (["task=segment"], 3, "digits has nothing for task=segment"),
    ],
)
def test_what_it_cannot_do_is_one_line(words, status, said, tmp_path, capsys):
    words = ["train", "digits", "--net", "neocognitron", *words, "--out", str(tmp_path)]
    assert cli.main(words) == status
    assert said in capsys.readouterr().err
    assert not (tmp_path / "unsupervised").exists()


def test_data_of_other_kinds_are_refused(tmp_path, capsys):
    folder = write_numbers(tmp_path / "data")
    assert cli.main(["train", str(folder), "--net", "cdbn", "--out", str(tmp_path)]) == 3
    assert (
        "holds items with numbers: cdbn learns from pictures with a class each"
        in capsys.readouterr().err
    )
    pictures = ["train", str(folder / "images"), "--net", "cdbn", "--task", "reconstruct"]
    assert cli.main([*pictures, "--out", str(tmp_path)]) == 3
    assert "holds pictures that are given back: cdbn learns" in capsys.readouterr().err


@pytest.fixture
def narrow(tmp_path, few, capsys) -> Path:
    """The folder of a narrow net, taught for a moment."""
    words = ["train", str(write_classes(tmp_path / "data")), "--net", "cdbn", "--out", str(tmp_path), "--name", "one"]  # fmt: skip
    assert cli.main([*words, "width=0.25", "size=40", "epochs=1"]) == 0
    capsys.readouterr()
    return tmp_path / "unsupervised" / "one"


def test_what_learned_without_labels_is_looked_into_and_answers_nothing(narrow, capsys):
    assert cli.main(["see", "kernels", str(narrow), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["net"] == str(narrow)
    assert cli.main(["measure", str(narrow), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == [[1, 40, 40]]
    for verb in (["evaluate"], ["audit"], ["see", "mistakes"], ["compare", str(narrow)]):
        assert cli.main([*verb, str(narrow)]) in (2, 5)
        said = capsys.readouterr().err
        assert (
            f"{narrow} holds a net that learned without labels, which answers nothing: report.html"
            in said
        )
        assert f"striate see kernels {narrow} draws it" in said


def test_a_name_that_is_taken_is_refused_before_the_work(narrow, capsys):
    out = narrow.parent.parent
    words = ["train", str(out / "data"), "--net", "cdbn", "--out", str(out), "--name", narrow.name]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert f"{narrow} is there already: choose another --name" in said
    assert "is shown" not in said


@pytest.mark.parametrize(
    ("summary", "says"),
    [
        ("{", "is no run folder: it holds no config.json"),
        ("[]", "is no run folder: it holds no config.json"),
        ('{"task": "classify", "net": "lenet5"}', "is no run folder: it holds no config.json"),
        ('{"task": "unsupervised", "net": "cdbn"}', "summary.json is damaged"),
        ('{"task": "unsupervised", "net": "cdbn", "settings": {"size": 3}}', "summary.json is damaged"),
        ('{"task": "unsupervised", "net": "nonet", "settings": {"size": [40, 40]}}', "summary.json is damaged"),
        ('{"task": "unsupervised", "net": "cdbn", "settings": {"size": [64, 64]}}', "does not fit the net"),
    ],
)  # fmt: skip
def test_a_damaged_summary_is_one_line(summary, says, tmp_path, capsys):
    (tmp_path / "summary.json").write_text(summary)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert cli.main(["see", "kernels", str(tmp_path)]) in (2, 5)
    assert says in capsys.readouterr().err
