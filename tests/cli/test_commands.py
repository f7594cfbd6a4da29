"""Every verb as a command: what it prints, its JSON, its exit status."""

import importlib.abc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import striate
from striate import cli
from striate.cli import settings
from striate.errors import DataError, RecipeError, nearest
from striate.models.catalog import CATALOG
from striate.runs import Run
from striate.tasks.classify import Classify
from striate.training import Recipe

INTERVAL = {"value", "low", "high"}


@pytest.fixture
def status(capsys):
    """Run a command: its exit status, standard output and standard error."""

    def run(*words):
        code = cli.main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    """A run folder, trained by the command."""
    out = tmp_path_factory.mktemp("runs")
    words = [
        str(shapes),
        "--net",
        "lenet5",
        "epochs=4",
        "--batch",
        "8",
        "--out",
        str(out),
        "--name",
        "a",
    ]
    assert cli.main(["train", *words]) == 0
    return out / "classify" / "a"


def test_train_prints_json_alone(status, shapes, tmp_path):
    code, out, err = status("train", shapes, "net=linear", "epochs=1", "--out", tmp_path, "--json")
    document = json.loads(out)
    assert code == 0
    assert set(document) >= {"run", "task", "net", "epochs", "seconds", "scores"}
    assert set(document["scores"]) == {
        "accuracy",
        "balanced_accuracy",
        "f1",
        "auroc",
        "ece",
        "loss",
    }
    assert all(set(score) == INTERVAL for score in document["scores"].values())
    assert "epoch 1/1" in err
    assert ", 1 epoch in " in Run.load(tmp_path / "classify" / "shapes-linear").as_text()
    assert "report: " in err


def test_evaluate(status, run, shapes):
    code, out, _ = status("evaluate", run, "--json")
    document = json.loads(out)
    assert code == 0
    assert set(document) >= {"run", "data", "items", "scores", "per_class"}
    assert set(document["per_class"][0]) >= {"label", "support"}
    assert status("evaluate", run)[1].startswith("18 items of ")
    code, _, err = status("evaluate", run, "--split", "tset")
    assert (code, err) == (2, f"striate: split=tset: {shapes} has train, val\n")


def test_predict(status, run, shapes, tmp_path):
    file = shapes / "box" / "00.png"
    code, out, _ = status("predict", run, file, file, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, len(lines)) == (0, 2)
    assert set(lines[0]) == {"file", "label", "confidence", "top"}
    code, out, _ = status("predict", run, file)
    assert re.fullmatch(r"\S+00\.png: box \d+\.\d+ % \(.*\)\n", out), out  # no escaped blanks
    (tmp_path / "bad.jpg").write_text("<html>")
    code, out, err = status("predict", run, file, tmp_path / "bad.jpg", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, set(lines[1])) == (3, {"file", "error"})
    assert err == "striate: 1 of the files could not be read; each says why in its line\n"


@pytest.mark.parametrize("broken", [("a.txt", "b.txt"), ("a.txt", "z.txt", "zz.txt")])
def test_each_file_that_is_no_picture_is_named(status, run, shapes, tmp_path, broken):
    shutil.copy(shapes / "box" / "00.png", tmp_path / "m.png")
    for name in broken:
        (tmp_path / name).write_text("no picture")
    code, out, _ = status("predict", run, tmp_path, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    names = sorted([*broken, "m.png"])
    assert (code, [Path(line["file"]).name for line in lines]) == (3, names)
    assert ["error" in line for line in lines] == [name != "m.png" for name in names]


def test_settings_of_every_command_go_without_dashes(status):
    plain = status("data", "digits", "val=0.5", "--json")
    assert plain[0] == 0
    assert plain == status("data", "digits", "--val", "0.5", "--json")
    assert status("data", "digits", "vax=0.5")[0] == 2


def test_a_predicted_line_has_as_many_labels_as_were_asked_for():
    top = [["cat", 0.5], ["dog", 0.2], ["cow", 0.1], ["hen", 0.1], ["pig", 0.1]]
    task = Classify(("cat", "dog", "cow", "hen", "pig"))
    answer = {"label": "cat", "confidence": 0.5, "top": top}
    assert (
        task.line(answer)
        == "cat 50.0\xa0% (dog 20.0\xa0%, cow 10.0\xa0%, hen 10.0\xa0%, pig 10.0\xa0%)"
    )


def test_nets(status):
    code, out, _ = status("nets", "--json")
    rows = json.loads(out)
    assert code == 0
    assert {row["name"] for row in rows} >= {"linear", "mlp", "lenet5", "resnet18"}
    keys = {"name", "family", "year", "paper", "tasks", "input", "params", "params_train", "macs"}
    assert set(rows[0]) >= keys | {"published"}
    assert "resnet18" in status("nets", "res*")[1]


def test_measure(status, run):
    code, out, _ = status("measure", "lenet5", "--json")
    sheet = json.loads(out)
    assert code == 0
    assert set(sheet) >= {"net", "inputs", "layers", "totals", "counts", "field", "findings"}
    assert (sheet["totals"]["params"], sheet["totals"]["macs"]) == (61_706, 416_520)
    assert len(json.loads(status("measure", "lenet5", "mlp", "--json")[1])) == 2
    assert json.loads(status("measure", run, "--json")[1])["totals"]["params"] == 61_111
    assert json.loads(status("measure", "lenet5", "--input", "3x32x32", "--json")[1])["inputs"] == [
        [3, 32, 32]
    ]
    code, _, err = status("measure", "lenet6")
    assert code == 2
    assert err == (
        f"striate: no net is called 'lenet6'; {nearest('lenet6', CATALOG)}; "
        "or name a run folder, package.module:factory, timm/NAME or torchvision/NAME\n"
    )
    assert status("measure", "lenet5", "--input", "big")[0] == 2


def test_see_arithmetic(status, run, shapes, tmp_path, monkeypatch):
    file, page = shapes / "box" / "00.png", tmp_path / "number.html"
    words = ("see", "arithmetic", run, file, "--layer", "conv2", "--at", "3,2,1")
    code, out, err = status(*words, "--json", "--out", page)
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["layer"], told["op"], told["at"], told["within"]) == (
        "conv2", "conv2d", [3, 2, 1], True,
    )  # fmt: skip
    assert len(told["terms"]) == 150
    assert page.read_text().count("<table>") == 9
    assert "within the rounding bound" in status(*words)[1]
    walk = json.loads(status(*words, "--walk", "--json")[1])
    assert [step["layer"] for step in walk["steps"]] == ["conv2", "act1", "pool1", "conv1"]
    assert walk["end"].startswith("input 0,")
    chosen = json.loads(status(*words, "--terms", "7", "--json")[1])["steps"]
    assert chosen[1]["value"] == told["terms"][7]["input"]
    # A net of the catalogue has its first weights, the same every time.
    plain = ("see", "arithmetic", "lenet5", file, "--layer", "fc3", "--at", "0")
    assert status(*plain)[1] == status(*plain)[1]
    assert status("see", "arithmetic", "tdnn", file, "--layer", "", "--at", "0")[0] == 2
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plainnets.py").write_text(
        "from torch import nn\ndef flat(): return nn.Flatten()\n"
    )
    code, _, err = status(*words[:2], "plainnets:flat", *words[3:])
    asked = "how large is its input? Add --input such as 3x224x224"
    assert (code, err) == (2, f"striate: plainnets:flat: {asked}\n")
    code, _, err = status(*words[:-1], "3;2")
    assert (code, err) == (2, "striate: --at 3;2: expected whole numbers such as 5,0,12\n")
    assert (
        "did you mean conv2?"
        in status("see", "arithmetic", run, file, "--layer", "conv3", "--at", "1")[2]
    )


def test_resume_with_settings_says_how_they_may_change(status, tmp_path):
    code, _, err = status("train", "--resume", tmp_path / "run", "epochs=9")
    assert code == 2
    assert f"write it into {tmp_path}/run/args.yaml and allow it with --allow-change FIELD" in err
    assert "epochs, lr, patience" in err


NETS = """
import torch
from torch import nn
raise RuntimeError("imported")
class Block(nn.Module):
    def __init__(self, width): ...
class Small(nn.Module):
    def __init__(self, classes=3): ...
class Smaller(Small):
    pass
def make():
    return Small()
def other(width): return Small(width)
def helper() -> int: return 1
def typed() -> nn.Module: ...
"""


@pytest.mark.parametrize(
    "words", [["measure", "mynets"], ["measure", "mynets:"], ["train", "digits", "net=mynets"]]
)
def test_a_module_without_a_factory_is_answered_with_what_it_holds(
    status, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mynets.py").write_text(NETS)
    code, _, err = status(*words)
    assert code == 2
    assert (
        "is a module (mynets.py): name what makes the net in it too: mynets:Small, mynets:Smaller, mynets:make, mynets:typed"
        in err
    )
    assert err.count("\n") == 1


def test_see_convolution_of_own_numbers(status, tmp_path):
    table = tmp_path / "x.csv"
    table.write_text("1,2,3\n4,5,6\n7,8,9\n\n0,0,0\n0,1,0\n0,0,0\n")
    np.save(tmp_path / "x.npy", np.arange(1.0, 10).reshape(3, 3))

    def output(*words):
        code, out, err = status("see", "convolution", *words, "--json")
        assert code == 0, err
        found = json.loads(out)
        return found["output"], [step["value"] for step in found["steps"]]

    assert output("--values", "1 2 3; 4 5 6; 7 8 9", "--weights", "1 1; 1 1") == (
        [1, 2, 2],
        [12, 16, 24, 28],
    )
    assert output("--values", tmp_path / "x.npy", "--weights", "1 0; 0 -1") == ([1, 2, 2], [-4] * 4)
    turned = ["--values", "1 2 3; 4 5 6; 7 8 9", "--weights", "1 0; 0 -1", "--turned"]
    assert output(*turned) == ([1, 2, 2], [4] * 4)
    assert output("--values", table, "--weights", "1 1; 1 1|1 0; 0 0") == (
        [1, 2, 2],
        [12, 16, 24, 29],
    )
    assert output("--values", table, "--pool", "max", "--kernel", "2") == (
        [2, 2, 2],
        [5, 6, 8, 9, 1, 1, 1, 1],
    )
    assert output("--values", "1 2 3 4", "--weights", "1 0 -1", "--stride", "1", "--pad", "1") == (
        [1, 1, 4], [-2, -2, -2, 3],
    )  # fmt: skip
    assert (
        output("--values", "1 2; 3 4", "--pad", "1", "--fill", "-1", "--pool", "max")[1] == [4] * 4
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--values", "1 2; 3"], "--values 1 2; 3: expected rows of as many numbers, such as '1 2 3; 4 5 6'"),
        (["--values", "1 a"], "(could not convert string to float: 'a')"),
        (["--values", "1 nan"], "expected finite numbers in planes"),
        (["--values", "1 2", "--input", "5x5"], "--input and --values both say the input"),
        (["--weights", "1 2", "--pool", "max"], "--weights: a pooling has none"),
        (["--input", "2x5x5", "--weights", "1 2"], "--weights: 1 planes do not fit 2 input channels and groups=1"),
        (["--fill", "mirror", "--pad", "1"], "fill='mirror': unknown; there are: "),
    ],
)  # fmt: skip
def test_numbers_for_the_stepper_that_do_not_fit_are_one_line(status, words, said):
    code, _, err = status("see", "convolution", *words)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_see_convolution(status, tmp_path):
    page, gif, drawing = (tmp_path / f"steps.{ending}" for ending in ("html", "gif", "svg"))
    words = [
        "see",
        "convolution",
        "--input",
        "5x5",
        "--kernel",
        "3x3",
        "--stride",
        "2",
        "--pad",
        "1",
    ]
    code, out, err = status(*words, "--out", page, "--out", gif, "--out", drawing, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["output"] == [1, 3, 3]
    assert len(document["steps"]) == 9
    assert all(file.stat().st_size > 5000 for file in (page, gif, drawing))
    for more, output in [
        (["--transposed", "--output-pad", "1"], [1, 10, 10]),
        (["--pool", "max"], [1, 3, 3]),
        (["--dilation", "2x1", "--fill", "reflect"], [1, 2, 3]),
        (["--groups", "2"], [2, 3, 3]),
        (["--like", "resnet18:conv1"], [1, 3, 3]),
    ]:
        assert json.loads(status(*words, *more, "--json")[1])["output"] == output
    for more, centre in [
        (["--backward"], 1.0),
        (["--error", "0,0,0"], 0.0),
        (["--error", "0 0 0; 0 2 0; 0 0 0"], 2.0),
    ]:
        found = json.loads(status(*words, "--weights", "0 0 0; 0 1 0; 0 0 0", *more, "--json")[1])
        assert found["input_error"][0][2][2] == centre
    said = "convolution, input 1x5x5, kernel 3x3, stride 2x2, padding 1x1\n"
    assert status(*words)[1].startswith(f"{said}\noutput ")
    assert status(*words, "--out", drawing)[1] == said
    for more, message in [
        (["--transposed", "--pool", "max"], "--transposed and --pool are two operations: name one"),
        (["--like", "conv1"], "--like conv1: expected NET:LAYER, such as resnet18:conv1"),
        (
            ["--like", "lenet5:conv9"],
            "--like lenet5:conv9: lenet5 has no layer 'conv9'; did you mean conv",
        ),
        (
            ["--like", "lenet5:nolayer"],
            "--like lenet5:nolayer: lenet5 has no layer 'nolayer'; there are: act1, ",
        ),
        (["--stride", "0"], "--stride 0: expected sizes such as 2 or 2x1"),
        (["--out", "a.png"], "a.png: cannot write '.png'; end it in .svg, .gif or .html"),
    ]:
        code, _, err = status(*words, *more)
        assert code == 2
        assert err.startswith(f"striate: {message}")


def test_a_picture_is_written_as_its_name_says_or_not_at_all(status, run, shapes, tmp_path):
    number = ("arithmetic", run, shapes / "box" / "00.png", "--layer", "conv1", "--at", "0,0,0")
    for words, ending in [
        (number, ".html"),
        (("convolution",), ".svg"),
        (("convolution",), ".gif"),
        (("convolution", "--backward"), ".html"),
        (("architecture", "lenet5"), ".svg"),
        (("architecture", "lenet5"), ".png"),
        (("history", "cost"), ".html"),
    ]:
        code, out, err = status("see", *words, "--out", f"/proc/nowhere{ending}")
        assert (code, out) == (2, "")
        assert err.startswith(f"striate: --out /proc/nowhere{ending}: cannot be written (")
        assert err.endswith("); name another --out\n")
        code, out, err = status("see", *words, "--out", tmp_path / "a.docx")
        assert (code, out) == (2, "")
        assert err.startswith(f"striate: {tmp_path}/a.docx: cannot write '.docx'; end it in .")
    assert not list(tmp_path.iterdir())
    assert status("see", "architecture", "lenet5", "--out", tmp_path / "a.SVG")[0] == 0
    assert (tmp_path / "a.SVG").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (("see", "style", "none.png", "none.png", "--weights", "random", "--out"), ".png"),
        (("see", "architecture", "nonet", "--out"), ".svg"),
        (("audit", "norun", "--html"), ".html"),
        (("compare", "norun", "norun", "--html"), ".html"),
        (("data", "nodata", "--html"), ".html"),
    ],
)
def test_a_place_where_no_file_can_lie_is_refused_before_any_work(
    status, words, ending, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"folder{ending}").mkdir()
    for place, reason in [
        (f"none/a{ending}", "there is no folder none"),
        (f"folder{ending}", "it is a folder"),
    ]:
        code, out, err = status(*words, place)
        option = words[-1]
        assert (code, out) == (2, "")
        assert (
            err
            == f"striate: {option} {place}: cannot be written ({reason}); name another {option}\n"
        )


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (("predict", "RUN", "DATA", "--format", "csv", "--out"), "/predictions.csv"),
        (("audit", "RUN", "--only", "leaks", "--html"), ".html"),
        (("compare", "RUN", "RUN", "--html"), ".html"),
        (("data", "DATA", "--html"), ".html"),
        (("see", "kernels", "RUN", "--out"), ".html"),
        (("see", "kernels", "RUN", "--out"), ".png"),
        (("see", "convolution", "--out"), ".svg"),
        (("see", "convolution", "--out"), ".gif"),
        (("see", "architecture", "RUN", "--out"), ".html"),
        (("see", "history", "cost", "--out"), ".png"),
    ],
)
def test_a_full_disk_is_one_line_that_names_the_option(
    status, run, shapes, tmp_path, words, ending
):
    given = {"RUN": run, "DATA": shapes}
    full = tmp_path / f"full{ending}"
    full.parent.mkdir(exist_ok=True)
    full.symlink_to("/dev/full")
    place = full if ending[0] == "." else full.parent
    code, _, err = status(*(given.get(word, word) for word in words), place)
    assert code == 2
    assert err.splitlines()[-1].startswith(
        f"striate: {words[-1]} {place}: cannot be written (No space left on device); "
    )
    assert "Traceback" not in err


def test_measure_in_every_form(status):
    assert json.loads(status("measure", "lenet5", "--format", "json")[1])["net"] == "lenet5"
    lines = status("measure", "lenet5", "--format", "csv")[1].splitlines()
    assert lines[0].startswith("path,op,output,params,trainable,frozen,connections,macs,bytes")
    assert lines[1].startswith("conv1,conv2d,6x28x28,156,156,0,")
    page = status("measure", "lenet5", "mlp", "--format", "html")[1]
    assert page.startswith("<!doctype html>")
    assert page.count("<h2>") == 3  # side by side, and each
    code, _, err = status("measure", "lenet5", "mlp", "--format", "csv")
    assert (code, err) == (2, "striate: --format csv is the sheet of one net; got 2\n")
    code, out, err = status("measure", "lenet5", "--format", "html", "--json")
    assert (code, out) == (2, "")
    assert err == "striate: --json and --format html are two forms: name one\n"
    assert json.loads(status("measure", "lenet5", "--format", "json", "--json")[1])


def test_measure_side_by_side_at_sizes_and_fully_connected(status):
    assert "ratio" in status("measure", "lenet5", "mlp")[1].splitlines()[0]
    sheets = json.loads(status("measure", "resnet18", "--at", "64,3x96x64", "--json")[1])
    assert [sheet["inputs"] for sheet in sheets] == [[[3, 64, 64]], [[3, 96, 64]]]
    assert sheets[1]["totals"]["macs"] > sheets[0]["totals"]["macs"]
    mlp = json.loads(status("measure", "lenet5", "--to-mlp", "--json")[1])
    # conv1: 784 pixels and a bias into 4,704 units.
    assert mlp["layers"][0]["dense"] == 785 * 4704
    code, _, err = status("measure", "lenet5", "mlp", "--at", "28")
    assert (code, err) == (2, "striate: --at measures one NET at several inputs; got 2 nets\n")


def test_measure_the_cost_of_training(status):
    words = ("measure", "lenet5", "--training", "--batch", "2", "--optimizer", "adamw")
    training = json.loads(status(*words, "--memory", "--json")[1])["training"]
    assert training["macs"]["forward"] == 2 * 416_520
    assert training["bytes"]["saved"] == training["bytes"]["measured"]
    assert [row["width"] for row in training["forecast"]] == [1.0, 0.5]
    assert "kept for the backward pass" in status(*words)[1]
    assert "training" not in json.loads(status("measure", "lenet5", "--json")[1])


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
@pytest.mark.parametrize("asked", ["--memory", "--time", "--training"])
def test_training_is_measured_on_a_device_that_is_here(status, device, asked):
    code, out, err = status("measure", "lenet5", "--training", asked, "--device", device)
    assert (code, out) == (2, "")
    assert err.startswith(f"striate: device={device} is not on this machine; ")


def test_measure_takes_a_net_of_the_user(status, tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text(
        "from torch import nn\n"
        "def small(): return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 2))\n"
        "def odd(): return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    sheet = json.loads(status("measure", "mynets:small", "--input", "3x8x8", "--json")[1])
    assert sheet["totals"]["params"] == 224 + 578
    code, _, err = status("measure", "mynets:small")
    assert (code, err) == (
        2, "striate: mynets:small: how large is its input? Add --input such as 3x224x224\n"
    )  # fmt: skip
    assert (
        status("measure", "mynets:odd")[2]
        == "striate: mynets:odd gives int, expected a torch.nn.Module\n"
    )
    assert "expected package.module:factory" in status("measure", "mynets:none")[2]


def test_measure_takes_an_input_as_often_as_the_net_has_one(status, tmp_path, monkeypatch):
    (tmp_path / "pairnets.py").write_text(
        "from torch import nn\nclass Two(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(4, 2)\n"
        "    def forward(self, a, b):\n        return self.fc(a) + b\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ("measure", "pairnets:Two", "--input", "4", "--input", "2")
    sheet = json.loads(status(*words, "--json")[1])
    assert (sheet["inputs"], sheet["totals"]["macs"]) == ([[4], [2]], 8)
    training = json.loads(status(*words, "--training", "--batch", "3", "--json")[1])["training"]
    assert training["macs"]["forward"] == 3 * 8
    code, _, err = status("measure", "lenet5", "--input", "1x28x28", "--input", "1x28x28")
    assert (code, err) == (2, "striate: lenet5 reads one input; got --input 2 times\n")
    code, _, err = status(*words, "--at", "4")
    assert (code, err) == (
        2, "striate: --at measures a net of one input at several sizes: give --input once\n"
    )  # fmt: skip


def test_data_are_packed_into_shards_and_are_data_again(status, shapes, tmp_path):
    out = tmp_path / "packed"
    code, said, _ = status("data", shapes, "--shards", out, "--shard-size", "20K", "--json")
    document = json.loads(said)
    assert code == 0
    assert document["splits"] == {"all": 90}
    assert len(document["shards"]) > 3
    again = json.loads(status("data", out, "--json")[1])
    assert (again["items"], again["fingerprint"]) == (90, document["fingerprint"])
    assert status("data", shapes, "--shards", out)[0] == 3
    code, _, error = status("data", shapes, "--shards", out, "--shard-size", "big")
    assert code == 2
    assert "expected bytes such as 256M" in error


def test_data_and_doctor(status, shapes):
    document = json.loads(status("data", shapes, "--json")[1])
    assert set(document) >= {
        "path", "task", "layout", "items", "splits", "classes", "sizes", "problems", "ignored",
        "duplicates", "fingerprint",
    }  # fmt: skip
    assert (document["items"], document["splits"]) == (90, {"train": 72, "val": 18})
    doctor = json.loads(status("doctor", "--json")[1])
    assert set(doctor) == {"python", "torch", "device", "threads", "bf16", "extras", "warnings"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["trian"], 2, "No such command 'trian'. Did you mean 'train'?"),
        (["train"], 2, "striate train takes one DATA, got none"),
        (["train", "a", "b"], 2, "striate train takes one DATA, got a b"),
        (["train", "digits", "epochs"], 2, "striate train takes one DATA, got digits epochs"),
        (["train", "digits", "epochs=x"], 2, "epochs=x: expected a whole number such as epochs=10"),
        (["train", "nowhere"], 3, "there is no nowhere; "),
        (
            ["train", "digits", "--net", "lenet"],
            2,
            "no net is called 'lenet'; did you mean lenet",
        ),
        (["train", "digits", "device=cuda:9"], 2, "device=cuda:9 is not on this machine; "),
        (["train", "digits", "plan=fast"], 2, "plan=fast: 'fast' is no part of a plan; "),
        (["train", "digits", "net=lenet5", "size=40"], 2, "lenet5: fc1 needs maps of 5x5, "),
        (
            ["train", "--resume", "nowhere"],
            5,
            "nowhere is no run folder; `striate train` makes one",
        ),
        (["train", "x", "--resume", "nowhere"], 2, "--resume goes on with the run's own data"),
        (["evaluate", "nowhere"], 5, "nowhere is no run folder; `striate train` makes one"),
        (["measure", "mlp", "--input", "999999x9999x9999"], 4, "out of memory: a smaller batch=, "),
        (["train", "digits", "--out", "/dev/null"], 2, "--out /dev/null: "),
        (["predict", "nowhere"], 2, "Missing argument 'FILES...'."),
    ],
)
def test_mistakes_are_one_line(status, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    found, out, err = status(*words)
    assert (found, out) == (code, "")
    assert err.startswith(f"striate: {message}")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_run_in_the_place_of_a_net_is_told_how_it_is_trained_further(status, run):
    code, _, err = status("train", "digits", "--net", run)
    assert code == 2
    assert err == (
        f"striate: net={run}: this is a run folder; weights={run} trains its net further, from its weights\n"
    )


def test_show_lists_every_setting(status):
    code, out, _ = status("train", "--show", "epochs=3")
    assert code == 0
    assert "epochs: 3" in out
    assert "# passes over the data" in out
    code, out, err = status("train", "--show", "epochs=3", "freeze=a,b", "--json")
    assert (code, err) == (0, "")
    settings = json.loads(out)
    assert (settings["epochs"], settings["freeze"]) == (3, ["a", "b"])
    assert set(settings) == set(Recipe.model_fields)


@pytest.mark.parametrize(
    "words",
    [("see", "kernels", "lenet5"), ("see", "templates", "lenet5", "--json"), ("data", "digits")],
)
def test_quiet_leaves_the_result_alone(words, capsys):
    status = cli.main([*words])
    loud = capsys.readouterr()
    assert cli.main([*words, "--quiet"]) == status == 0
    quiet = capsys.readouterr()
    assert quiet.err == ""
    assert len(quiet.out) == len(loud.out) > 100
    assert loud.err or words[0] == "data", "there is something to leave out"


def test_quiet_holds_for_processes_that_are_started(capfd):
    """As those of several devices are; afterwards standard error is what it was."""
    noisy = [sys.executable, "-c", "import sys; print('progress', file=sys.stderr)"]
    with cli._silence():
        subprocess.run(noisy, check=True)
    assert capfd.readouterr().err == ""
    subprocess.run(noisy, check=True)
    assert capfd.readouterr().err == "progress\n"


def test_quiet_keeps_errors(capsys):
    assert cli.main(["--quiet", "see", "kernels", "lenet"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("striate: no net is called 'lenet'")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_quiet_trainings_say_what_they_made(tmp_path, capsys):
    words = ["train", "digits", "epochs=1", f"out={tmp_path}", "--net", "lenet5"]
    assert cli.main([*words, "plan=default", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "accuracy" in said.out


def test_debug_shows_the_traceback():
    with pytest.raises(Exception, match="there is no nowhere"):
        cli.main(["train", "nowhere", "--debug"])


STRIATE = (sys.executable, "-m", "striate")


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--help"], ["nets"], ["nets", "--json"], ["train", "--show"]])
def test_a_reader_that_has_gone_is_the_status_of_its_signal(words):
    reader, writer = os.pipe()
    os.close(reader)
    command = [*STRIATE, *words]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize("words", [["nets"], ["nets", "--json"]])
def test_a_full_disk_under_standard_output_is_one_line(words):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*STRIATE, *words], stdout=full, stderr=subprocess.PIPE, check=False)
    said = b"standard output cannot be written (No space left on device); send it elsewhere"
    assert (done.returncode, done.stderr) == (2, b"striate: " + said + b"\n")


@pytest.mark.parametrize("module", ["striate.cli.app", "striate.cli.settings", "striate.models"])
def test_ctrl_c_while_it_still_imports_is_one_line(monkeypatch, capsys, module):
    class Interrupted(importlib.abc.MetaPathFinder):
        def find_spec(self, fullname, *_):
            if fullname == module:
                raise KeyboardInterrupt

    for name in [name for name in sys.modules if name.startswith((module, "striate.cli.app"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert cli.main(["nets"]) == 130
    assert capsys.readouterr() == ("", "striate: stopped\n")


def test_ctrl_c_ends_the_import_of_a_library_that_would_swallow_it(tmp_path):
    (tmp_path / "torch.py").write_text(
        "import signal\ntry: signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt: pass\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [*STRIATE, "measure", "lenet5"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "striate: stopped\n")


def test_a_message_cannot_fake_a_line():
    assert settings.one_line("a\nstriate: b\x1b[31m\r") == "a striate: b\\x1b[31m\\r"


def test_what_a_users_net_prints_stays_out_of_the_json(status, tmp_path, monkeypatch):
    (tmp_path / "noisynets.py").write_text(
        "from torch import nn\ndef noisy():\n    print('hello')\n    return nn.Linear(4, 2)\n"
        "def broken(): raise TypeError('no')\n"
    )
    monkeypatch.chdir(tmp_path)
    code, out, err = status("measure", "noisynets:noisy", "--input", "4", "--json")
    assert (code, json.loads(out)["totals"]["params"]) == (0, 10)
    assert "hello" in err
    told = status("measure", "noisynets:broken", "--input", "4")[2]
    assert told.startswith(
        "striate: noisynets:broken: TypeError: no; expected package.module:factory"
    )
    assert told.endswith("; --debug shows where\n")


def test_a_folder_without_files_is_no_answer(status, run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, err = status("predict", run, tmp_path / "empty")
    assert (code, out, err) == (3, "", f"striate: there is no file in {tmp_path}/empty\n")


def test_recipe_and_out_are_settings_too(status, shapes, tmp_path):
    (tmp_path / "mine.yaml").write_text("epochs: 1\nnet: linear\n")
    words = [f"recipe={tmp_path}/mine.yaml", f"out={tmp_path}/o", "name=n"]
    assert status("train", shapes, *words)[0] == 0
    assert (tmp_path / "o" / "classify" / "n" / "report.html").exists()


def test_the_help_promises_no_verb_that_is_not_there(status):
    said = status("--help")[1]
    assert "train, measure and see inside" in said
    assert not re.search(r"\b(ship|export|serve)\b", said)
    assert "--debug" in said


def test_finetune_wants_weights_before_any_data_are_read(status, tmp_path):
    words = ["--recipe", "finetune", "--out", tmp_path]
    code, _, err = status("train", tmp_path / "nowhere", *words)
    assert (code, err) == (
        2,
        (
            "striate: recipe=finetune needs weights=: published, a run folder, a file or a published name; without "
            "them it would train the head on layers that have learnt nothing\n"
        ),
    )
    assert status("train", *words, "--show")[0] == 0
    assert status("train", tmp_path / "nowhere", *words, "weights=w.pth")[0] == 3
    with pytest.raises(RecipeError, match="finetune needs weights="):
        striate.train(tmp_path, "lenet5", recipe="finetune")
    with pytest.raises(DataError):  # a net of the user's own may have learnt already
        striate.train(tmp_path / "nowhere", nn.Linear(2, 2), recipe="finetune")


@pytest.mark.slow
def test_the_demo_reads_digits_well(status, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = status("demo")
    assert code == 0
    share, items = re.search(r"([\d.]+) % of (\d+) held-out digits are right", out).groups()  # pyright: ignore[reportOptionalMemberAccess]
    assert float(share) >= 98.0
    assert "the kept epoch was chosen by these same items, which flatters the figure" in out
    assert int(items) >= 300
    assert f"open file://{tmp_path}/runs/classify/digits-lenet5/report.html" in out
    assert (tmp_path / "runs" / "classify" / "digits-lenet5" / "report.html").exists()
    assert len(re.findall(r"read +\d \d+\.\d+ %", out)) == 5
    assert "epoch 20/20" in err


@pytest.mark.full
@pytest.mark.slow
def test_mnist_is_learnt_by_default(status, shared, tmp_path):
    code, out, _ = status(
        "train", shared / "data" / "mnist", "net=lenet5", "--out", tmp_path, "--json"
    )
    document = json.loads(out)
    assert (code, document["split"], document["items"]) == (0, "test", 10_000)
    assert document["scores"]["accuracy"]["value"] >= 0.99


def test_broken_pictures_of_other_data_stop_or_are_skipped(status, run, shapes, tmp_path):
    other = shutil.copytree(shapes, tmp_path / "other")
    for i in range(8):
        (other / "bar" / f"{i:02d}.png").write_bytes(b"")
    code, _, err = status("evaluate", run, other, "--leaks", "keep")
    assert code == 3
    assert err.rstrip().endswith("mend or remove them, or go on without them with --broken skip")
    code, out, _ = status("evaluate", run, other, "--broken", "skip", "--leaks", "keep", "--json")
    assert (code, json.loads(out)["items"]) == (0, 82)
