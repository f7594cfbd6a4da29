"""One step and what surrounds it: parts of a batch, the running average, what is frozen, the looks at layers."""

import csv
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from striate.errors import RecipeError
from striate.inputs import Pictures
from striate.models import catalog
from striate.models.backbone import last_layer
from striate.plan import Plan
from striate.probe import scales
from striate.tasks.classify import Classify, balanced_weights
from striate.training import freezing, logs, loop, optimizers, read_recipe
from striate.training.batches import Batches, balanced_order
from striate.training.freezing import begin_epoch, blocks, check, is_frozen
from striate.training.logs import Health, LayerStatistics
from striate.training.optimizers import EMA
from striate.training.state import BrokenStepError, LossScale, State, Totals

CLASSES = ("a", "b", "c")


def recipe(**settings):
    return read_recipe("quick", {"lr": 0.01, "epochs": 4, "weight_decay": 0.0, **settings})


def small():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / 4)
    return net


def plain():
    """Without normalisation, which sees each part of a batch alone."""
    net = small()
    return nn.Sequential(*(m for m in net if not isinstance(m, nn.BatchNorm2d)))


def setting(chosen, path, *, task=None, batch=12, n=24, health=None):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 8, 8, 1), dtype=torch.uint8, generator=generator)
    labels = torch.arange(n) % 3
    pre = Pictures((8, 8), (8, 8), "grey", (128.0,), (64.0,))
    batches = Batches(images, labels, pre, batch, "none", 0)
    task = task or Classify(CLASSES, spelled=chosen.loss or "cross_entropy")
    health = health or Health(path, 0, Plan(), print)
    return loop.Setting(batches, task, chosen, Plan(), health, lambda: 0.0)


def run(net, chosen, path, **given):
    state = State.begin(net, chosen, Plan())
    loop.run(
        state,
        setting(chosen, path, **given),
        after_step=lambda _s: None,
        after_epoch=lambda _s, _e: None,
    )
    return state


@pytest.mark.parametrize("loss", ["cross_entropy", "0.5*focal+margin"])
def test_parts_of_a_batch_add_up_to_the_whole(tmp_path, loss):
    weights = (0.5, 1.0, 3.0)
    nets = [plain().double(), plain().double()]
    task = Classify(CLASSES, 0.1, spelled=loss, class_weights=weights)
    chosen = [
        recipe(optimizer="sgd", accumulate=parts, schedule="constant", loss=loss)
        for parts in (1, 5)
    ]
    for net, each in zip(nets, chosen, strict=True):
        made = setting(each, tmp_path, task=task)
        state = State.begin(net, each, Plan())
        for epoch in range(2):
            begin_epoch(net, state.opt, each, epoch)
            for step, index in enumerate(made.batches.order(epoch)):
                x, y = made.batches.take(index, epoch, step)
                loop.take_step(state, x.double(), y, made)
                state.step += 1
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("augment", "whole"), [("none", True), ("flip+translate", True), ("flip+erase", False)]
)
def test_the_last_epoch_sees_whole_pictures_unless_rectangles_are_erased(tmp_path, augment, whole):
    made = setting(recipe(augment=augment), tmp_path)
    state = State.begin(small(), made.recipe, Plan())
    assert not made.plain(state, 2)
    assert made.plain(state, 3) is whole


def test_mixed_items_are_learned_by_their_shares(tmp_path):
    made = setting(recipe(augment="mixup:8"), tmp_path)
    index = made.batches.order(1)[0]
    x, shares = made.batch(index, 1, 0)
    plain, labels = made.batch(index, 1, 0, plain=True)
    assert labels.tolist() == made.batches.targets[index].tolist()
    hot = torch.eye(3)[labels]
    share = (x - plain.roll(-1, 0)).flatten()[0] / (plain - plain.roll(-1, 0)).flatten()[0]
    assert 0.05 < share < 0.95
    torch.testing.assert_close(x, share * plain + (1 - share) * plain.roll(-1, 0))
    torch.testing.assert_close(shares, share * hot + (1 - share) * hot.roll(-1, 0))
    assert torch.equal(made.batch(index, 1, 0)[0], x)  # a function of seed, epoch and step
    assert not torch.equal(made.batch(index, 2, 0)[0], x)
    assert not torch.equal(made.batch(index, 1, 1)[0], x)


def test_of_a_mixed_item_the_larger_share_is_the_truth():
    shares = torch.tensor([[0.6, 0.4, 0], [0.6, 0.4, 0], [0, 0, 1]])
    assert Classify(CLASSES).counts(torch.eye(3), shares) == {"accuracy": 2}
    totals = Totals()
    for _ in range(2):
        totals.add({"items": 3, "count accuracy": 2, "loss": 0.5, "focal": 0.25})
    assert (totals.items, totals.counts, totals.loss) == (6, {"accuracy": 4}, 3.0)
    assert totals.parts == {"focal": 1.5}


def test_the_running_average_is_that_of_its_formula():
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.fill_(1.0)
    average = EMA(net, 0.9)
    expected = 1.0
    for step in range(200):
        with torch.no_grad():
            net.weight.fill_(float(step))
        average.update(step)
        keep = min(0.9, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * step
    assert average.net.get_parameter("weight")[0, 0].item() == pytest.approx(expected, rel=1e-5)
    assert not any(p.requires_grad for p in average.net.parameters())


def test_the_average_counts_batches_as_the_net_does(tmp_path):
    state = run(small(), recipe(ema=0.99), tmp_path)
    assert state.average is not None
    counted = [
        dict(n.state_dict())["1.num_batches_tracked"] for n in (state.net, state.average.net)
    ]
    assert counted[0] == counted[1] == 8
    assert state.answering is state.average.net
    assert not torch.equal(
        state.answering.state_dict()["0.weight"], state.net.state_dict()["0.weight"]
    )


def test_features_are_all_but_the_head(tmp_path):
    net = small()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    run(net, recipe(freeze="features"), tmp_path)
    moved = {name for name, t in net.state_dict().items() if not torch.equal(t, before[name])}
    # the statistics of frozen normalisation stay too
    assert moved == {"4.weight", "4.bias"}
    assert last_layer(net) == "4"


def test_a_prefix_is_frozen_with_all_below_it():
    net = catalog.build("resnet18", in_channels=1, num_classes=3, size=(32, 32), width=0.25)
    chosen = recipe(freeze="conv1,bn1,layer1")
    opt = optimizers.optimizer(net, chosen)
    begin_epoch(net, opt, chosen, 0)
    learns = {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad}
    assert learns == {"layer2", "layer3", "layer4", "fc"}
    assert not net.get_submodule("layer1.0.bn1").training
    assert net.get_submodule("layer2.0.bn1").training
    for word, message in [
        ("layer9", "freeze=layer9: the net has no layer of this path; did you mean layer"),
        ("quarter", "it is none of .*; half and features are words for a part of any net"),
        ("relu", "freeze=relu: holds no weight of this net, so that all of it would learn"),
        (
            "features,fc",
            "freeze=features,fc: nothing is left to learn; freeze=features leaves the head",
        ),
    ]:
        with pytest.raises(RecipeError, match=message):
            check(net, recipe(freeze=word))


def test_features_of_a_net_on_a_backbone_are_the_backbone():
    net = catalog.build("unet", backbone="resnet18", num_classes=3, size=(32, 32), width=0.25)
    chosen = recipe(freeze="features")
    check(net, chosen)
    begin_epoch(net, optimizers.optimizer(net, chosen), chosen, 0)
    learns = {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad}
    assert learns == {"up", "score"}
    assert not net.get_submodule("backbone.bn1").training
    assert net.get_submodule("up.0.convs.bn1").training


def test_the_head_first_and_then_all():
    net, chosen = small(), recipe(head_epochs=2)
    opt = optimizers.optimizer(net, chosen)
    for epoch, learning in ((0, {"4"}), (1, {"4"}), (2, {"0", "1", "4"})):
        begin_epoch(net, opt, chosen, epoch)
        assert {name[0] for name, p in net.named_parameters() if p.requires_grad} == learning
        assert net[1].training == ("1" in learning)
        assert net.training


def test_normalisation_is_frozen_in_any_net(tmp_path):
    net = small()
    before = {name: t.clone() for name, t in net[1].state_dict().items()}
    run(net, recipe(freeze_norm=True), tmp_path)
    assert all(torch.equal(t, before[name]) for name, t in net[1].state_dict().items())
    kept = small()
    kept[0].requires_grad_(False)  # what a user froze stays so
    opt = optimizers.optimizer(kept, recipe(head_epochs=1))
    begin_epoch(kept, opt, recipe(head_epochs=1), 1)
    assert not kept[0].weight.requires_grad
    assert kept[1].weight.requires_grad


def test_earlier_blocks_learn_more_slowly():
    net = catalog.build("resnet18", in_channels=1, num_classes=3, size=(32, 32), width=0.25)
    opt = optimizers.optimizer(net, recipe(lr_decay=0.5))
    optimizers.set_rate(opt, 1.0)
    rates = {id(p): group["lr"] for group in opt.param_groups for p in group["params"]}
    named = dict(net.named_parameters())
    assert len(rates) == len(named)
    got = {name: rates[id(p)] for name, p in named.items()}
    assert got["fc.weight"] == got["fc.bias"] == 1
    assert [got[f"layer4.{i}.conv1.weight"] for i in (1, 0)] == [0.5, 0.25]
    # eight blocks of two convolutions, then the first normalisation and the first convolution
    assert got["layer1.0.bn1.weight"] == 0.5**8
    assert (got["bn1.weight"], got["conv1.weight"]) == (0.5**9, 0.5**10)


def test_everything_decays_where_asked():
    net = small()
    groups = optimizers.optimizer(net, recipe(decay_all=True, weight_decay=0.1)).param_groups
    assert {id(p) for p in groups[0]["params"]} == {id(p) for p in net.parameters()}
    assert [len(group["params"]) for group in groups] == [6, 0]


def test_balanced_draws_show_every_class_equally_often():
    labels = torch.tensor([0] * 90 + [1] * 8 + [2] * 2)
    order = balanced_order(labels, torch.Generator().manual_seed(0))
    assert sorted(torch.bincount(labels[order]).tolist()) == [33, 33, 34]
    times = torch.bincount(order, minlength=100)
    assert times[:90].max() == 1  # of a large class none is shown twice
    assert set(times[90:98].tolist()) <= {4, 5}
    assert set(times[98:].tolist()) <= {16, 17}


def test_balanced_weights_make_classes_weigh_the_same():
    counts = [90, 8, 2]
    weights = balanced_weights(counts)
    assert [w * n for w, n in zip(weights, counts, strict=True)] == pytest.approx([100 / 3] * 3)


def test_a_look_tells_sizes_and_dead_units(tmp_path):
    net = small()
    with torch.no_grad():
        net.get_parameter("1.weight").zero_()
        net.get_parameter("1.bias").copy_(
            torch.tensor([1.0, -1.0, -1.0, -1.0])
        )  # three of four never fire
    chosen = recipe(freeze_norm=True, health=4, schedule="constant", lr=1e-9)
    health = Health(tmp_path, 4, Plan(), print)
    run(net, chosen, tmp_path, health=health)
    with (tmp_path / "health.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0"] * 5 + ["4"] * 5
    assert [row["layer"] for row in rows[:5]] == ["0", "1", "2", "3", "4"]
    relu = rows[2]
    assert (float(relu["dead"]), float(relu["output"])) == (
        0.75,
        0.5,
    )  # root of a mean of a quarter
    weight = net.get_parameter("4.weight").detach()
    assert float(rows[4]["weight"]) == pytest.approx(float(weight.square().mean().sqrt()), rel=1e-4)
    assert float(rows[4]["gradient"]) > 0
    assert relu["weight"] == relu["gradient"] == ""
    assert not any(m._forward_hooks for m in net.modules())


def test_a_net_of_doubles_can_be_looked_at():
    net = small().double()
    with scales(net) as found:
        net(torch.ones(2, 1, 8, 8, dtype=torch.float64)).sum().backward()
    statistics = LayerStatistics(0, found)
    statistics.gradients(net)
    assert len(statistics.rows()) == 5
    assert statistics.rows()[4]["gradient"] > 0


def test_a_look_changes_nothing_of_what_is_computed(tmp_path):
    nets = [small(), small()]
    for net, every in zip(nets, (0, 1), strict=True):
        run(net, recipe(), tmp_path, health=Health(tmp_path, every, Plan(), print))
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_rows_of_steps_that_are_done_again_are_dropped(tmp_path):
    health = Health(tmp_path, 1, Plan(), print)
    run(small(), recipe(epochs=2), tmp_path, health=health)
    whole = (tmp_path / "health.csv").read_text()
    health.forget(2)
    kept = (tmp_path / "health.csv").read_text()
    assert whole.startswith(kept)
    assert kept.splitlines()[-1].startswith("1,")


def test_a_log_that_cannot_be_written_ends_no_training(tmp_path):
    said = []
    run(
        small(),
        recipe(),
        tmp_path,
        health=Health(tmp_path / "no" / "folder", 1, Plan(), said.append),
    )
    assert len(said) == 1
    assert said[0].endswith(
        "health.csv cannot be written (No such file or directory); the training goes on without"
    )


def test_the_layer_where_numbers_broke_is_named(tmp_path):
    class Breaks(nn.Module):
        def forward(self, x):
            return x / (x - x)

    net = nn.Sequential(nn.Conv2d(1, 2, 3), Breaks(), nn.Flatten(), nn.Linear(72, 3))
    with pytest.raises(BrokenStepError, match="the output of 1 too") as caught:
        run(net, recipe(), tmp_path)
    assert caught.value.details["output"] == "1"


def test_the_scale_of_the_loss_falls_at_once_and_rises_slowly():
    scale = LossScale(factor=8.0)
    assert scale.overflowed()
    assert (scale.factor, scale.skipped) == (4.0, 1)
    for _ in range(2000):
        scale.passed()
    assert (scale.factor, scale.good) == (8.0, 0)
    assert not LossScale(factor=1.0).overflowed()


def test_tensorboard_is_told_where_it_is_installed(tmp_path, monkeypatch):
    from striate.training.logs import Board

    told = []
    board = Board.__new__(Board)
    board.writer = SimpleNamespace(
        add_scalar=lambda *words: told.append(words), flush=lambda: None, close=lambda: None
    )
    health = Health(tmp_path, 8, Plan(), print, board)
    run(small(), recipe(), tmp_path, health=health)
    assert ("dead/2", pytest.approx(0.0), 0) in told
    assert all(math.isfinite(value) for _, value, _ in told)
    board.epoch({"val_loss": 0.5, "lr": math.nan}, 9)
    assert told[-1] == ("epoch/val_loss", 0.5, 9)
    assert logs.COLUMNS[2:] == ("output", "dead", "weight", "gradient")


def test_patience_and_time_end_a_training(tmp_path):
    chosen = recipe(patience=2, epochs=50)
    net = small()
    state = State.begin(net, chosen, Plan())
    ended = []

    def judged(state, epoch):
        ended.append(epoch)
        state.course.judge(1.0, chosen)

    loop.run(state, setting(chosen, tmp_path), after_step=lambda _s: None, after_epoch=judged)
    assert ended == [0, 1, 2]  # a minimum, and two epochs without another

    chosen = recipe(budget=1.0, epochs=None)
    made = setting(chosen, tmp_path)
    ticks = iter([0.1 * i for i in range(100)])
    made = loop.Setting(
        made.batches, made.task, chosen, made.plan, made.health, lambda: next(ticks)
    )
    state, ended = State.begin(small(), chosen, Plan()), []
    loop.run(
        state, made, after_step=lambda _s: None, after_epoch=lambda _s, epoch: ended.append(epoch)
    )
    assert 1 <= state.step <= 10
    assert next(ticks) >= 1.0
    assert ended[-1] == (state.step - 1) // 2


@pytest.mark.parametrize(
    ("name", "half"),
    [
        ("lenet5", None),
        ("resnet18", {"conv1", "bn1", "layer1.0", "layer1.1", "layer2.0"}),
    ],
)
def test_half_of_the_blocks_are_frozen(name, half):
    net = catalog.build(name, num_classes=3)
    frozen = is_frozen(net, ("half",))
    held = {path for path in blocks(net) if frozen(path)}
    others = [path for path in blocks(net) if not frozen(path)]
    assert half in (None, held)
    assert held == set(blocks(net)[: len(held)])
    assert 0 <= len(others) - 1 - len(held) <= 1  # the head is not counted
    assert frozen(f"{blocks(net)[0]}.weight")
    assert not frozen(net.head)
    still = sum(p.numel() for path, p in net.named_parameters() if frozen(path))
    every = sum(p.numel() for p in net.parameters())
    said = freezing.words(net, recipe(freeze="half"))
    assert said.startswith(
        f"freeze=half: {still:,} of {every:,} weights stay as they are, from conv1 to "
    )
    assert freezing.words(net, recipe()) == ""


@pytest.mark.parametrize("word", ["half", "features"])
def test_a_part_that_holds_no_weight_is_refused(word):
    with pytest.raises(RecipeError, match=f"freeze={word}: holds no weight of this net"):
        check(catalog.build("linear", num_classes=3), recipe(freeze=word))


def test_half_of_a_net_on_a_backbone_is_half_of_that():
    net = catalog.build("fcn", num_classes=3)
    frozen = is_frozen(net, ("half",))
    found = [frozen(name) for name, _ in net.named_parameters()]
    assert 0.1 < sum(found) / len(found) < 0.6
    assert all(name.startswith("backbone.") for name, _ in net.named_parameters() if frozen(name))
