"""Plans: read, applied, raced."""

from functools import partial

import pytest
import torch
from torch import nn

from striate import plan
from striate.errors import ArgumentError, UsageError
from striate.plan import choosing

BATCH, TARGET = (
    torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
    torch.zeros(4).long(),
)


def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)
    )


def learn(net: nn.Module, x: torch.Tensor, target: torch.Tensor):
    outputs = net(x)
    return outputs, nn.functional.cross_entropy(outputs, target)


def choose(trial: nn.Module) -> plan.Plan:
    return plan.choose(trial, BATCH, TARGET, learn, device="cpu", steps=1)


def test_explicit_words():
    assert plan.explicit("default", "cpu") == plan.Plan()
    chosen = plan.explicit("channels_last,bf16", "cpu")
    assert (chosen.layout, chosen.precision) == ("channels_last", "bf16")
    with pytest.raises(ArgumentError) as caught:
        plan.explicit("chanels_last", "cpu")
    assert str(caught.value) == (
        "plan=chanels_last: 'chanels_last' is no part of a plan; did you mean channels_last? "
        "There are: auto, bf16, channels_last, compiled, contiguous, default, fp16, fp32"
    )


def test_an_absent_device_is_named():
    with pytest.raises(
        UsageError, match=r"device=cuda:77 is not on this machine; there are: .*cpu"
    ):
        plan.device("cuda:77")


def test_place_and_batch_give_the_layout():
    chosen = plan.Plan(layout="channels_last")
    placed = chosen.place(net())
    assert placed.get_parameter("0.weight").is_contiguous(memory_format=torch.channels_last)
    assert chosen.batch(BATCH).is_contiguous(memory_format=torch.channels_last)
    with plan.Plan(precision="bf16").autocast():
        assert net()(BATCH).dtype == torch.bfloat16


def test_choosing_leaves_the_net_alone_and_keeps_its_evidence():
    trial = net()
    before = {name: t.clone() for name, t in trial.state_dict().items()}
    chosen = choose(trial)
    assert trial.training
    assert all(p.grad is None for p in trial.parameters())
    assert all(torch.equal(t, before[name]) for name, t in trial.state_dict().items())
    assert [row["layout"] for row in chosen.candidates] == [
        "contiguous",
        "channels_last",
        "channels_last",
    ]
    assert chosen.ratio >= 1
    assert plan.Plan.from_dict(chosen.as_dict()) == chosen


def test_a_candidate_that_computes_something_else_is_refused():
    class Odd(nn.Module):
        """Answers differently in another layout."""

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(192, 2)

        def forward(self, x):
            moved = x.is_contiguous(memory_format=torch.channels_last)
            return self.fc(x.flatten(1)) + 100 * moved

    chosen = choose(Odd())
    assert [row["refused"] for row in chosen.candidates] == [False, True, True]
    assert (chosen.layout, chosen.precision) == ("contiguous", "fp32")


def test_what_would_end_the_process_is_not_timed():
    """Without the guard the backward pass of torch 2.13 and 2.14 reaches beyond its memory here."""
    trial = nn.Sequential(nn.Conv2d(8, 16, 1, stride=2, bias=False), nn.Flatten())
    trial.add_module("fc", nn.Linear(16 * 28 * 28, 2))
    x = torch.rand(8, 8, 56, 56, generator=torch.Generator().manual_seed(0))
    chosen = plan.choose(trial, x, torch.zeros(8).long(), learn, device="cpu", steps=1)
    forms = [(row["layout"], row["precision"]) for row in chosen.candidates]
    assert forms == [("contiguous", "fp32")]
    for words in ("channels_last", "channels_last,bf16"):
        asked = plan.explicit(words, "cpu")
        for made in (8, 16, 32):
            for stride in (2, 4, (1, 2)):
                assert plan.crashing_layer(nn.Conv2d(8, made, 1, stride), asked) == ""
        assert plan.crashing_layer(trial, asked) == "0"
        assert plan.crashing_layer(nn.Conv2d(32, 32, 1, 2, groups=4), asked) == ""
        for sound in (nn.Conv2d(16, 16, 1, 2), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, 2)):
            assert plan.crashing_layer(sound, asked) is None
    assert plan.crashing_layer(trial, plan.explicit("bf16", "cpu")) is None


def test_volumes_are_not_padded_in_bfloat16():
    """Gradients of torch 2.13 on CPUs with AVX-512 are wrong where a volume has fewer slices than the kernel."""
    low, whole = plan.explicit("bf16", "cpu"), plan.explicit("channels_last", "cpu")
    for layer in (nn.Conv3d(16, 4, 3, padding=1), nn.Conv3d(4, 16, (3, 1, 1), padding="same")):
        net = nn.Sequential(layer, nn.AdaptiveAvgPool3d(1), nn.Flatten())
        assert plan.crashing_layer(net, low) == "0"
        assert plan.crash_words(net, "0") == "(over volumes, padded) in bfloat16"
        assert plan.crashing_layer(net, whole) is None
    sound = [nn.Conv3d(16, 16, 3), nn.Conv3d(16, 16, (1, 3, 3), padding=(0, 1, 1))]
    for layer in [*sound, nn.Conv3d(8, 8, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)]:
        assert plan.crashing_layer(layer, low) is None
    net = nn.Sequential(nn.Conv3d(16, 16, 3, padding=1), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    x = torch.rand(4, 16, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    chosen = plan.choose(net, x, torch.zeros(4).long(), learn, device="cpu", steps=1)
    assert {row["precision"] for row in chosen.candidates} == {"fp32"}


def test_the_faster_candidate_wins():
    import time

    class Slow(nn.Module):
        """Takes its time in the default layout."""

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(192, 2)

        def forward(self, x):
            if not x.is_contiguous(memory_format=torch.channels_last):
                time.sleep(0.02)
            return self.fc(x.flatten(1))

    chosen = choose(Slow())
    assert chosen.layout == "channels_last"
    assert chosen.ratio > 1.5
    assert chosen.why.startswith("measured: ")


def test_the_first_step_of_a_process_counts_for_nothing():
    import time

    calls: dict[str, int] = {}

    def step(name: str, slow_first: float):
        def run() -> None:
            calls[name] = calls.get(name, 0) + 1
            time.sleep(slow_first if calls[name] == 1 else 0.002)

        return run

    plain, other = plan.Plan(), plan.Plan(layout="channels_last")
    times = choosing._race({plain: step("plain", 0.3), other: step("other", 0.002)}, steps=1)
    assert times[plain] == pytest.approx(times[other], rel=0.5)
    assert calls["plain"] >= 6


def test_half_precision_with_a_scaled_loss_is_for_gpus():
    with pytest.raises(ArgumentError) as caught:
        plan.explicit("fp16", "cpu")
    assert (
        str(caught.value) == "plan=fp16: fp16 needs a GPU of NVIDIA, this is cpu; use bf16 or fp32"
    )
    assert plan.explicit("channels_last,fp16,compiled", "cuda:0").precision == "fp16"
    assert [(p.layout, p.precision) for p in choosing.candidates("cuda")] == [
        ("contiguous", "fp32"),
        ("channels_last", "fp32"),
        ("channels_last", "bf16"),
        ("channels_last", "fp16"),
    ]
    assert "fp16" not in {p.precision for p in choosing.candidates("cpu")}


class Clock:
    """Time that passes only in `sleep`, so that what is faster does not hang on what else the machine does."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


CLOCK = Clock()


@pytest.fixture
def compiler(monkeypatch):
    """A compiler whose nets answer the same, with what it takes to compile and what it gains as asked for."""

    def made(*, first: float, step: float, wrong: float = 0.0):
        def compiled(self, trial):
            if not self.compiled:
                return trial
            called: list[float] = []

            def forward(x, run=trial.forward):
                CLOCK.sleep(step if called else first)
                called.append(1)
                return run(x) + wrong

            trial.forward = forward
            return trial

        monkeypatch.setattr(plan.Plan, "compile", compiled)
        monkeypatch.setattr(choosing, "COMPILING", 0.5)
        monkeypatch.setattr(choosing, "time", CLOCK)

    return made


class Waits(nn.Module):
    """A net that takes 4 ms, compiled or not."""

    def __init__(self, seconds=0.004):
        super().__init__()
        self.fc, self.seconds = nn.Linear(192, 2), seconds

    def forward(self, x):
        if "forward" not in vars(self):  # a compiled one takes what the compiler says
            CLOCK.sleep(self.seconds)
        return self.fc(x.flatten(1))


def chosen_for(steps):
    return plan.choose(Waits().train(), BATCH, TARGET, learn, device="cpu", steps=steps)


def test_compiling_is_tried_only_where_the_training_is_long(compiler):
    compiler(first=0.01, step=0.001)
    assert not any(row["compiled"] for row in chosen_for(100).candidates)
    chosen = chosen_for(20_000)
    assert chosen.compiled
    assert chosen.ratio > 2
    assert chosen.as_text().startswith("plan: ")
    assert "compiled on cpu" in chosen.as_text()
    assert plan.Plan.from_dict(chosen.as_dict()) == chosen


def test_compiling_that_does_not_pay_back_or_answers_otherwise_is_refused(compiler):
    compiler(first=0.3, step=0.004)  # no faster
    assert not chosen_for(20_000).compiled
    compiler(first=0.01, step=0.001, wrong=5.0)
    refused = chosen_for(20_000)
    assert not refused.compiled
    assert refused.candidates[-1]["refused"]


@pytest.mark.slow
@pytest.mark.usefixtures("gcc")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, in compiling
def test_a_net_is_compiled_in_place_and_watched_as_written():
    from striate.probe import scales

    chosen = plan.Plan(compiled=True)
    trial = net().eval()
    expected = trial(BATCH)
    assert chosen.compile(trial) is trial
    torch.testing.assert_close(trial(BATCH), expected)
    with chosen.uncompiled(), scales(trial) as found:
        trial(BATCH)
    assert len(found) == 5


def test_a_slow_first_step_is_told_before_others_are_timed(monkeypatch):
    told: list[float] = []
    watch = plan.Watch(slow=told.append)
    ways = partial(plan.choose, net(), BATCH, TARGET, learn, device="cpu", steps=1)
    ways(watch=watch)
    assert told == []
    monkeypatch.setattr(choosing, "SLOW", 0.0)
    monkeypatch.setattr(choosing, "_race", lambda *_: pytest.fail("raced before it was told"))
    with pytest.raises(pytest.fail.Exception):
        ways(watch=watch)
    assert [0 < seconds < 60 for seconds in told] == [True]


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_volumes_have_both_layouts(layout):
    net = nn.Sequential(nn.Conv3d(2, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    x, form = torch.rand(2, 2, 3, 3, 3), plan.Plan(layout=layout)
    expected = net(x)
    placed = form.place(net)
    weight = next(placed.parameters())
    last = layout == "channels_last"
    assert weight.is_contiguous(memory_format=torch.channels_last_3d) == last
    assert form.batch(x).is_contiguous(memory_format=torch.channels_last_3d) == last
    torch.testing.assert_close(placed(form.batch(x)), expected)
