"""Every byte of a run folder that decides something: changed, it is noticed or without effect."""

import copy
import json
import os
import shutil
from hashlib import sha256

import numpy as np
import pytest
import safetensors.torch
import torch

import striate
from striate import cli
from striate.errors import CheckpointError, Stopped
from striate.runs import Run, checkpoint, folder
from striate.runs.checkpoint import Checkpoint
from striate.runs.config import Config
from striate.training import Progress, read_recipe
from striate.workbench.train import train_recipe

QUICK = {"net": "lenet5", "epochs": 2, "batch": 8, "plan": "default"}


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return train_recipe(shapes, read_recipe("quick", QUICK), out=out, progress=Progress()).run.path


@pytest.fixture
def mine(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


def flips(content, count=150):
    """The content with one bit changed, at places all over it."""
    bits = np.random.default_rng(0).choice(8 * len(content), min(count, 8 * len(content)), False)
    for bit in bits.tolist():
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def unharmed(path, read):
    """How often a flipped bit went unnoticed and gave something else."""
    content, wanted = path.read_bytes(), read()
    silent = []
    for changed in flips(content):
        path.write_bytes(changed)
        try:
            found = read()
        except CheckpointError as error:
            found = wanted if "\n" not in str(error) else str(error)
        if found != wanted:
            silent.append(changed)
    path.write_bytes(content)
    return silent


def test_a_flipped_bit_of_a_config_is_noticed(mine):
    assert not unharmed(mine / "config.json", lambda: Config.read(mine))


def test_a_flipped_bit_of_a_summary_is_noticed(mine):
    assert not unharmed(mine / "summary.json", lambda: Run(mine).summary)


@pytest.mark.parametrize("split", [None, "train"])
def test_a_flipped_bit_of_the_scores_of_items_is_noticed_where_they_are_compared(mine, run, split):
    wanted = striate.compare([mine, run], split=split).as_dict()
    assert wanted["items"] > 0
    (path,) = [mine / "items.csv"] if split is None else mine.glob("evaluations/*-train.csv")
    content = path.read_bytes()
    for changed in flips(content, 8):
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"\.csv is damaged: its SHA-256"):
            striate.compare([mine, run], split=split)
    path.unlink()
    if split is not None:
        assert striate.compare([mine, run], split=split).as_dict() == wanted, "answered anew"


def test_a_flipped_bit_of_the_scores_of_items_is_noticed_in_a_notebook(mine):
    path, damaged = mine / "items.csv", "items.csv is damaged: its SHA-256"
    assert damaged not in Run(mine)._repr_html_()
    content = path.read_bytes()
    for changed in flips(content, 4):
        path.write_bytes(changed)
        markup = Run(mine)._repr_html_()
        assert damaged in markup
        assert "Truth by row" not in markup


@pytest.mark.parametrize("name", ["manifest.json", "state.json"])
def test_a_flipped_bit_of_a_checkpoint_is_noticed(mine, name):
    newest = max(mine.glob("checkpoints/step-*"))

    def read():
        found = checkpoint.load(newest)
        return found.step, found.merit, found.state

    assert not unharmed(newest / name, read)


def test_a_checkpoint_under_another_name_is_damage(mine):
    newest = max(mine.glob("checkpoints/step-*"))
    newest.rename(newest.with_name("step-00000777"))
    with pytest.raises(CheckpointError, match="is damaged: its step is"):
        checkpoint.load(newest.with_name("step-00000777"))
    found, warnings = checkpoint.newest(mine)
    assert found is not None
    assert len(warnings) == 1


def test_a_best_whose_merit_is_not_known_is_said(tmp_path):
    for step, merit in [(1, 0.9), (2, 0.1), (3, float("nan"))]:
        checkpoint.save(tmp_path, Checkpoint(step, {"w": torch.zeros(1)}, {}, merit))
    found, warnings = checkpoint.best(tmp_path)
    assert found is not None
    assert (found.step, warnings) == (1, [])  # what is no number is not the best
    manifest = tmp_path / "checkpoints" / "step-00000001" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("0.9", "0.8"))
    found, warnings = checkpoint.best(tmp_path)
    assert found is not None
    assert found.step == 2
    assert "how good it was is not known" in warnings[0]


def resealed(path, change):
    """A file changed and sealed again: what its reader says of kinds and shapes."""
    content = json.loads(path.read_text())
    content.pop("seal")
    change(content)
    folder.write_sealed(path, content)


def setting(*keys):
    *way, last, value = keys

    def change(content):
        for key in way:
            content = content[key]
        content[last] = value

    return change


@pytest.mark.parametrize(
    "keys",
    [
        ("preprocessing", "mean", [float("nan")]),
        ("preprocessing", "std", [0.0]),
        ("preprocessing", "std", [float("inf")]),
        ("preprocessing", "std", [-1.0]),
        ("preprocessing", "mean", [1.0, 2.0]),
        ("preprocessing", "mean", "1"),
        ("preprocessing", "size", [28.5, 28]),
        ("preprocessing", "size", ["28", 28]),
        ("preprocessing", "size", [True, 28]),
        ("preprocessing", "resize", [-28, 28]),
        ("preprocessing", "color", 3),
        ("preprocessing", "fit", None),
        ("preprocessing", []),
        ("classes", [1, 2, 3]),
        ("classes", "abc"),
        ("classes", {}),
        ("task", None),
        ("task", 7),
        ("data", []),
        ("data", {}),
        ("data", "origin", None),
        ("plan", []),
        ("plan", {"device": 3}),
        ("plan", "device", None),
        ("plan", "compiled", "x"),
        ("tiling", [1]),
        ("versions", {"torch": 2}),
        ("weights", None),
        ("net", None),
        ("net", "own", "no"),
        ("net", "width", "1"),
        ("task_settings", None),
        ("settings", 3),
    ],
    ids=str,
)
def test_a_config_of_another_form_is_one_line_and_5(mine, keys, capsys):
    resealed(mine / "config.json", setting(*keys))
    assert cli.main(["evaluate", str(mine)]) == 5
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "config.json" in said


@pytest.mark.parametrize(
    "keys",
    [("scores", []), ("scores", {"accuracy": 1}), ("epochs", "two"), ("split", 1), ("net", None)],
    ids=str,
)
def test_a_summary_of_another_form_is_one_line_and_5(mine, keys, capsys):
    resealed(mine / "summary.json", setting(*keys))
    with pytest.raises(CheckpointError, match=r"summary\.json is damaged"):
        _ = Run(mine).summary
    assert cli.main(["compare", str(mine), str(mine)]) == 5
    assert capsys.readouterr().err.count("\n") == 1


def other_kind(name):
    def change(tensors):
        key = next(k for k in tensors if tensors[k].is_floating_point())
        if name == "shape":
            tensors[key] = tensors[key].flatten()[:1].clone()
        elif name == "missing":
            del tensors[key]
        elif name == "more":
            tensors["x"] = torch.zeros(1)
        else:
            tensors[key] = tensors[key].to(getattr(torch, name))

    return change


KINDS = ["int32", "bool", "complex64", "float8_e4m3fn", "float64", "shape", "missing", "more"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_weights_of_another_kind_are_named(mine, kind):
    tensors = safetensors.torch.load_file(mine / "model.safetensors")
    other_kind(kind)(tensors)
    content = safetensors.torch.save(tensors)
    (mine / "model.safetensors").write_bytes(content)
    resealed(mine / "config.json", setting("weights", sha256(content).hexdigest()))
    with pytest.raises(CheckpointError, match=r"does not fit the net: .* is .*, expected "):
        Run.load(mine)


def stopped(shapes, out, at):
    import signal

    def interrupting(_name, done, _total):
        if done == at:
            signal.raise_signal(signal.SIGINT)

    recipe = read_recipe("quick", QUICK)
    with pytest.raises(Stopped):
        train_recipe(shapes, recipe, out=out, progress=Progress(bar=interrupting))
    (path,) = (out / "classify").iterdir()
    return path


@pytest.fixture(scope="module")
def begun(shapes, tmp_path_factory):
    return stopped(shapes, tmp_path_factory.mktemp("begun"), at=11)


def rewritten(path, change):
    """The newest checkpoint changed and hashed again; it is the only one left."""
    found, _ = checkpoint.newest(path)
    assert found is not None
    tensors, state = dict(found.tensors), copy.deepcopy(dict(found.state))
    change(tensors, state)
    shutil.rmtree(path / "checkpoints")
    checkpoint.save(path, Checkpoint(found.step, tensors, state, found.merit))


STATES = [
    lambda _t, s: s.clear(),
    lambda _t, s: s.update(parts="x"),
    lambda _t, s: s.update(parts=None),
    lambda _t, s: s.update(rows=3),
    lambda _t, s: s.update(rows=[3]),
    lambda _t, s: s.update(seconds="long"),
    lambda _t, s: s.update(totals=[]),
    lambda _t, s: s.update(totals={"items": "x"}),
    lambda _t, s: s.update(course={"lowest": []}),
    lambda t, _s: t.pop("net.c1.weight", None) or t.pop(next(k for k in t if k[:4] == "net.")),
    lambda t, _s: t.update({"opt.999.exp_avg": torch.zeros(1)}),
    lambda t, _s: t.update({"opt.x.exp_avg": torch.zeros(1)}),
    *(
        lambda t, _s, k=k: other_kind(k)(t) if k != "more" else t.update({"net.x": torch.zeros(1)})
        for k in ("int32", "bool", "float64", "shape")
    ),
]


@pytest.mark.parametrize("change", STATES, ids=range(len(STATES)))
def test_a_checkpoint_of_another_form_is_one_line_and_5(begun, tmp_path, capsys, change):
    path = shutil.copytree(begun, tmp_path / "copy")
    rewritten(path, change)
    assert cli.main(["train", "--resume", str(path)]) == 5
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("striate:")]
    assert len(said) == 1


@pytest.mark.parametrize("of", ["config.json", "summary.json", "args.yaml", "model.safetensors"])
@pytest.mark.parametrize("what", ["pipe", "device", "folder", "huge", "nothing", "zeros"])
def test_what_is_no_file_of_a_run_is_refused_at_once(mine, of, what, capsys):
    path = mine / of
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "folder":
        path.mkdir()
    elif what == "zeros":
        path.write_bytes(bytes(5000))
    else:
        path.touch()
        if what == "huge":
            os.truncate(path, 2**41)
    words = {"summary.json": ["compare", str(mine), str(mine)], "args.yaml": ["train", "--resume"]}
    if of == "args.yaml":
        (mine / "summary.json").unlink()
        words["args.yaml"].append(str(mine))
    assert cli.main(words.get(of, ["evaluate", str(mine)])) == 5
    assert capsys.readouterr().err.count("striate:") == 1


def test_what_the_version_before_wrote_still_opens(mine):
    """Without hashes of config, summary and manifest."""
    for name, version in (("config.json", 1), ("summary.json", None)):
        content = json.loads((mine / name).read_text())
        del content["seal"], content["format"]
        head = {"format": version} if version else {}
        (mine / name).write_text(json.dumps({**head, **content}))
    assert Run.load(mine).summary["epochs"] == 2
    newest = max(mine.glob("checkpoints/step-*"))
    manifest = json.loads((newest / "manifest.json").read_text())
    del manifest["seal"], manifest["bytes"]
    (newest / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    assert checkpoint.load(newest).step == 18
    assert striate.Run(mine).evaluate().items == 18
