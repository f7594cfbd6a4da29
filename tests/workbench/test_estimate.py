"""What is said before the first step: memory against what is there, time, and layers that do not fit."""

import re
import subprocess
import sys

import pytest
from torch import nn

import striate
from striate.errors import NumericError, ShapeError
from striate.measuring import training_cost
from striate.models import catalog
from striate.plan import choosing
from striate.training import Estimate, Progress, read_recipe
from striate.training.defaults import with_defaults
from striate.workbench import estimate
from striate.workbench.estimate import FreeMemory
from striate.workbench.train import train_recipe

MIB = 2**20


def looked(shapes, monkeypatch, room, **settings):
    monkeypatch.setattr(estimate, "free_memory", lambda _device: room)
    data = striate.open(shapes)
    recipe = with_defaults(read_recipe("quick", settings), data)
    net = catalog.build(
        str(recipe.net),
        in_channels=1,
        num_classes=3,
        size=recipe.size,
        width=recipe.width,
        **recipe.options,
    )
    return estimate.estimate(net, recipe, data), recipe


def test_what_is_needed_is_the_receipt_and_what_is_kept_beside_it(shapes):
    data = striate.open(shapes)
    recipe = with_defaults(
        read_recipe("quick", {"net": "resnet18", "size": 32, "batch": 64, "augment": "none"}), data
    )
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(7200, 3))
    weights = 4 * sum(p.numel() for p in net.parameters())
    for settings, batch, copies in [({}, 64, 1), ({"ema": 0.9}, 64, 2), ({"accumulate": 4}, 16, 1)]:
        ahead = estimate.StepNeeds(net, recipe.model_copy(update=settings), data, (1, 32, 32))
        cost = training_cost(net, (1, 32, 32), batch=batch, optimizer="adamw")
        parts = int(settings.get("accumulate", 1))
        assert ahead.need(ahead.cost(parts)) == cost.peak + copies * weights
    shifted = estimate.StepNeeds(
        net, recipe.model_copy(update={"augment": "shift"}), data, (1, 32, 32)
    )
    assert shifted.need(cost) - cost.peak - weights == 72 * 32 * 32


def test_a_training_that_cannot_fit_is_refused_with_what_would(shapes, monkeypatch):
    settings = {"net": "resnet18", "size": 64, "batch": 32}
    fits, _ = looked(shapes, monkeypatch, FreeMemory(2**40, "x"), **settings)
    assert fits.memory.endswith(" MiB of memory, 1024.0 GiB are free")
    assert (fits.parts, fits.close) == (1, False)
    with pytest.raises(NumericError) as caught:
        looked(shapes, monkeypatch, FreeMemory(200 * MIB, "limit of this container"), **settings)
    text = str(caught.value)
    assert text.startswith("batch=32 of 1x64x64 takes ")
    assert "200 MiB are free (limit of this container): width=0.5 " in text
    for words in ("size=32 ", "accumulate=2 ", "oom=halve"):
        assert words in text
    assert caught.value.exit_status == 4


def test_batches_are_computed_in_parts_where_that_is_asked_for(shapes, monkeypatch):
    settings = {"net": "resnet18", "size": 64, "batch": 32, "width": 0.25, "oom": "halve"}
    whole, recipe = looked(shapes, monkeypatch, FreeMemory(2**40, "x"), **settings)
    halved, _ = looked(shapes, monkeypatch, FreeMemory(2**40, "x"), accumulate=2, **settings)
    need, enough = (int(known.memory.split()[0]) for known in (whole, halved))
    assert need > enough + 1
    some, _ = looked(shapes, monkeypatch, FreeMemory((enough + 1) * MIB, "the limit"), **settings)
    assert some.parts == 2
    assert some.memory.endswith("(the limit): batches are computed in 2 parts")
    assert recipe.accumulate == 1


def test_time_and_memory_are_one_line():
    recipe = read_recipe("quick", {"epochs": 20})
    forms = [["width=0.5 5 min, 10 MiB"]]
    ahead = Estimate(memory="20 MiB of memory, 9.0 GiB are free", smaller=lambda _s: forms[0])
    assert ahead.as_text(3.0, recipe) == (
        "about 60 s of training: 20 epochs of 3.0 s; 20 MiB of memory, 9.0 GiB are free"
    )
    assert ahead.as_text(60.0, recipe) == (
        "about 20 min of training: 20 epochs of 60.0 s; 20 MiB of memory, 9.0 GiB are free; "
        "fewer epochs= take less; width=0.5 5 min, 10 MiB instead"
    )
    assert ahead.as_text(None, recipe) == "20 MiB of memory, 9.0 GiB are free"
    budget = read_recipe("quick", {"budget": "30s"})
    assert Estimate().as_text(20.0, budget) == "30 s in all, as asked for: about 1.5 epochs"
    assert Estimate().as_text(2.0, budget, 20.0) == "30 s in all, as asked for: about 10.0 epochs"
    assert Estimate().as_text(None, recipe) == ""
    once = read_recipe("quick", {"epochs": 1})
    assert Estimate().as_text(3.0, once) == "about 3 s of training: 1 epoch of 3.0 s"


def test_the_least_room_counts(tmp_path, monkeypatch):
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    for name, content in [
        ("memory.max", "max\n"),
        ("memory.current", "10\n"),
        ("memory.stat", "anon 5\ninactive_file 3\n"),
    ]:
        (group / name).write_text(content)
        (group.parent / name).write_text(content.replace("max", "100"))
    monkeypatch.setattr(estimate, "CGROUPS", tmp_path)
    monkeypatch.setattr(estimate.Path, "read_text", _reading("0::/a/b\n", estimate.Path.read_text))
    assert [room.bytes for room in estimate._container()] == [93]
    assert estimate.free_memory() == FreeMemory(93, "limit of this container")


def _reading(group, read):
    return lambda path, **words: group if str(path) == "/proc/self/cgroup" else read(path, **words)


LIMITED = """
import resource, sys
from striate import cli
taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
import torch, striate.workbench.train, striate.workbench.progress, sklearn.datasets
taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
limit = taken + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(cli.main(sys.argv[2:]))
"""


def limited(mib, *words):
    command = [sys.executable, "-c", LIMITED, str(mib), "train", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_under_a_limited_address_space_it_is_refused_before_anything_is_read(shapes, tmp_path):
    words = [
        "net=resnet18",
        "size=128",
        "batch=64",
        "plan=default",
        "epochs=1",
        "--out",
        str(tmp_path),
    ]
    done = limited(700, str(shapes), *words)
    assert done.returncode == 4, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("striate: ")]
    assert line.startswith("striate: batch=64 of 1x128x128 takes ")
    assert "(limit of this process, ulimit -v): width=0.5 " in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_under_a_limited_address_space_a_smaller_one_runs(shapes, tmp_path):
    words = ["net=lenet5", "batch=16", "plan=default", "epochs=1", "--out", str(tmp_path)]
    done = limited(1500, str(shapes), *words)
    assert done.returncode == 0, done.stderr
    assert "of memory, " in done.stderr


class Wide(nn.Module):
    """A kernel that is larger than its input, deep inside."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, 4)
        self.body = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 9))

    def forward(self, x):
        return self.body(self.stem(x)).mean((2, 3))


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Wide(), r"^body\.1 \(Conv2d\): .*9x9.*7x7.* at input 1x28x28"),
        (nn.Conv2d(3, 3, 3), r"expects 3 channels, got 1 in 1x28x28"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(99, 3)),
            r"^1 \(Linear\): expects 99 features, got 1x28x28 = 784",
        ),
    ],
)
def test_a_layer_that_does_not_fit_is_named_before_anything_is_read(
    shapes, tmp_path, monkeypatch, net, message
):
    monkeypatch.setattr(striate.Data, "arrays", pytest.fail)
    with pytest.raises(ShapeError, match=message) as caught:
        striate.train(shapes, net, out=tmp_path)
    assert caught.value.exit_status == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"net": "vgg16", "size": 16}, "vgg16"),
        ({"net": "lenet5", "size": 9}, "lenet5"),
        ({"net": "alexnet", "size": 8}, "alexnet"),
    ],
)
def test_pictures_smaller_than_a_net_takes(shapes, tmp_path, monkeypatch, settings, message):
    monkeypatch.setattr(striate.Data, "arrays", pytest.fail)
    with pytest.raises(striate.errors.UsageError, match=message):
        train_recipe(shapes, read_recipe("quick", settings), out=tmp_path, progress=Progress())
    assert not list(tmp_path.iterdir())


# The net takes a number out of a tensor, which torch warns of where the report asks for gradients.
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_a_net_that_cannot_be_followed_is_trained_all_the_same(shapes, tmp_path):
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(784, 3)

        def forward(self, x):
            return self.fc(x.flatten(1)) if float(x.sum()) > -1e9 else x

    assert striate.train(shapes, Counts(), out=tmp_path, epochs=1).summary["epochs"] == 1


def test_fields_wider_than_the_pictures_are_no_matter_of_a_training(shapes, monkeypatch):
    ahead, recipe = looked(shapes, monkeypatch, None, net="resnet18", size=64)
    net = catalog.build("resnet18", in_channels=1, num_classes=3, size=recipe.size)
    sheet = striate.measure(net, (1, 64, 64))
    assert (sheet.beyond_input is not None, sheet.findings) == (True, ())
    assert ahead.findings == ()


@pytest.mark.parametrize(
    "settings",
    [
        {"net": "googlenet", "size": 64, "width": 0.125},
        {"net": "alexnet", "size": 64, "width": 0.125, "batch_norm": True},
        {"net": "enet_imagenet", "size": 32, "width": 0.25},
    ],
    ids=lambda settings: settings["net"],
)
def test_nets_of_the_catalogue_are_not_told_to_be_written_otherwise(settings, shapes, monkeypatch):
    ahead, _ = looked(shapes, monkeypatch, None, **settings)
    assert ahead.findings == ()


def test_a_slow_net_says_what_it_takes_before_ways_to_run_it_are_timed(
    shapes, tmp_path, monkeypatch
):
    monkeypatch.setattr(choosing, "SLOW", 0.0)
    said: list[str] = []
    recipe = read_recipe("quick", {"net": "linear", "epochs": 2})
    train_recipe(shapes, recipe, out=tmp_path, progress=Progress(say=said.append))
    early = [line for line in said if line.startswith("by its first step alone: about ")]
    assert len(early) == 1
    assert re.search(r"of training: 2 epochs of .* of memory", early[0])
    assert said.index(early[0]) < next(i for i, line in enumerate(said) if "measured" in line)
