"""Several processes train as one: the same items, the same sums, the same weights; lost ones are replaced."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from striate.training.ddp import Ranks, _lost

SCRIPT = Path(__file__).with_name("in_ranks.py")
HUNDRED = {"items": 80, "batch": 8, "epochs": 10, "augment": "shift", "schedule": "cosine", "lr": 0.02}  # fmt: skip


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def started(world, out, settings, port=None):
    """The processes of one training, as a launcher would start them."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port or free_port()), "OMP_NUM_THREADS": "1"}  # fmt: skip
    command = [sys.executable, str(SCRIPT), str(out), json.dumps(settings)]
    plain = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    return [
        subprocess.Popen(
            command,
            env=plain
            | (place | {"RANK": str(rank), "WORLD_SIZE": str(world)} if world > 1 else {}),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def trained(world, folder, **settings):
    out = folder / f"{world}"
    out.mkdir()
    for process in started(world, out, {**HUNDRED, **settings}):
        errors = process.communicate(timeout=300)[1]
        assert process.returncode == 0, errors
    return out


def weights(out):
    return safetensors.torch.load_file(out / "weights.safetensors")


def rows(out):
    return json.loads((out / "rows.json").read_text())


def items(out, world):
    """Of every step the numbers of its items, those of the processes one after the other."""
    each = [json.loads((out / f"items-{rank}.json").read_text()) for rank in range(world)]
    return [list(itertools.chain(*parts)) for parts in zip(*each, strict=True)]


def test_a_batch_is_shared_as_it_is_split():
    for count in range(1, 12):
        whole = torch.arange(count)
        for world in range(1, 6):
            ranks = [Ranks(None, rank, world) for rank in range(world)]
            expected = whole.tensor_split(world)
            assert [whole[r.part(count)].tolist() for r in ranks] == [e.tolist() for e in expected]
            shares = [r.share(whole) for r in ranks]
            assert sum(share for _, share in shares) == pytest.approx(1)
            for (mine, share), rows in zip(shares, expected, strict=True):
                assert mine.tolist() == (rows.tolist() or [0])
                assert share == len(rows) / count


def test_synchronised_normalisation_keeps_names_and_weights():
    made = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    before = {name: t.clone() for name, t in made.state_dict().items()}
    ranks = Ranks(None, 0, 2)
    assert ranks.sync_batch_norm(made, together=False) is made
    assert not isinstance(made[1], nn.SyncBatchNorm)
    after = ranks.sync_batch_norm(made, together=True)
    assert isinstance(after.get_submodule("1"), nn.SyncBatchNorm)
    assert list(after.state_dict()) == list(before)
    assert all(torch.equal(t, before[name]) for name, t in after.state_dict().items())


def test_open_networks_and_restarts_that_hang_are_told(monkeypatch):
    ranks = Ranks(None, 0, 4)
    assert ranks.warnings() == []
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    network, restarts = ranks.warnings()
    assert network.endswith("their network must be trusted")
    assert restarts.startswith("set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun")


def test_only_lost_connections_count_as_lost():
    assert _lost(RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed"))  # fmt: skip
    assert _lost(RuntimeError("Application timeout caused pair closure"))
    assert not _lost(RuntimeError("DefaultCPUAllocator: can't allocate memory for storage"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return trained(1, tmp_path_factory.mktemp("alone"), dtype="float64", optimizer="sgd")


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.full)])
def test_several_processes_see_the_same_items_and_end_with_the_same_weights(alone, tmp_path, world):
    out = trained(world, tmp_path, dtype="float64", optimizer="sgd")
    assert items(out, world) == items(alone, 1)
    assert len(items(alone, 1)) == 100
    expected = weights(alone)
    for name, tensor in weights(out).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-9)
    for mine, theirs in zip(rows(out), rows(alone), strict=True):
        assert (mine["items"], mine["right"]) == (theirs["items"], theirs["right"])
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [(2, 1), *(pytest.param(*counts, marks=pytest.mark.full) for counts in [(1, 3), (2, 4)])],
)
def test_another_number_of_processes_goes_on_with_the_same_items(alone, tmp_path, before, after):
    given = {"dtype": "float64", "optimizer": "sgd"}
    (tmp_path / "after").mkdir()
    first = trained(before, tmp_path, **given, until=47)  # within an epoch
    second = trained(after, tmp_path / "after", **given, begun=str(first))
    assert len(items(first, before)) == 47
    assert items(first, before) + items(second, after) == items(alone, 1)
    expected = weights(alone)
    for name, tensor in weights(second).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-9)
    for mine, theirs in zip(rows(first) + rows(second), rows(alone), strict=True):
        assert (mine["items"], mine["right"]) == (theirs["items"], theirs["right"])
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-9)


@pytest.mark.slow
def test_weighted_sums_of_losses_in_parts_are_shared_exactly(tmp_path):
    given = {"dtype": "float64", "weights": [0.5, 1.0, 3.0], "loss": "0.5*focal+margin"}
    given |= {"accumulate": 3, "ema": 0.9, "clip": 0.5, "items": 75, "epochs": 4}
    one, three = (trained(world, tmp_path, **given) for world in (1, 3))
    assert items(three, 3) == items(one, 1)
    for name, tensor in weights(three).items():
        torch.testing.assert_close(tensor, weights(one)[name], rtol=0, atol=1e-9)


@pytest.mark.slow
def test_partners_of_mixed_items_may_be_another_process_s(tmp_path):
    given = {"dtype": "float64", "augment": "flip+mixup:0.4", "epochs": 4, "batch": 20}
    one, two = (trained(world, tmp_path, **given) for world in (1, 2))
    for name, tensor in weights(two).items():
        torch.testing.assert_close(tensor, weights(one)[name], rtol=0, atol=1e-9)
    assert rows(two)[0]["right"] == rows(one)[0]["right"]


@pytest.mark.full
@pytest.mark.slow
def test_in_float32_the_loss_agrees_within_a_hundredth(tmp_path):
    one, two = (trained(world, tmp_path, dtype="float32") for world in (1, 2))
    for mine, theirs in zip(rows(two), rows(one), strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=0.01)


@pytest.mark.slow
def test_a_process_without_items_takes_part_all_the_same(tmp_path):
    given = {"dtype": "float64", "items": 11, "batch": 3, "epochs": 5, "optimizer": "sgd"}
    one, four = (trained(world, tmp_path, **given) for world in (1, 4))
    assert [row["items"] for row in rows(four)] == [11] * 5  # nothing is counted twice
    assert min(map(len, items(one, 1))) == 2
    for name, tensor in weights(four).items():
        torch.testing.assert_close(tensor, weights(one)[name], rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("on_nan", ["skip:1", pytest.param("rollback", marks=pytest.mark.full)])
def test_what_breaks_in_one_process_is_left_out_by_all(tmp_path, on_nan):
    given = {"dtype": "float64", "on_nan": on_nan, "broken": 3, "epochs": 4, "optimizer": "sgd"}
    one, two = (trained(world, tmp_path, **given) for world in (1, 2))
    lines = [json.loads((out / f"said-{rank}.json").read_text()) for out, rank in [(one, 0), (two, 0), (two, 1)]]  # fmt: skip
    assert [len(said) for said in lines] == [1, 1, 1]
    assert all(said[0].startswith("step 3: the loss is nan") for said in lines)
    assert items(two, 2) == items(one, 1)
    for name, tensor in weights(two).items():
        torch.testing.assert_close(tensor, weights(one)[name], rtol=0, atol=1e-9)


@pytest.mark.slow
def test_what_breaks_in_one_process_ends_all(tmp_path):
    first, second = started(2, tmp_path, {**HUNDRED, "dtype": "float64", "broken": 3})
    errors = [each.communicate(timeout=60)[1] for each in (first, second)]
    assert all("BrokenStepError: step 3: the loss is nan" in said for said in errors)
    assert first.returncode
    assert second.returncode


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_RANK_TIMEOUT", "15")  # beside other work they start seconds apart
    endless = {**HUNDRED, "dtype": "float32", "epochs": 1_000_000}
    first, second = started(2, tmp_path, endless)
    while len(list(tmp_path.glob("began-*"))) < 2:
        assert first.poll() is None
        time.sleep(0.05)
    second.send_signal(signal.SIGSTOP)
    errors = first.communicate(timeout=60)[1]
    second.kill()
    second.communicate()
    assert first.returncode
    assert "PeerError: a process of this training was lost (" in errors


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        first, second = started(2, tmp_path, {**HUNDRED, "dtype": "float32"}, s.getsockname()[1])
        second.kill()
        second.communicate()
        errors = first.communicate(timeout=60)[1]
    assert first.returncode
    assert "UsageError: the processes of this training cannot meet at 127.0.0.1:" in errors
