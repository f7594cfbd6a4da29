"""What training costs: backward MACs against PyTorch's counter, memory against what autograd really keeps."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from striate.errors import ArgumentError, UsageError
from striate.measuring import forecast, training_cost
from striate.models.catalog import build


class Attend(nn.Module):
    def __init__(self):
        super().__init__()
        self.into = nn.Linear(6, 6)

    def forward(self, x):
        x = self.into(x)
        return torch.einsum("bij,bkj->bik", x, x) @ x


class Branches(nn.Module):
    """A first layer read twice, a frozen one, a batched product, a transposed and a dilated convolution."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=2, dilation=2, bias=False)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.frozen = nn.Conv2d(4, 4, 1).requires_grad_(requires_grad=False)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.a(x)
        x = F.relu(self.norm(self.b(x) + x))
        return self.frozen(self.up(x)).flatten(2) @ torch.ones(1, 256, 3)


def _frozen():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 3))
    net[0].requires_grad_(requires_grad=False)
    return net


NETS = {
    "lenet5": (lambda: build("lenet5"), (1, 28, 28)),
    "resnet18": (lambda: build("resnet18", size=64, width=0.25), (3, 64, 64)),
    "branches": (Branches, (2, 8, 8)),
    "attend": (Attend, (5, 6)),
    "one dimension": (lambda: nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.ConvTranspose1d(3, 2, 3)), (2, 9)),
    "three dimensions": (lambda: nn.Sequential(nn.Conv3d(1, 2, 3), nn.MaxPool3d(2), nn.Conv3d(2, 2, 1)), (1, 8, 8, 8)),
    "frozen first": (_frozen, (3, 8, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("batch", [1, 3])
def test_macs_both_ways_are_what_pytorch_does(name, batch):
    make, shape = NETS[name]
    net = make().eval()
    cost = training_cost(net, shape, batch=batch)
    x = torch.rand(batch, *shape, generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as forward:
        output = net(x)
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    assert cost.forward == forward.get_total_flops() // 2
    assert cost.backward == backward.get_total_flops() // 2


def test_backward_by_formula():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3))
    cost = training_cost(net, (1, 8, 8), batch=2)
    first, second = 2 * 36 * 9, 2 * 16 * 18
    assert cost.forward == 2 * (first + second)
    # Twice the forward pass, without the gradient of the pixels.
    assert cost.backward == 2 * cost.forward - 2 * first
    assert cost.as_dict()["macs"] == {"forward": cost.forward, "backward": cost.backward}


def test_groups_by_hand():
    # torch.utils.flop_counter takes the gradient of grouped weights for that of a full kernel.
    net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1, groups=2))
    cost = training_cost(net, (4, 5, 5))
    first, second = 4 * 9 * 9, 8 * 9 * 2
    assert (cost.forward, cost.backward) == (first + second, first + 2 * second)


def test_a_net_whose_control_flow_needs_numbers_runs_on_them():
    class Choosy(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(x) if x.sum().item() > -1 else x

    assert training_cost(Choosy(), (3,), batch=2).saved == 4 * 2 * 3


@pytest.mark.parametrize("name", NETS)
def test_what_is_kept_is_predicted_exactly(name):
    make, shape = NETS[name]
    cost = training_cost(make(), shape, batch=2, memory=True)
    assert cost.saved == cost.measured


def test_memory_by_hand():
    net = nn.Sequential(nn.Linear(10, 20, bias=False), nn.Tanh(), nn.Linear(20, 5, bias=False))
    for optimizer, numbers, steps in (("sgd", 0, 0), ("momentum", 1, 0), ("adamw", 2, 2)):
        cost = training_cost(net, (10,), batch=4, optimizer=optimizer)
        assert cost.weights == cost.gradients == 4 * 300
        assert cost.state == numbers * 4 * 300 + 4 * steps
        # The input for the first layer's weights, and tanh's output for itself and the second layer, once.
        assert cost.saved == 4 * 4 * (10 + 20)
        assert cost.working == 2 * 4 * 4 * 20
        assert cost.peak == cost.weights + cost.gradients + cost.state + cost.saved + cost.working


def test_optimiser_state_is_what_torch_holds():
    net = build("lenet5")
    for name, made in (
        ("momentum", torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)),
        ("adamw", torch.optim.AdamW(net.parameters())),
    ):
        net(torch.zeros(1, 1, 28, 28)).sum().backward()
        made.step()
        held = [t for s in made.state.values() for t in s.values() if isinstance(t, torch.Tensor)]
        cost = training_cost(net, optimizer=name)
        assert cost.state == sum(t.numel() * t.element_size() for t in held)


def test_the_net_is_as_before():
    net = build("resnet18", size=32, width=0.25).eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    seed = torch.get_rng_state()
    training_cost(net, (3, 32, 32), batch=2, memory=True)
    assert not net.training
    assert torch.equal(torch.get_rng_state(), seed)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_a_step_is_timed_by_a_plan():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    cost = training_cost(net, (1, 8, 8), batch=4, time=True)
    assert cost.plan
    assert cost.as_dict()["step_ms"] == cost.plan.step_ms
    assert "a step, measured" in str(cost)


def test_a_forecast_is_the_receipt_of_the_net_built_smaller():
    net = build("resnet18", size=64, init=False)
    told = forecast("resnet18", training_cost(net, (3, 64, 64), batch=2), (3, 64, 64))
    rows = told.as_list()
    assert [(row["width"], row["input"]) for row in rows] == [
        (width, [3, side, side]) for width in (1.0, 0.5) for side in (64, 48, 32)
    ]
    small = build("resnet18", size=32, width=0.5, init=False)
    cost = training_cost(small, (3, 32, 32), batch=2)
    assert rows[-1]["peak_bytes"] == cost.peak
    assert rows[-1]["macs"] == cost.forward + cost.backward
    assert rows[-1]["params"] == sum(p.numel() for p in small.parameters())
    assert rows[0]["time"] == 1
    # LeNet-5 takes 28 and 32 pixels alone: only its width is left.
    lenet = forecast("lenet5", training_cost(build("lenet5")), (1, 28, 28))
    assert {tuple(row["input"]) for row in lenet.as_list()} == {(1, 28, 28)}


def test_what_cannot_be_trained_is_said():
    with pytest.raises(ArgumentError) as error:
        training_cost(build("lenet5"), batch=0)
    assert str(error.value) == "batch=0: expected at least 1 item"
    with pytest.raises(ArgumentError) as error:
        training_cost(build("lenet5"), optimizer="adam")
    assert (
        str(error.value) == "optimizer='adam': did you mean adamw? There are: adamw, momentum, sgd"
    )

    with pytest.raises(UsageError) as caught:
        training_cost(nn.Sequential(nn.BatchNorm1d(2)), (2,))
    assert str(caught.value) == (
        "the net does not train on such inputs: Expected more than 1 value per channel when training, "
        "got input size torch.Size([1, 2])"
    )
