"""What a run did not show is unknown: no absence is taken as proof, and no unknown number is a zero."""

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F
from torch.nn.attention.flex_attention import flex_attention

from striate.measuring import measure

# Training runs that prove nothing.


class Targets(nn.Module):
    """A head that only training uses, where it needs targets."""

    def __init__(self):
        super().__init__()
        self.body, self.box = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x, targets=None):
        y = self.body(x)
        if self.training:
            if targets is None:
                raise ValueError("in training mode the targets are needed")
            return F.mse_loss(self.box(y), targets)
        return y


class AuxiliaryOnOne(nn.Module):
    """A head of training with batch normalisation over maps of 1x1: it needs two items."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.aux = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)
        )

    def forward(self, x):
        y = self.body(x)
        out = self.head(y.mean((2, 3)))
        return (out, self.aux(y)) if self.training else out


class Experts(nn.Module):
    """Only the expert that the first number chooses runs."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(4, 3)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x):
        weights = self.router(x).softmax(1)
        return self.experts[int(weights[0].argmax())](x) * weights.amax(1, keepdim=True)


class MaskedExperts(Experts):
    """Each item goes to its expert; an expert without items is left out."""

    def forward(self, x):
        best = self.router(x).argmax(1)
        y = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            mine = best == i
            if mine.any():
                y[mine] = expert(x[mine])
        return y


@pytest.mark.parametrize(
    ("net", "shape"), [(Targets(), (3, 8, 8)), (Experts(), (4,)), (MaskedExperts(), (4,))], ids=str
)
def test_parameters_that_other_runs_may_read_are_not_called_unread(net, shape):
    findings = measure(net, shape).findings
    assert {finding.kind for finding in findings} <= {"unknown"}
    assert all("not known" in finding.text for finding in findings)


def test_where_a_training_run_stops_is_said():
    (finding,) = measure(Targets(), (3, 8, 8)).findings
    assert (finding.kind, finding.path) == ("unknown", "box")
    assert finding.text == (
        "10 parameters were not read or got no gradient here; in training mode the net stops at Targets, "
        "so whether training does is not known"
    )


def test_a_head_of_training_that_needs_two_items_is_used():
    assert measure(AuxiliaryOnOne(), (3, 8, 8)).findings == ()


def test_what_no_run_reads_is_still_found():
    net = AuxiliaryOnOne()
    net.spare = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    (finding,) = measure(net, (3, 8, 8)).findings
    assert (finding.kind, finding.path, finding.text) == (
        "unused",
        "spare",
        "12 parameters are never read",
    )


# Outputs of any kind.


@dataclass
class Answer:
    logits: object
    more: object = None


class Plain:
    def __init__(self, logits):
        self.deep = {"logits": logits}


class Slotted:
    __slots__ = ("logits",)

    def __init__(self, logits):
        self.logits = logits


WALKED = {
    "dataclass": Answer,
    "object": Plain,
    "slots": Slotted,
    "set": lambda y: {y},
    "distribution": lambda y: torch.distributions.Normal(y, 1.0),
    "nested": lambda y: [{"a": (Answer(Plain(y)),)}],
    "beside a plain number": lambda y: {"classes": 3, "logits": y},
}
UNSEEN = {
    "numpy": lambda y: y.detach().numpy(),
    "number": lambda y: float(y.sum()),
    "list of numbers": lambda y: y.flatten().tolist(),
    "nothing": lambda _: None,
    "beside a number made of it": lambda y: {"mean": y.mean().item(), "part": y[..., :2].detach()},
}


class Gives(nn.Module):
    def __init__(self, give):
        super().__init__()
        self.conv, self.give = nn.Conv2d(1, 2, 3), give

    def forward(self, x):
        return self.give(self.conv(x))


@pytest.mark.parametrize("kind", WALKED)
def test_outputs_are_found_wherever_they_lie(kind):
    sheet = measure(Gives(WALKED[kind]), (1, 8, 8))
    assert (sheet.findings, sheet.unread.count) == ((), 0)
    assert sheet.field == measure(Gives(lambda y: y), (1, 8, 8)).field


@pytest.mark.parametrize("kind", UNSEEN)
def test_of_outputs_that_cannot_be_followed_nothing_is_claimed(kind):
    sheet = measure(Gives(UNSEEN[kind]), (1, 8, 8))
    assert {finding.kind for finding in sheet.findings} == {"unknown"}
    assert "outputs not seen" in sheet.findings[0].text
    assert sheet.as_dict()["unread"] == {"count": None, "of": 64}


# Functions that are not followed.


def gather(x):
    return x.gather(3, torch.zeros(1, 1, 8, 2, dtype=torch.long, device=x.device))


UNFOLLOWED = {
    "gather": gather,
    "index_select": lambda x: x.index_select(3, torch.arange(4, device=x.device)),
    "tensor indexing": lambda x: x[:, :, torch.arange(4, device=x.device)],
    "two tensors": lambda x: x[
        ..., torch.arange(4, device=x.device), torch.arange(4, device=x.device)
    ],
    "take": lambda x: x.take(torch.arange(4, device=x.device)),
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "antialias": lambda x: F.interpolate(x, size=(3, 3), mode="bilinear", antialias=True),
    "fractional": lambda x: F.fractional_max_pool2d(x, 2, output_size=3),
    "histc": lambda x: torch.histc(x, 4),
}
FOLLOWED = {
    "diff": (lambda x: x.diff(dim=3), (8, 8), 0),
    "diff twice": (lambda x: torch.diff(x, 2, 2)[:, :, :2], (8, 8), 4 * 8),
    "tril": (lambda x: x.tril(), (8, 8), 0),
    "triu": (lambda x: x.triu()[..., :4], (8, 8), 32),
    "norm": (lambda x: torch.linalg.vector_norm(x, dim=3)[:, :, :4], (8, 8), 32),
    "roll": (lambda x: x.roll(2, 3)[..., :4], (8, 8), 32),
}


@pytest.mark.parametrize("name", UNFOLLOWED)
def test_after_what_is_not_followed_field_and_unread_are_unknown(name):
    class Net(nn.Module):
        def forward(self, x):
            return UNFOLLOWED[name](x * 2)

    sheet = measure(Net(), (1, 8, 8))
    assert (sheet.field, sheet.unread.count) == (None, None)
    assert "unknown" in {finding.kind for finding in sheet.findings}
    assert "unread" not in {finding.kind for finding in sheet.findings}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_followed_is_counted(name):
    way, sides, unread = FOLLOWED[name]

    class Net(nn.Module):
        def forward(self, x):
            return way(x * 2)

    assert measure(Net(), (1, *sides)).unread.count == unread


def test_what_others_read_of_it_all_is_known_whatever_is_not_followed():
    class Both(nn.Module):
        def forward(self, x):
            return x.relu(), gather(x)

    assert measure(Both(), (1, 8, 8)).unread.count == 0


# Ways to compute that observers have trouble with.


class Ensemble(nn.Module):
    def __init__(self):
        super().__init__()
        self.models = nn.ModuleList(nn.Linear(3, 4) for _ in range(3))
        self.base = [copy.deepcopy(self.models[0]).to("meta")]

    def forward(self, x):
        state = stack_module_state(list(self.models))
        return vmap(lambda p, b: functional_call(self.base[0], (p, b), (x,)))(*state)


class Mapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 3))

    def forward(self, x):
        return vmap(lambda one: one @ self.w.t())(x)


class Either(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return torch.cond(x.sum() > 0, self.a.forward, self.b.forward, (x,))


class Flexible(nn.Module):
    def forward(self, x):
        return flex_attention(x, x, x)


class Ragged(nn.Module):
    def __init__(self, layout):
        super().__init__()
        self.linear, self.layout = nn.Linear(3, 4), layout

    def forward(self, x):
        return self.linear(
            torch.nested.nested_tensor([x[0], x[0, :2]], layout=self.layout)
        ).to_padded_tensor(0.0)


@pytest.mark.parametrize(
    ("net", "shape", "macs"),
    [
        (Ensemble(), (3,), 3 * 12), (Mapped(), (5, 3), 60), (Either(), (1, 8, 8), 36 * 18),
        (Flexible(), (2, 16, 8), 2 * 2 * 16 * 16 * 8),
    ],
    ids=["ensemble", "vmap", "cond", "flex"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_nothing_is_counted_as_less_than_it_is(net, shape, macs):
    sheet = measure(net, shape)
    assert sheet.totals.macs == macs
    assert sheet.unfinished is None


@pytest.mark.filterwarnings("ignore")
def test_a_scripted_net_is_counted_as_a_whole():
    sheet = measure(torch.jit.script(nn.Conv2d(2, 2, 3)), (2, 8, 8))
    assert (sheet.totals.macs, sheet.unread.count) == (36 * 36, None)


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_nested_tensors_are_not_counted_and_the_net_not_blamed(layout):
    sheet = measure(Ragged(layout), (5, 3))
    said = [*sheet.counts.uncounted, sheet.unfinished.text if sheet.unfinished else ""]
    assert any("of nested tensors" in each for each in said)
    if sheet.unfinished:
        assert "the net runs, but" in sheet.unfinished.text


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_layer_is_named_as_not_counted():
    plain = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    net = torch.ao.quantization.quantize_dynamic(  # pyright: ignore[reportDeprecated]
        plain, {nn.Linear}, dtype=torch.qint8
    )
    assert measure(net, (8,)).counts.uncounted == ("linear_dynamic",)
