"""Steps that cannot be taken: no numbers, no memory; and kernels that must give the same every time."""

import json
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch import nn

from striate.errors import NumericError, RecipeError, out_of_memory
from striate.inputs import Pictures
from striate.plan import Plan
from striate.probe import running
from striate.tasks.classify import Classify
from striate.training import loop, read_recipe
from striate.training.batches import Batches
from striate.training.failures import Attempts, Guard
from striate.training.logs import Health
from striate.training.reproducibility import check_deterministic, deterministic
from striate.training.state import BrokenStepError, State

CLASSES = ("a", "b", "c")


class Net(nn.Module):
    """Fails where it is told to: no number, or no memory, at the n-th pass or above a batch size."""

    def __init__(self, *, broken=(), most=1000, inf=()):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.fc = nn.Linear(144, 3)
        self.broken, self.inf, self.most, self.passes = set(broken), set(inf), most, 0
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) / 4)

    def forward(self, x):
        if self.training and torch.is_grad_enabled():  # not the look at where it broke
            self.passes += 1
            if self.passes in self.broken:
                x = x * torch.nan
        maps = self.norm(self.conv(x)).relu()
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        y = self.fc(maps.flatten(1))
        if (
            torch.is_grad_enabled() and self.passes in self.inf
        ):  # finite, but the root has no slope at zero
            y = y + (y[:, :1] * 0).abs().sqrt()
        return y


class Plain(Net):
    """Without normalisation, which sees each part of a batch alone."""

    def forward(self, x):
        if len(x) > self.most:
            raise MemoryError
        return self.fc(self.conv(x).relu().flatten(1))


def failing(how, *passes):
    return Net(broken=passes) if how == "broken" else Net(inf=passes)


def recipe(**settings):
    given = {"lr": 0.01, "epochs": 4, "weight_decay": 0.0, "schedule": "constant"}
    return read_recipe("quick", {**given, **settings})


def trained(net, chosen, *, guard=None, said=None):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 8, 8, 1), dtype=torch.uint8, generator=generator)
    pre = Pictures((8, 8), (8, 8), "grey", (128.0,), (64.0,))
    batches = Batches(images, torch.arange(24) % 3, pre, 12, "none", 0)
    say = (said if said is not None else []).append
    guard = guard or Guard(chosen.on_nan, chosen.oom, say=say)
    setting = loop.Setting(
        batches, Classify(CLASSES), chosen, Plan(), Health(Path(), 0, Plan(), print), float, guard
    )
    state = State.begin(net, chosen, Plan())
    loop.run(state, setting, after_step=lambda _s: None, after_epoch=lambda _s, _e: None)
    return state


def bits(net):
    return sha256(b"".join(t.numpy().tobytes() for t in net.state_dict().values())).hexdigest()


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))  # noqa: B905


@pytest.mark.parametrize("how", ["broken", "inf"])
def test_a_step_without_numbers_stops_with_its_items_named(how):
    net = failing(how, 3)
    with pytest.raises(BrokenStepError, match=r"^step 3: the loss is") as caught:
        trained(net, recipe())
    assert caught.value.details["step"] == 3
    items = caught.value.details["items"]
    assert isinstance(items, list)
    assert len(items) == 12
    assert {"lr", "gradient_norms"} <= set(caught.value.details)


@pytest.mark.parametrize("how", ["broken", "inf"])
def test_up_to_k_steps_are_left_out_and_change_nothing(how):
    said = []
    net = failing(how, 3, 5)
    state = trained(net, recipe(on_nan="skip:2"), said=said)
    assert state.step == 8
    assert [line.split(";")[1] for line in said] == [
        " left out (1 of at most 2)", " left out (2 of at most 2)",
    ]  # fmt: skip
    assert all(torch.isfinite(t).all() for t in net.state_dict().values())
    assert (
        net.state_dict()["norm.num_batches_tracked"] == 6
    )  # the statistics of those steps are gone too
    with pytest.raises(BrokenStepError, match=r"^step 6"):
        trained(failing(how, 3, 5, 6), recipe(on_nan="skip:2"))


def test_a_training_that_left_out_a_step_is_one_without_it(tmp_path):
    kept = Guard("skip:3", path=tmp_path)
    first = Net(broken=(3,))
    trained(first, recipe(on_nan="skip:3"), guard=kept)
    assert json.loads((tmp_path / "mishaps.json").read_text())["steps"][0]["step"] == 2
    again = Guard("skip:3", path=tmp_path)  # of a resumed training: it does not try the step again
    second = Net()
    trained(second, recipe(on_nan="skip:3"), guard=again)
    assert same(first, second)
    assert first.passes == second.passes + 1


def test_rollback_goes_on_at_half_the_rate_without_the_step():
    def going_back(state):
        state.restore(2, *kept)

    kept, rates = [], []
    net = Net(broken=(4,))
    chosen = recipe(on_nan="rollback", optimizer="sgd")
    guard = Guard("rollback", back=going_back)

    class Watched(Attempts):
        def __iter__(self):
            state = self.state
            if state.step == 2 and not kept:
                kept.extend([{k: t.clone() for k, t in state.tensors().items()}, state.memory()])
            yield from super().__iter__()
            rates.append((state.step, state.opt.param_groups[0]["lr"]))

    guard.attempts = lambda state, x, index: Watched(guard, state, x, index)
    state = trained(net, chosen, guard=guard)
    assert state.step == 8
    assert [m["back_to"] for m in guard.mishaps] == [2]
    assert [step for step, _ in rates] == [0, 1, 2, 2, 2, 3, 4, 5, 6, 7]
    assert [lr for _, lr in rates[:3]] == [0.01] * 3
    assert [lr for _, lr in rates[4:]] == [0.005] * 6
    assert [guard.factor(step) for step in (1, 2, 7)] == [1, 0.5, 0.5]


def test_rollback_ends_after_three_times():
    net = Net(broken=range(1, 100))
    with pytest.raises(BrokenStepError):
        trained(net, recipe(on_nan="rollback"))
    assert net.passes >= 4


@pytest.mark.parametrize("word", ["skip", "skip:0", "skip:x", "back"])
def test_another_word_is_refused(word):
    with pytest.raises(RecipeError) as caught:
        recipe(on_nan=word)
    assert str(caught.value) == (
        f"on_nan={word}: expected stop, skip:K with K from 1 up, or rollback"
    )


def test_out_of_memory_names_the_batch_and_the_picture():
    with pytest.raises(NumericError) as caught:
        trained(Net(most=6), recipe())
    assert str(caught.value) == (
        "step 1: out of memory on a batch of 12 pictures of 1x8x8 (CUDA out of memory. Tried to allocate "
        "2.00 GiB): oom=halve computes it in parts with the same result, a smaller batch=, size= or width= "
        "needs less"
    )


@pytest.mark.parametrize(("most", "parts"), [(6, 2), (3, 4)])
def test_a_halved_batch_is_one_in_parts_to_the_bit(most, parts):
    said = []
    halved, whole = Plain(most=most), Plain()
    state = trained(halved, recipe(oom="halve"), said=said)
    trained(whole, recipe(accumulate=parts))
    assert same(halved, whole)
    assert state.parts == state.memory()["parts"] == parts
    assert said[-1].endswith(f"computed in {parts} parts from here on, with the same result")
    # statistics that the pass without memory had changed are put back
    halved, whole = Net(most=most), Net()
    trained(halved, recipe(oom="halve"))
    trained(whole, recipe(accumulate=parts))
    assert same(halved, whole)


def test_halving_ends_at_two_pictures():
    with pytest.raises(
        NumericError, match="out of memory on a batch of 12 pictures of 1x8x8 in 4 parts"
    ):
        trained(Plain(most=1), recipe(oom="halve"))


def test_other_errors_pass():
    assert not out_of_memory(RuntimeError("mat1 and mat2 cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory"))
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    net = Plain()
    net.fc = nn.Linear(7, 3)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        trained(net, recipe(oom="halve"))


class Unpools(nn.Module):
    """Max unpooling, of which PyTorch has no deterministic kernel."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.conv, self.fc = nn.Conv2d(1, 1, 1), nn.Linear(64, 3)

    def forward(self, x):
        return self.fc(self.up(*self.down(self.conv(x))).flatten(1))


class _Put(torch.autograd.Function):
    @staticmethod
    def forward(_ctx, x):
        return x.clone()

    @staticmethod
    def backward(_ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient.clone().put_(torch.tensor([0]), gradient.flatten()[:1])


class Puts(nn.Module):
    """A function whose way back has no deterministic kernel."""

    def forward(self, x):
        return _Put.apply(x)


@pytest.mark.parametrize(
    ("net", "where"),
    [
        (Unpools(), r"up \(MaxUnpool2d\) runs max_unpooling2d\w*"),
        (
            nn.Sequential(nn.Conv2d(1, 1, 1), Puts(), nn.Flatten(), nn.Linear(64, 3)),
            r"1 \(Puts\) runs put_",
        ),
    ],
)
def test_an_operation_without_a_deterministic_kernel_is_named(net, where):
    check = partial(check_deterministic, net, torch.rand(2, 1, 8, 8), torch.tensor([0, 1]))
    check(Classify(CLASSES))  # unless it is asked for, nothing is refused
    with (
        pytest.raises(
            RecipeError,
            match=rf"^deterministic=true: {where}, which has no deterministic kernel on cpu",
        ),
        deterministic(True),
    ):
        check(Classify(CLASSES))
    assert not torch.are_deterministic_algorithms_enabled()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_everything_is_as_before_after_a_deterministic_training(monkeypatch):
    import os

    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    seen = []

    def fails():
        seen.append((torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark))
        raise KeyError

    with pytest.raises(KeyError), deterministic(True):
        fails()
    assert seen == [(True, False)]
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_the_layer_that_runs_is_known():
    net = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    with running(net) as at:
        y = net(torch.ones(1, 4))
        assert at.path == ""
        seen = []
        net.get_parameter("1.0.weight").register_hook(lambda _g: seen.append(at.path))
        y.sum().backward()
    assert seen == ["1.0"]
