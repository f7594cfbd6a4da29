"""Nets that stop in the middle: the sheet of what ran, and what is missing; the net is as before all the same."""

import contextlib
import json

import pytest
import torch
from torch import nn

from striate.errors import StriateError, UsageError
from striate.measuring import effective, measure, to_mlp, training_cost
from twins.fields.reach import reach


class Stops(nn.Module):
    """Two convolutions, then code that fails, then a head that is never reached."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, stride=2)
        self.second = nn.Sequential(nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2), nn.Identity())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
        self.steps = 0

    def forward(self, x):
        y = self.second(self.first(x))
        raise RuntimeError("no card in this machine")
        return self.head(y)


def test_the_sheet_holds_what_ran():
    sheet = measure(Stops(), (1, 11, 11))
    assert [row.path for row in sheet.layers] == ["first", "second.0", "second.1"]
    assert sheet.totals.macs == 4 * 25 * 9 + 2 * 9 * 4 * 9
    assert sheet.totals.params == 40 + 74 + 4 + 27
    field, stopped = sheet.layers[-1].field, sheet.unfinished
    assert field
    assert field.size == (7, 7)
    assert stopped
    assert (stopped.path, stopped.missing, stopped.params) == ("", ("head.0", "head.1"), 27)
    assert stopped.text == (
        "Stops: forward failed: no card in this machine, at input 1x11x11; check the input shape or the layer"
    )
    assert str(sheet).splitlines()[-1] == (
        "Executed up to the net itself only; MACs, connections and bytes are of what ran. "
        f"{stopped.text}. Never ran: head.0, head.1 (27 parameters)."
    )
    assert "Never ran: head.0" in sheet.as_html()
    assert json.loads(json.dumps(sheet.as_dict()))["unfinished"]["missing"] == ["head.0", "head.1"]


def test_nothing_is_said_that_only_the_end_can_tell():
    kinds = {finding.kind for finding in measure(Stops(), (1, 12, 12)).findings}
    assert kinds == {"bias"}
    assert measure(Stops(), (1, 12, 12)).unread.count is None


def test_a_layer_before_the_end_still_has_its_pixels():
    assert reach(Stops(), (1, 11, 11), "second.0", (0, 0)).box == ((0, 6), (0, 6))
    with pytest.raises(UsageError):
        reach(Stops(), (1, 11, 11))
    with pytest.raises(UsageError):
        reach(Stops(), (1, 11, 11), "head.1")


def test_a_net_that_calls_nothing_has_no_sheet():
    class Empty(nn.Module):
        def forward(self, _x):
            raise RuntimeError("no card in this machine")

    with pytest.raises(UsageError):
        measure(Empty(), (1, 11, 11))


def test_a_net_that_runs_has_nothing_missing():
    sheet = measure(nn.Sequential(nn.Conv1d(1, 1, 3)), (1, 9))
    assert sheet.unfinished is None
    assert sheet.as_dict()["unfinished"] is None


WORK = [measure, reach, to_mlp, lambda net, shape: training_cost(net, shape, batch=2, memory=True)]


@pytest.mark.parametrize("work", WORK, ids=["measure", "reach", "to_mlp", "training_cost"])
def test_the_net_is_as_before_also_when_it_stops(work):
    net = Stops().train()
    net.second.eval()
    net.first.weight.grad = torch.ones_like(net.first.weight)
    seen: list[int] = []
    handle = net.first.register_forward_hook(lambda *_: seen.append(1))
    state = {key: value.clone() for key, value in net.state_dict().items()}
    seed, threads = torch.get_rng_state(), torch.get_num_threads()
    with contextlib.suppress(StriateError):
        work(net, (1, 11, 11))
    assert [module.training for module in net.modules()] == [
        True,
        True,
        *[False] * 4,
        True,
        True,
        True,
    ]
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert all(p.device.type == "cpu" and p.requires_grad for p in net.parameters())
    assert torch.equal(net.first.weight.grad, torch.ones_like(net.first.weight))
    assert net.second[0].weight.grad is None
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()] == [
        0,
        1,
        *[0] * 7,
    ]
    assert seen == []
    handle.remove()
    assert torch.equal(torch.get_rng_state(), seed)
    assert torch.get_num_threads() == threads
    assert not torch.nn.modules.module._global_forward_hooks


def test_the_net_itself_runs_only_where_it_must_and_is_as_before():
    net = Stops().train()
    with pytest.raises(RuntimeError, match="no card"):
        effective(net, torch.zeros(1, 1, 11, 11))
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())
    assert all(p.grad is None for p in net.parameters())
