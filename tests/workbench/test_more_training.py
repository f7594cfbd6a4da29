"""Fine-tuning, imbalance, folds, rates and budgets from end to end on a small folder of pictures."""

import csv
import json
import re

import pytest
import torch

import striate
from striate import cli
from striate.errors import RecipeError, UsageError
from striate.training import Progress, find_rate, read_recipe
from striate.workbench.folds import train_folds
from striate.workbench.train import train_recipe

QUICK = {"net": "lenet5", "epochs": 2, "batch": 8, "plan": "default"}


def trained(shapes, out, **settings):
    said = []
    recipe = read_recipe(settings.pop("recipe", "quick"), {**QUICK, **settings})
    return train_recipe(shapes, recipe, out=out, progress=Progress(say=said.append)), said


def test_a_run_is_fine_tuned_head_first_with_its_features_kept(shapes, tmp_path):
    first, _ = trained(shapes, tmp_path, epochs=4)
    done, said = trained(
        shapes,
        tmp_path,
        recipe="finetune",
        weights=str(first.run.path),
        freeze="features",
        net=None,
    )
    assert done.run.summary["net"] == "lenet5"  # the weights say whose they are
    assert f"10 tensors from {first.run.path}" in said
    old, new = (dict(run.net.state_dict()) for run in (first.run, done.run))
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved == {"fc3.weight", "fc3.bias"}
    with (done.run.path / "movement.csv").open() as file:
        rows = {row["layer"]: float(row["correlation"]) for row in csv.DictReader(file)}
    assert rows.pop("fc3") < 1
    assert set(rows.values()) == {1.0}
    assert "How far the weights moved" in (done.run.path / "report.html").read_text()
    with pytest.raises(RecipeError, match="freeze=conv9: the net has no layer of this path"):
        trained(shapes, tmp_path, freeze="conv9")


def test_imbalance_is_balanced_and_shown(shapes, tmp_path):
    import shutil

    few = shutil.copytree(shapes, tmp_path / "few")
    for i in range(10, 30):
        (few / "bar" / f"{i:02d}.png").unlink()
    done, _ = trained(few, tmp_path, class_weights="balanced", sampling="balanced", loss="focal")
    # 8 of 56 training items are bars: 56 / (3 * 8), 56 / (3 * 24)
    page = (done.run.path / "report.html").read_text()
    rows = dict(
        re.findall(
            r"<bdi>(bar|box|noise)</bdi></th>((?:<td class=\"n\">[0-9.]+</td>)+)",
            page.partition("<h2>The data</h2>")[0],
        )
    )
    cells = {name: re.findall(r">([0-9.]+)<", row)[:2] for name, row in rows.items()}
    assert cells == {"bar": ["8", "2.33"], "box": ["24", "0.778"], "noise": ["24", "0.778"]}
    assert "Train: focal (classes balanced)." in page


def test_parts_of_a_loss_are_columns(shapes, tmp_path):
    done, _ = trained(shapes, tmp_path, loss="focal+0.5*margin")
    rows = done.run.history()
    assert rows[0]["train_focal"] + rows[0]["train_margin"] == pytest.approx(
        rows[0]["train_loss"], rel=1e-4
    )
    page = (done.run.path / "report.html").read_text()
    assert '<th scope="col" class="n">focal</th><th scope="col" class="n">margin</th>' in page
    with pytest.raises(RecipeError) as caught:
        trained(shapes, tmp_path, loss="dice")
    assert str(caught.value) == (
        "loss=dice: items with one label each need cross_entropy, focal, margin, or a sum of these"
    )
    with pytest.raises(RecipeError, match=r"loss=.*no loss 'dise'"):
        trained(shapes, tmp_path, loss="dise")


def test_what_does_not_go_together_is_told_in_one_line(shapes, tmp_path):
    with pytest.raises(RecipeError) as caught:
        trained(shapes, tmp_path, augment="auto+mixup", loss="cross_entropy+focal")
    assert str(caught.value) == (
        "augment=auto+mixup and loss=cross_entropy+focal do not go together: mixed items belong to two "
        "classes at once, which cross_entropy alone takes"
    )
    own = {"net": "lenet5_1998", "augment": "none"}
    with pytest.raises(RecipeError) as caught:
        trained(shapes, tmp_path, **{**own, "augment": "cutmix"})
    assert str(caught.value) == (
        "augment=cutmix: lenet5_1998 learns by a loss of its own, which takes no notice of it; "
        "leave mixup and cutmix out"
    )
    with pytest.raises(RecipeError, match=r"^smoothing=0\.1: lenet5_1998 learns by a loss of its"):
        trained(shapes, tmp_path, **own, smoothing=0.1)
    for plan in ("channels_last", "channels_last,bf16"):
        with pytest.raises(RecipeError) as caught:
            trained(shapes, tmp_path, net="resnet18", width=0.1, plan=plan)
        assert str(caught.value) == (
            f"plan={plan}: torch reaches beyond its memory in the backward pass of layer2.0.downsample.0 "
            "(1x1 with a stride, few channels) in channels_last; use plan=default"
        )
    assert not any(tmp_path.rglob("config.json"))


def test_the_averaged_weights_are_the_ones_kept(shapes, tmp_path):
    from striate.runs import checkpoint
    from striate.training.state import kept, part

    done, _ = trained(shapes, tmp_path, ema=0.9)
    found, _ = checkpoint.best(done.run.path)
    assert found is not None
    final = done.run.net.state_dict()
    assert all(torch.equal(final[name], t) for name, t in kept(found.tensors).items())
    assert not torch.equal(part(found.tensors, "net.")["fc3.weight"], final["fc3.weight"])
    assert striate.Run.load(done.run.path).evaluate().items == 18


@pytest.mark.parametrize("color", ["hsv", "ycbcr"])
def test_other_colours_train_and_predict(shapes, tmp_path, color):
    done, _ = trained(shapes, tmp_path, color=color, epochs=1)
    assert done.run.net.get_parameter("conv1.weight").shape[1] == 3
    assert striate.Run.load(done.run.path).predict(shapes / "bar" / "00.png")[0].error is None


def test_patience_ends_early(shapes, tmp_path):
    done, said = trained(shapes, tmp_path, patience=1, lr=1e-12, epochs=30, schedule="constant")
    assert done.run.summary["epochs"] < 30
    assert "ended: no smaller loss for 1 epoch" in said


def test_folds_hold_out_everything_once(shapes, tmp_path):
    recipe = read_recipe("quick", {**QUICK, "epochs": 1})
    folds = train_folds(shapes, recipe, 3, out=tmp_path, name="f", progress=Progress())
    assert [run.rpartition("/")[2] for run in folds.runs] == ["1of3", "2of3", "3of3"]
    names = [set(striate.Run.load(run).open_data().splits["val"].names) for run in folds.runs]
    assert len(set.union(*names)) == sum(map(len, names)) == 90
    scores = folds.as_dict()["scores"]["accuracy"]
    assert scores["mean"] == pytest.approx(sum(scores["values"]) / 3)
    with pytest.raises(UsageError, match="--folds 1: expected at least 2 parts"):
        train_folds(shapes, recipe, 1, progress=Progress())


def test_rates_are_tried_and_drawn(shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # in which nothing may be left
    before = torch.random.get_rng_state()
    rates = find_rate(striate.open(shapes), read_recipe("quick", QUICK), steps=60)
    assert torch.equal(before, torch.random.get_rng_state())
    assert rates.rates[0] == 1e-6
    assert rates.rates[1] / rates.rates[0] == pytest.approx(1e7 ** (1 / 59))
    assert 1e-5 < rates.suggested < 1
    assert rates.as_svg().count("polyline") == 1
    assert not list(tmp_path.iterdir())


def test_the_command_line_knows_them(shapes, tmp_path, capsys):
    words = ["train", str(shapes), "net=linear", "epochs=1", "plan=default", "--out", str(tmp_path)]
    assert cli.main([*words, "--folds", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2
    assert cli.main([*words, "--find-lr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["suggested"] > 0
    assert (tmp_path / "rates.svg").read_text().startswith("<svg")
    assert cli.main(["train", "--recipe", "alexnet2012", "--show"]) == 0
    assert "# recipe alexnet2012: Krizhevsky" in capsys.readouterr().out
