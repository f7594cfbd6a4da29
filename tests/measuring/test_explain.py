"""One number after the other against PyTorch in float64, its gradients, and counts by hand."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import striate
from striate.errors import ArgumentError, ShapeError
from striate.measuring import explain
from striate.models.catalog import build
from striate.probe import record

AXES = (1, 2, 3)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded(net, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*net.parameters(), *net.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return net


def into(told, term=None, *, factor=False):
    """The explanation of a number that another was made of."""
    found = told.step(term, factor=factor)
    assert found
    return found


def _source(term):
    assert term.source
    return term.source.at


def middle(shape):
    return tuple(n // 2 for n in shape[1:])


def check(net, x, at=None, *, layer="0"):
    """The number, its float64 twin, its bound, and its factors against autograd."""
    wide = x.double().requires_grad_()
    output = net.double().eval()(wide)
    at = middle(output.shape) if at is None else at
    number = output[(0, *at)]
    (slopes,) = torch.autograd.grad(number, wide)
    told = explain(net.float(), x, layer=layer, at=at)
    assert told.done.exact == pytest.approx(number.item(), rel=1e-12, abs=1e-13)
    assert told.within
    felt = torch.zeros_like(slopes)
    for term in told.done.terms:
        if term.source:
            assert float(x[term.source.at]) == term.input
            felt[term.source.at] += term.factor
    return told, felt, slopes


@st.composite
def windows(draw):
    axes = draw(st.sampled_from(AXES))
    sizes = st.lists(st.integers(1, 3), min_size=axes, max_size=axes)
    return axes, *(tuple(draw(sizes)) for _ in range(4)), draw(st.sampled_from((1, 2, 3)))


@given(windows(), st.booleans(), st.data())
@settings(deadline=None, max_examples=40)
def test_convolutions(drawn, bias, data):
    axes, kernel, stride, dilation, padding, groups = drawn
    layer = getattr(nn, f"Conv{axes}d")(
        groups * 2, groups * data.draw(st.sampled_from((1, 2))), kernel,
        stride=stride, dilation=dilation, padding=padding, groups=groups, bias=bias,
    )  # fmt: skip
    side = max((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    x = numbers(2, groups * 2, *[side + 1] * axes)
    shape = layer(x).shape[1:]
    at = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    told, felt, slopes = check(nn.Sequential(seeded(layer)), x, at)
    assert torch.allclose(felt, slopes, rtol=1e-12, atol=1e-14)
    assert len(told.done.terms) == layer.weight[0].numel()


@given(windows(), st.booleans(), st.data())
@settings(deadline=None, max_examples=40)
def test_transposed_convolutions(drawn, bias, data):
    axes, kernel, stride, dilation, padding, groups = drawn
    padding = tuple(min(p, (k - 1) * d) for p, k, d in zip(padding, kernel, dilation, strict=True))
    extra = tuple(max(s, d) - 1 for s, d in zip(stride, dilation, strict=True))
    layer = getattr(nn, f"ConvTranspose{axes}d")(
        groups * 2, groups * 2, kernel, stride=stride, dilation=dilation, padding=padding,
        output_padding=extra, groups=groups, bias=bias,
    )  # fmt: skip
    x = numbers(1, groups * 2, *[3] * axes)
    assume(all(n > 0 for n in _transposed(layer, 3)))
    at = tuple(data.draw(st.integers(0, n - 1)) for n in layer(x).shape[1:])
    _, felt, slopes = check(nn.Sequential(seeded(layer)), x, at)
    assert torch.allclose(felt, slopes, rtol=1e-12, atol=1e-14)


def _transposed(layer, side):
    return [
        (side - 1) * s - 2 * p + d * (k - 1) + e + 1
        for s, p, d, k, e in zip(
            layer.stride, layer.padding, layer.dilation, layer.kernel_size, layer.output_padding,
            strict=True,
        )
    ]  # fmt: skip


def named(layer):
    """The type and every setting: the layers of torch do not print all of theirs."""
    chosen = {k: v for k, v in vars(layer).items() if k[0] != "_" and k != "training"}
    return f"{type(layer).__name__}-{'-'.join(f'{k}={v}' for k, v in chosen.items())}"


@pytest.mark.parametrize(
    "layer",
    [
        nn.MaxPool1d(3, 2, 1),
        nn.MaxPool2d(3, 2, 1, dilation=2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool3d(2),
        nn.AvgPool1d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.AvgPool2d(3, 2, 1, divisor_override=4),
        nn.AvgPool3d(2, padding=1),
        nn.AdaptiveAvgPool2d(3),
        nn.AdaptiveAvgPool2d((None, 1)),
        nn.AdaptiveMaxPool2d((2, 3)),
        nn.Linear(8, 5),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Upsample(scale_factor=2),
        nn.ReflectionPad2d(2),
        nn.ConstantPad2d(1, 3.0),
        nn.PixelShuffle(2),
        nn.Conv2d(4, 4, 3, padding="same", dilation=3),
        nn.Conv2d(4, 4, (3, 5), padding="same"),
        nn.BatchNorm2d(4),
        nn.LayerNorm(8),
        nn.GroupNorm(2, 4),
        nn.Flatten(),
    ],
    ids=named,
)
def test_what_each_layer_reads_is_what_its_gradient_says(layer):
    axes = next((int(c) for c in type(layer).__name__ if c in "13"), 2)
    x = numbers(2, 4, *[8] * axes)
    for at in (
        None,
        tuple(0 for _ in layer(x).shape[1:]),
        tuple(n - 1 for n in layer(x).shape[1:]),
    ):
        told, felt, slopes = _checked(layer, x, at)
        assert torch.allclose(felt, slopes, rtol=1e-9, atol=1e-12)
        assert told.as_dict()["within"] is not False


def _checked(layer, x, at):
    net = nn.Sequential(seeded(layer))
    if isinstance(layer, nn.LayerNorm | nn.GroupNorm):  # no bound is known
        wide = x.double().requires_grad_()
        output = net.double()(wide)
        at = middle(output.shape) if at is None else at
        (slopes,) = torch.autograd.grad(output[(0, *at)], wide)
        told = explain(net.float(), x, layer="0", at=at)
        assert told.within is None
        assert told.done.exact == pytest.approx(output[(0, *at)].item(), rel=1e-9)
        felt = torch.zeros_like(wide)
        for term in told.done.terms:
            felt[_source(term)] += term.factor
        return told, felt.detach(), slopes
    return check(net, x, at)


@pytest.mark.parametrize("norm", [1, 2, 3])
@pytest.mark.parametrize("ceil", [False, True])
def test_power_pooling(norm, ceil):
    net = nn.Sequential(nn.LPPool2d(norm, 3, stride=2, ceil_mode=ceil))
    x = numbers(1, 2, 8, 8).abs()
    for at in ((0, 0, 0), (1, net(x).shape[2] - 1, 2)):
        told = explain(net, x, layer="0", at=at)
        assert told.done.exact == pytest.approx(
            float(net.double()(x.double())[(0, *at)]), rel=1e-12
        )
        assert told.within


@pytest.mark.parametrize(
    "act",
    [nn.ReLU(), nn.ReLU(inplace=True), nn.GELU(), nn.SiLU(), nn.Tanh(), nn.Sigmoid(), nn.PReLU(), nn.Softplus(),
     nn.Hardswish(), nn.ELU(), nn.LeakyReLU(0.1)],
    ids=repr,
)  # fmt: skip
def test_activations(act):
    net = nn.Sequential(nn.Conv1d(1, 1, 1), act)
    x = torch.linspace(-6, 6, 41).view(1, 1, -1)
    for i in range(0, 41, 5):
        told = explain(net, x, layer="1", at=(0, i))
        assert told.within, (i, told)
        assert told.done.kind == "activation"


def test_softmax_by_hand():
    told = explain(
        nn.Sequential(nn.Softmax(dim=1)), torch.tensor([[0.0, 1.0, 3.0]]), layer="0", at=(1,)
    )
    e = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64).exp()
    assert told.done.exact == pytest.approx(float(e[1] / e.sum()), rel=1e-14)
    assert told.within
    assert told.main == 1


class Joined(nn.Module):
    """Addition, concatenation, a product of two branches, and one that is taken away from a number."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 2, 3, padding=1)
        self.b = nn.Conv2d(2, 2, 1)
        self.act = nn.ReLU(inplace=True)
        self.join = nn.Identity()

    def forward(self, x):
        a, b = self.act(self.a(x)), self.b(x)
        b = self.act(self.b(b))
        both = torch.cat([a, torch.add(a, b, alpha=2), a * b, 1 - b], 1)
        return self.join(both @ both.transpose(-1, -2)), both


def test_branches_joins_and_a_layer_called_twice():
    net, x = seeded(Joined()).eval(), numbers(1, 2, 4, 4)
    with torch.no_grad():
        product, both = net(x)
    record_ = explain(net, x, layer="join", at=(1, 2, 3))
    assert record_.op == "matmul"
    assert record_.value == float(product[0, 1, 2, 3])
    assert record_.within
    for channel, kind in enumerate(
        ["moved", "moved", "addition", "addition", "multiplication", "multiplication"]
    ):
        told = into(explain(net, x, layer="join", at=(channel, 0, 0)), 1)
        told = told if kind == "moved" else into(told)
        assert (told.done.kind, told.value) == (kind, float(both[0, channel, 0, 1]))
        assert told.within
    turned = into(into(explain(net, x, layer="join", at=(7, 0, 0)), 0))
    assert turned.value == float(both[0, 7, 0, 0])
    assert turned.within
    by = into(into(into(explain(net, x, layer="join", at=(4, 1, 2)), 3)), 0, factor=True)
    assert by.path == "act"
    first, second = (explain(net, x, layer="b", at=(0, 0, 0), call=i) for i in (0, 1))
    assert first.value != second.value
    assert second.name(second.done.terms[0].source) == "b 0,0,0"
    assert first.name(first.done.terms[0].source) == "input 0,0,0"
    with pytest.raises(ArgumentError) as error:
        explain(net, x, layer="b", at=(0, 0, 0), call=2)
    assert str(error.value) == "call=2: b was called 2 times on this input"


def test_an_in_place_function_does_not_hide_what_stood_there():
    net, x = (
        seeded(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True))),
        -numbers(1, 1, 2, 2).abs() * 9,
    )
    told = explain(net, x, layer="0", at=(0, 0, 0))
    assert told.value < 0
    assert [(a.path, a.op, a.value) for a in told.after] == [("1", "relu", 0.0)]


def test_a_tensor_written_through_a_view_is_a_new_value():
    class Views(nn.Module):
        def forward(self, x):
            y = x * 2
            y[:, 0].mul_(10)
            return y + 1

    run = record(Views(), [torch.ones(1, 2)])
    assert run.numbers[run.calls[-1].inputs[0].index].tolist() == [[20, 2]]
    assert explain(Views(), torch.ones(1, 2), layer="", at=(0,)).done.terms[0].input == 20


def test_padding_and_dilation_are_marked():
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=2, dilation=2, bias=False))
    with torch.no_grad():
        net[0].get_parameter("weight").copy_(torch.arange(1.0, 10).view(1, 1, 3, 3))
    told = explain(net, torch.arange(1.0, 17).view(1, 1, 4, 4), layer="0", at=(0, 0, 1))
    # Row -2 and column -1 are padding; the kernel reads every second cell: 2 4 / 10 12 with 5 6 / 8 9.
    assert [t.mark for t in told.done.terms] == [*["padding"] * 4, "", "", "padding", "", ""]
    assert told.value == told.done.exact == 2 * 5 + 4 * 6 + 10 * 8 + 12 * 9
    text = told.as_text()
    assert "[0]   ·   2   ·   4" in text
    assert "[ ] padding; · skipped by the dilation" in text
    page = told._repr_html_()
    assert page.count('class="padding"') == 5
    assert page.count('class="gap"') == 16


def test_gaps_of_a_transposed_convolution_are_marked():
    net = nn.Sequential(nn.ConvTranspose1d(1, 1, 3, stride=2, bias=False))
    with torch.no_grad():
        net[0].get_parameter("weight").copy_(torch.tensor([1.0, 10, 100]).view(1, 1, 3))
    told = explain(net, torch.tensor([[[1.0, 2, 3]]]), layer="0", at=(0, 4))
    # 4 = 2 i + k: i = 2 with k = 0 and i = 1 with k = 2; k = 1 falls between two inputs.
    assert [(t.input, t.mark) for t in told.done.terms] == [(3, ""), (0, "gap"), (2, "")]
    assert told.value == 3 * 1 + 2 * 100


def test_a_wrong_number_is_outside_the_bound():
    told = explain(nn.Sequential(nn.Linear(8, 1)), numbers(1, 8), layer="0", at=(0,))
    assert told.within
    off = replace(told, value=told.value + 1e-4)
    assert off.within is False
    assert "MORE THAN the rounding bound" in str(off)


def test_from_a_logit_to_a_pixel_through_a_residual_net():
    net, x = build("resnet18", size=32), numbers(2, 3, 32, 32)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net.train()
    state = torch.get_rng_state()
    ask = striate.measure.explain  # pyright: ignore[reportFunctionMemberAccess]
    walk = ask(net, x, layer="fc", at=(3,), item=1).walk()
    assert walk.steps[0].op == "linear"
    assert walk.steps[-1].path == "conv1"
    assert walk.end.startswith("input ")
    assert all(step.within for step in walk.steps), str(walk)
    pixel = _source(walk.steps[-1].done.terms[walk.steps[-1].main])
    assert pixel[0] == 1
    assert f"= {float(x[pixel]):.6g}" in walk.end
    for early, late in zip(walk.steps, walk.steps[1:], strict=False):
        assert early.done.terms[early.main].input == late.value
    json.dumps(walk.as_dict())
    assert walk._repr_html_().count("<details") == len(walk.steps)
    assert len(str(walk).splitlines()) == len(walk.steps) + 1
    # Another way: the third term of the first number, and from there the main one.
    other = walk.steps[0].walk([2])
    assert other.steps[1].at == (2,)
    # The net is as it was.
    assert net.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_what_is_asked_for_has_to_be_there():
    net, x = build("lenet5"), numbers(1, 1, 28, 28)
    with pytest.raises(ArgumentError) as error:
        explain(net, x, layer="conv3", at=(0, 0, 0))
    assert str(error.value).startswith(
        "the net has no layer 'conv3'; did you mean conv2? There are: "
    )
    with pytest.raises(ShapeError) as error:
        explain(net, x, layer="conv1", at=(6, 0, 0))
    assert str(error.value) == (
        "at=6,0,0: conv1 gives 6x28x28, so a place is 3 numbers C,Y,X, from 0,0,0 to 5,27,27"
    )
    for place, item, message in [
        ((9, 5), 0, "at=9,5: conv1 gives 6x28x28, so a place is 3 numbers C,Y,X, from 0,0,0 to "),
        ((0, 0, 0), 1, "item 1: conv1 gives 1 item, numbered from 0"),
    ]:
        with pytest.raises(ShapeError) as error:
            explain(net, x, layer="conv1", at=place, item=item)
        assert str(error.value).startswith(message)
    with pytest.raises(ArgumentError) as error:
        explain(nn.Sequential(nn.Identity()), x, layer="0", at=(0, 0, 0))
    assert str(error.value) == "0 gives back what it was given: ask for a layer that computes"
    told = explain(net, x, layer="fc3", at=(0,))
    with pytest.raises(ArgumentError) as error:
        told.step(84)
    assert str(error.value) == "term=84: the number has terms 0 to 83"


def test_functions_nobody_explains_end_the_walk():
    class Sorted(nn.Module):
        def forward(self, x):
            return x.argsort(-1)

    told = explain(Sorted(), numbers(1, 4), layer="", at=(0,))
    assert (told.done.kind, told.within, told.step()) == ("unknown", None, None)
    assert str(told).endswith("how argsort computes is not known here")
    assert told.walk().end == "argsort is not followed further"
    assert told.as_dict()["terms"] == []


def test_attention_is_followed_by_its_gradient():
    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return F.layer_norm(self.attend(x, x, x, need_weights=False)[0], (8,))

    walk = explain(Attend(), numbers(1, 5, 8), layer="", at=(2, 3)).walk()
    assert [step.op for step in walk.steps[:3]] == [
        "layer_norm", "transpose", "multi_head_attention_forward",
    ]  # fmt: skip
    assert walk.end.startswith("input ")
