"""The probe: what it records, and that nothing of it stays behind."""

import itertools
import random
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from striate.errors import ArgumentError, UsageError
from striate.probe import as_eval, record, settled, trace, watch


class Net(nn.Module):
    """A shared layer, an in-place activation, a functional call and a branch."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.scale = nn.Parameter(torch.full((2, 2, 1, 1), 0.5))

    def forward(self, x):
        y = self.act(self.conv(x))
        y = self.act(self.conv(y))
        z = F.conv2d(x, self.scale)
        z += y
        return torch.cat([x, z], 1).mean((2, 3))


def net():
    torch.nn.init.normal_((made := Net()).conv.weight, generator=torch.Generator().manual_seed(0))
    return made


def meta(*shape):
    return torch.empty(shape, device="meta")


def hooks_of(module):
    return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules()]


def test_every_submodule_gets_its_own_mode_back():
    sequence = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(), nn.Linear(2, 2)).train()
    sequence[1].eval()
    modes = [m.training for m in sequence.modules()]
    with as_eval(sequence) as lent:
        assert not any(m.training for m in lent.modules())
    assert [m.training for m in sequence.modules()] == modes
    with pytest.raises(ZeroDivisionError), as_eval(sequence):
        raise ZeroDivisionError
    assert [m.training for m in sequence.modules()] == modes


def test_activations_are_as_the_layer_gave_them():
    made, x = net(), torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), watch(made, ["conv", ""]) as seen:
        out = made(x)
        assert hooks_of(made) == [1, 1, 0]
    assert hooks_of(made) == [0, 0, 0]
    first, second = seen.activations["conv"]
    # The activation after it works in place; the record keeps the negative values.
    torch.testing.assert_close(first, made.conv(x).detach())
    torch.testing.assert_close(second, made.conv(first.relu()).detach())
    assert (first < 0).any()
    assert torch.equal(seen[""], out)
    assert seen["conv"] is second


def test_gradients_are_those_of_the_outputs():
    made, x = net(), torch.randn(1, 2, 4, 4)
    with watch(made, ["conv"], gradients=True) as seen:
        made(x).sum().backward()
    last, first = seen.gradients["conv"]
    expected = (seen["conv"] > 0).float() / 16
    torch.testing.assert_close(last, expected)
    assert first.shape == last.shape
    assert not torch.equal(first, last)


def test_hooks_go_after_an_exception_too():
    made = net()
    with pytest.raises(ZeroDivisionError), watch(made, ["conv", "act"]):
        raise ZeroDivisionError
    assert hooks_of(made) == [0, 0, 0]


def test_an_unknown_path_is_named_before_a_hook_is_set():
    made = net()
    with pytest.raises(ArgumentError) as error, watch(made, ["conv", "cnov"]):
        pass
    assert (
        str(error.value) == "the net has no layer 'cnov'; did you mean conv? There are: act, conv"
    )
    assert hooks_of(made) == [0, 0, 0]


def test_gradients_without_a_graph_are_refused():
    made = net()
    with (
        torch.no_grad(),
        watch(made, ["conv"], gradients=True),
        pytest.raises(ArgumentError) as error,
    ):
        made(torch.zeros(1, 2, 4, 4))
    assert str(error.value) == (
        "the output of conv has no gradient; run without torch.no_grad, "
        "with weights or pictures that require one"
    )


def test_a_trace_lists_every_call_with_its_caller():
    run = trace(net(), [meta(1, 2, 4, 4)])
    assert run.device == "meta"
    assert [(call.path, call.op) for call in run.calls] == [
        ("conv", "conv2d"),
        ("act", "relu"),
        ("conv", "conv2d"),
        ("act", "relu"),
        ("", "conv2d"),
        ("", "add_"),
        ("", "cat"),
        ("", "mean"),
    ]
    conv, relu, *_, functional, _, cat, mean = run.calls
    assert conv.params == ("conv.weight", "conv.bias")
    assert functional.params == ("scale",)
    assert (conv.module, functional.module) == ("Conv2d", "Net")
    assert [value.shape for value in cat.inputs] == [(1, 2, 4, 4)] * 2
    assert cat.outputs[0].shape == (1, 4, 4, 4)
    assert mean.arg("dim", 1) == [2, 3]
    assert (conv.written, relu.written, cat.written) == (128, 0, 256)
    assert run.outputs == mean.outputs


def test_values_are_numbered_along_the_way():
    calls = trace(net(), [meta(1, 2, 4, 4)]).calls
    for before, after in itertools.pairwise(calls[:4]):
        assert after.inputs[0].index == before.outputs[0].index
    # Working in place makes a new value of the same tensor.
    assert calls[1].outputs[0].index != calls[0].outputs[0].index


def test_weights_made_of_weights_are_known_as_such():
    made = nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)))
    call = next(c for c in trace(made, [meta(1, 3)]).calls if c.op == "linear")
    assert sorted(call.params) == [
        "0.bias",
        "0.parametrizations.weight.original0",
        "0.parametrizations.weight.original1",
    ]
    assert [value.live for value in call.inputs] == [True, False, False]


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(2)
        self.fc = nn.Linear(5, 2)

    def forward(self, x):
        x = F.dropout(self.norm(x), 0.5, training=True)
        random.shuffle([1, 2, 3])
        return self.fc(x.flatten(1))


def visitor(module, inputs):
    raise AssertionError("a visitor's hook was run on the copy")


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_net_is_as_before_even_when_it_fails(device):
    made = Broken().train()
    made.norm.eval()
    made.fc.weight.grad = torch.ones(2, 5)
    made.register_forward_pre_hook(visitor)
    hooks, modes = hooks_of(made), [m.training for m in made.modules()]
    state = {key: value.clone() for key, value in made.state_dict().items()}
    tensors = [id(value) for value in made.parameters()]
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    run = trace(made, [torch.zeros(1, 2, 4, 4, device=device)])
    assert isinstance(run.error, RuntimeError)
    assert run.failed
    assert (run.failed.path, run.failed.op) == ("fc", "linear")
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state
    assert hooks_of(made) == hooks
    assert [m.training for m in made.modules()] == modes
    assert [id(value) for value in made.parameters()] == tensors
    assert made.fc.weight.grad is not None
    assert all(torch.equal(value, state[key]) for key, value in made.state_dict().items())
    assert not torch.nn.modules.module._global_forward_hooks


def test_a_failure_outside_torch_names_the_module():
    class Odd(nn.Module):
        def forward(self, x):
            raise KeyError(f"no branch for {x.shape}")

    run = trace(nn.Sequential(nn.ReLU(), Odd()), [meta(1, 3)])
    assert run.failed
    assert (run.failed.path, run.failed.module, run.failed.op) == ("1", "Odd", "forward")


def test_what_cannot_be_copied_is_shared():
    made = net()
    made.open_file = (n for n in ())  # pyright: ignore[reportArgumentType] - generators have no copy
    state = {key: value.clone() for key, value in made.state_dict().items()}
    run = trace(made, [meta(1, 2, 4, 4)])
    assert run.error is None
    assert [call.op for call in run.calls] == [
        call.op for call in trace(net(), [meta(1, 2, 4, 4)]).calls
    ]
    assert hooks_of(made) == [0, 0, 0]
    assert all(p.device.type == "cpu" for p in made.parameters())
    assert all(torch.equal(value, state[key]) for key, value in made.state_dict().items())


def test_lazy_layers_get_their_sizes_in_a_copy():
    made = nn.Sequential(nn.LazyConv1d(4, 3), nn.LazyBatchNorm1d(), nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(UsageError) as error:
        trace(made, [meta(1, 2, 6)])
    assert (
        str(error.value)
        == "the net has lazy layers without sizes; run it once on a batch before this"
    )
    shapes = [tuple(p.shape) for p in settled(made, [meta(1, 2, 6)]).parameters()]
    assert shapes == [(4, 2, 3), (4,), (4,), (4,), (3, 16), (3,)]
    assert next(type(module) for module in made) is nn.LazyConv1d
    assert isinstance(made[1].running_mean, nn.UninitializedBuffer)
    with pytest.raises(UsageError) as error:
        settled(made, [meta(1, 2, 2)])
    assert str(error.value).startswith("the net has lazy layers and does not run on such inputs: ")
    plain = net()
    assert settled(plain, [meta(1, 2, 4, 4)]) is plain


def scripted(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated, and people have such nets
        return torch.jit.script(module)


def test_a_scripted_module_is_one_call():
    inner = scripted(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)))
    made = nn.Sequential(inner, nn.Conv2d(4, 1, 1))
    run = trace(made, [meta(1, 2, 6, 6)])
    assert [(call.path, call.op, call.flops) for call in run.calls] == [
        ("0", "scripted", 2 * 4 * 16 * 2 * 9),
        ("1", "conv2d", 2 * 16 * 4),
    ]
    assert run.calls[0].params == ("0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias")
    assert run.outputs[0].live
    assert made[0] is inner
    assert trace(inner, [meta(1, 2, 6, 6)]).calls[0].outputs[0].shape == (1, 4, 4, 4)
    assert all(p.device.type == "cpu" for p in inner.parameters())


class ThroughNumpy(nn.Module):
    def forward(self, x):
        return torch.from_numpy(2 * x.relu().numpy()) + 1


class Hidden(nn.Module):
    """A result that no torch function is seen to make."""

    def forward(self, x):
        return torch.vmap(torch.relu)(x)


@pytest.mark.parametrize("made", [ThroughNumpy(), Hidden()])
def test_what_is_not_seen_is_a_call_that_reads_all_before_it(made):
    run = trace(made, [meta(1, 2, 4)])
    (hidden,) = [call for call in run.calls if call.op == "untraced"]
    assert hidden.live
    assert run.outputs[0].live


def test_the_warnings_of_a_net_are_not_ours():
    class Warns(nn.Module):
        def forward(self, x):
            warnings.warn("slow", stacklevel=1)
            return x + 1

    assert trace(Warns(), [meta(1, 2)]).device == "meta"


class Mapped(nn.Module):
    """Code that other code runs: mapped over a batch, and checkpointed."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(4))

    def _row(self, row):
        return row @ self.weight

    def forward(self, x):
        x = torch.vmap(self._row)(x)
        return checkpoint(self._row, x, use_reentrant=False)


def test_code_that_other_code_runs_is_followed():
    run = trace(Mapped(), [meta(1, 3, 4)])
    assert run.device == "meta"
    assert [(call.op, call.flops) for call in run.calls if call.flops] == [("matmul", 96)] * 2
    assert run.flops == 192


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(2, 4, 3, groups=2), (1, 2, 8, 8)),
        (nn.ConvTranspose1d(2, 4, 3, stride=2), (1, 2, 8)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (1, 5, 8)),
        (nn.GRU(3, 4), (1, 7, 3)),
        (nn.Bilinear(3, 3, 2), (1, 3)),
    ],
)
def test_the_second_count_is_that_of_torch(module, shape):
    inputs = [meta(*shape)] * (2 if isinstance(module, nn.Bilinear) else 1)
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        module.to("meta").eval()(*inputs)
    assert trace(module, inputs).flops == theirs.get_total_flops()


class Careful(nn.Module):
    """Tries one layer, falls back on another, counts its runs in a buffer, and fails at last."""

    def __init__(self):
        super().__init__()
        self.runs = nn.Buffer(torch.zeros(()))
        self.narrow, self.wide = nn.Linear(3, 2), nn.Linear(4, 2)

    def forward(self, x):
        self.runs += 1
        try:
            x = self.narrow(x)
        except RuntimeError:
            x = self.wide(x)
        raise KeyError(x.sum().item())


def test_a_failure_that_the_net_caught_is_not_blamed():
    made = Careful()
    run = trace(made, [meta(1, 4)])
    assert run.device == "cpu"
    assert run.failed
    assert (run.failed.path, run.failed.op) == ("", "forward")
    assert [call.path for call in run.calls if call.op == "linear"] == ["wide"]
    assert made.runs == 0


def test_a_recording_that_shares_weights_has_the_bits_of_the_net_itself_and_copies_none():
    made, x = net().eval(), torch.rand(1, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = made(x.clone())
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    one = record(made, [x], shared=True)
    assert torch.equal(one.numbers[one.returned[""][0][0].index], expected)
    weight = next(v for call in one.calls for v in call.inputs if v.params == ("conv.weight",))
    assert one.numbers[weight.index].data_ptr() == made.conv.weight.data_ptr()
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in made.modules())
    apart = record(made, [x])
    assert apart.numbers[weight.index].data_ptr() != made.conv.weight.data_ptr()


def test_each_call_of_a_recording_has_its_own_function_also_after_one_that_was_not_seen():
    class Outside(nn.Module):
        def forward(self, x):
            return torch.from_numpy(x.detach().numpy() * 2.0)

    one = record(nn.Sequential(nn.ReLU(), Outside(), nn.Tanh(), Outside()), [torch.ones(1, 3)])
    assert [call.op for call in one.calls if call.op != "detach"] == [
        "relu",
        "untraced",
        "tanh",
        "untraced",
    ]
    assert len(one.functions) == len(one.calls)
    for call, function in zip(one.calls, one.functions, strict=True):
        assert call.op == "untraced" or getattr(function, "__name__", "") == call.op
    with pytest.raises(NotImplementedError, match="cannot run again"):
        one.functions[-1]()
