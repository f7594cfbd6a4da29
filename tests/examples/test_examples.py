"""The examples run as they are, and do what they say."""

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from striate.errors import RecipeError, ShapeError
from striate.training import Batches, Setting, State, Supervised, loop, read_recipe, take_step

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_own_loop_learns_and_tells_every_epoch(capsys):
    assert runpy.run_path(str(EXAMPLES / "own_loop.py"))["main"]() > 0.9
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [f"epoch {n}" for n in range(1, 9)]


def test_own_loop_is_short():
    lines = (EXAMPLES / "own_loop.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 45


# What each gives, and a bound that none reaches by always saying the same.
SCORES = {
    "classify": (0.75, 1.0),
    "detect": (0.5, 1.0),
    "forecast": (0.0, 6.0),
    "instances": (0.5, 1.0),
    "localise": (0.5, 1.0),
    "multilabel": (0.8, 1.0),
    "own_net": (0.75, 1.0),
    "reconstruct": (12.0, 60.0),
    "regress": (0.0, 20.0),
    "segment": (0.6, 1.0),
    "series": (0.7, 1.0),
    "sounds": (0.8, 1.0),
    "volumes": (0.8, 1.0),
}


def test_every_example_is_run_by_a_test_and_every_task_has_one():
    from striate.tasks import TASKS

    files = {path.stem for path in EXAMPLES.glob("*.py")}
    assert files == {*SCORES, "own_loop"}
    assert set(TASKS) <= files


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORES)
def test_example_learns(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    assert len(lines) <= 40
    score = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]()
    low, high = SCORES[name]
    assert low < score <= high
    assert "runs" in capsys.readouterr().out
    assert list(Path("runs").glob("*/*/report.html"))


SETTINGS = {"epochs": 3, "batch": 8, "lr": 0.05, "schedule": "cosine", "ema": 0.9, "clip": 1.0}


def prepared(settings=SETTINGS, loss=nn.functional.mse_loss):
    rng = torch.Generator().manual_seed(2)
    x = torch.randn(20, 4, generator=rng)
    batches = Batches.of_tensors(x, x.sum(1, keepdim=True), batch=8, seed=3)
    net = nn.Linear(4, 1)
    with torch.no_grad():
        net.weight.zero_()
        net.bias.zero_()
    recipe = read_recipe("quick", {"augment": "none", **settings})
    setting = Setting(batches, Supervised(loss), recipe)
    return setting, State.begin(net, recipe, setting.plan)


def test_steps_of_an_own_loop_are_those_of_run():
    setting, own = prepared()
    for epoch in range(3):
        for step, index in enumerate(setting.batches.order(epoch)):
            take_step(own, *setting.batch(index, epoch, step), setting)
            own.step += 1
    setting, state = prepared()
    epochs = []
    loop.run(state, setting, after_epoch=lambda _state, epoch: epochs.append(epoch))
    assert epochs == [0, 1, 2]
    assert own.step == state.step == 9
    tensors = own.tensors()
    assert all(torch.equal(tensors[name], other) for name, other in state.tensors().items())
    assert not torch.equal(tensors["net.weight"], tensors["ema.weight"])


def test_every_item_is_in_one_batch_of_an_epoch():
    setting, _ = prepared()
    seen = torch.cat(setting.batches.order(1))
    assert sorted(seen.tolist()) == list(range(20))
    x, target = setting.batches.take(torch.tensor([4, 1]), 0, 0)
    assert torch.equal(x, setting.batches.inputs[[4, 1]])
    assert torch.equal(target, setting.batches.targets[[4, 1]])


@pytest.mark.parametrize(
    ("left_out", "line"),
    [
        ("lr", "the recipe has no lr: a loop of your own needs one, such as lr=0.001"),
        ("epochs", "the recipe has neither epochs nor budget: the loop would not know when to end"),
    ],
)
def test_a_recipe_that_leaves_open_what_the_loop_needs_is_refused(left_out, line):
    with pytest.raises(RecipeError) as caught:
        prepared({key: value for key, value in SETTINGS.items() if key != left_out})
    assert str(caught.value) == line


def test_other_numbers_of_inputs_and_targets_are_refused():
    with pytest.raises(ShapeError, match="3 inputs and 2 targets: expected as many of both"):
        Batches.of_tensors(torch.zeros(3, 1), torch.zeros(2), batch=2)


def test_a_budget_of_time_ends_an_own_loop():
    setting, state = prepared({**SETTINGS, "epochs": 1_000_000, "budget": "0.2s"})
    loop.run(state, setting)
    assert 0 < state.step < 3_000_000
