"""One kit, every net of the catalogue."""

import copy
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch.nn import functional as F

import striate
from striate.models.backbone import Backbone
from striate.models.catalog import CATALOG, build, entry

NAMES = sorted(CATALOG)
TRAINED = [name for name in NAMES if CATALOG[name].tasks != ("unsupervised",)]


def small(name: str, *, seed: int = 0, num_classes: int = 7, **settings) -> Backbone:
    form = CATALOG[name].small
    given: dict[str, Any] = {"size": form.size, "width": form.width, **settings}
    generator = torch.Generator().manual_seed(seed)
    return build(name, num_classes=num_classes, generator=generator, **given)


def answers(net: Backbone, count: int) -> torch.Size:
    """Of what size the answers to some pictures are."""
    with torch.no_grad():
        return net.eval()(pictures(net, count)).shape


def pictures(net: Backbone, count: int) -> torch.Tensor:
    return torch.rand((count, *net.input_shape), generator=torch.Generator().manual_seed(1))


@pytest.mark.catalogue
@pytest.mark.parametrize("name", TRAINED)
def test_a_step_gives_every_parameter_a_gradient(name):
    net = small(name)
    shape = answers(net, 4)
    net.train()
    with torch.no_grad():  # what begins at zero lets no gradient past itself in the first step
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(2))
    if CATALOG[name].tasks[0] == "classify":
        target, loss = torch.tensor([0, 1, 2, 6]), F.cross_entropy
    else:
        target, loss = torch.rand(shape, generator=torch.Generator()), F.mse_loss
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        for _ in range(3):  # a narrow net's only map may be the one that dropout leaves out
            answer, value = net.objective(pictures(net, 4), target, loss)
            assert answer.shape == shape
            value.backward()
    for path, parameter in net.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.grad.abs().sum() > 0, path


@pytest.mark.catalogue
@pytest.mark.parametrize("name", NAMES)
def test_evaluation_is_repeatable_and_takes_batches_of_one_and_two(name):
    net = small(name).eval()
    x = pictures(net, 2)
    with torch.no_grad():
        once, twice, alone = net(x), net(x), net(x[:1])
    if "classify" in CATALOG[name].tasks:
        assert once.shape == (2, 7)
    assert torch.equal(once, twice)
    # Sums that nearly cancel differ by rounding of the largest answer, not of their own.
    torch.testing.assert_close(
        alone, once[:1], rtol=1e-4, atol=1e-5 * max(1, float(once.abs().max()))
    )


@pytest.mark.catalogue
@pytest.mark.parametrize("name", NAMES)
def test_both_memory_layouts_give_the_same(name):
    net = small(name).eval().double()
    x = pictures(net, 2).double()
    if x.ndim != 4:
        pytest.skip("channels_last is a layout of pictures")
    with torch.no_grad():
        plain = net(x)
        for parameter in net.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        turned = net(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(turned, plain)


@pytest.mark.catalogue
@pytest.mark.parametrize("name", NAMES)
def test_weights_go_into_a_net_built_without_any(name):
    net = small(name).eval()
    bare = small(name, init=False).eval()
    bare.load_state_dict(load(save(net.state_dict())))
    x = pictures(net, 2)
    with torch.no_grad():
        assert torch.equal(bare(x), net(x))


@pytest.mark.catalogue
@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_the_weights(name):
    before = torch.get_rng_state()
    first, again, other = small(name, seed=3), small(name, seed=3), small(name, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    weights, same, different = (list(net.parameters()) for net in (first, again, other))
    assert all(torch.equal(a, b) for a, b in zip(weights, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights, different, strict=True))
    unsaid = [next(build("linear").parameters()) for _ in range(2)]
    assert torch.equal(*unsaid)


@pytest.mark.catalogue
@pytest.mark.parametrize("name", NAMES)
def test_features_are_what_widths_and_strides_say(name):
    net = small(name).eval()
    x = pictures(net, 2)
    maps = net.features(x)
    assert len(maps) == len(net.widths) == len(net.strides)
    for feature, width, stride in zip(maps, net.widths, net.strides, strict=True):
        assert feature.shape[:2] == (2, width)
        assert feature.shape[-1] <= -(-x.shape[-1] // stride)


@pytest.mark.parametrize("name", ["linear", "lenet5", "resnet18"])
def test_strides_are_the_pixels_between_neighbouring_values(name):
    net = small(name).eval()
    channels = net.input_shape[0]
    near, far = (net.features(torch.zeros(1, channels, side, side)) for side in (64, 128))
    for a, b, stride in zip(near, far, net.strides, strict=True):
        assert (b.shape[-1] - a.shape[-1]) * stride == 64


@pytest.mark.catalogue
@pytest.mark.parametrize("name", NAMES)
def test_the_ends_are_where_the_net_says(name):
    net = small(name)
    weight = net.get_submodule(net.stem).weight
    # Normalisation of the picture itself may stand before the first kernels.
    assert weight is next(p for p in net.parameters() if p.ndim > 1)
    heads = tuple(f"{path}." for path in (net.head, *net.auxiliary_heads, *net.class_layers))
    before = [p for path, p in net.named_parameters() if not path.startswith(heads)]
    shape = answers(net, 2)
    net.reset_head(3, generator=torch.Generator().manual_seed(5))
    after = [p for path, p in net.named_parameters() if not path.startswith(heads)]
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert answers(net, 2) == (2, net.channels(3), *shape[2:])
    head = net.get_submodule(net.head).weight  # a parameter, or a buffer where codes are fixed
    assert isinstance(head, torch.Tensor)
    net.reset_head(3, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(net.get_submodule(net.head).weight, head, rtol=0, atol=0)


@pytest.mark.catalogue
@pytest.mark.parametrize("name", NAMES)
def test_channels_classes_and_width_are_free(name):
    form = CATALOG[name].small
    net = small(name, in_channels=4, num_classes=1, width=0.6 * form.width)
    assert net.input_shape[0] == 4
    assert answers(net, 2)[:2] == (2, net.channels(1))
    full = small(name, in_channels=4, num_classes=1, init=False)
    counts = [sum(p.numel() for p in each.parameters()) for each in (net, full)]
    assert counts[0] == counts[1] if name == "linear" else counts[0] < 0.8 * counts[1]


@pytest.mark.slow
@pytest.mark.catalogue
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_export_computes_the_same(name):
    net = small(name).eval()
    x = pictures(net, 2)
    with torch.no_grad():
        torch.testing.assert_close(exported(name).module()(x), net(x))


@pytest.mark.catalogue
@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_counts_what_the_built_net_has(name):
    row = entry(name)
    training, inference = build(name, init=False), _for_inference(name)
    assert sum(p.numel() for p in training.parameters()) == row.params_train
    assert sum(p.numel() for p in inference.parameters()) == row.params
    assert training.input_shape == row.input
    assert striate.measure(inference, row.input).totals.macs == row.macs


def _for_inference(name: str) -> Backbone:
    without: dict[str, Any] = {"auxiliary": False} if "auxiliary" in CATALOG[name].options else {}
    return build(name, init=False, **without)


@pytest.mark.catalogue
@pytest.mark.parametrize("name", NAMES)
def test_frozen_normalisation_stays_as_it_is(name):
    net = small(name).freeze_norm().train()
    norms = [m for m in net.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert not any(norm.training for norm in norms)
    before = [copy.deepcopy(norm.state_dict()) for norm in norms]
    if name in TRAINED:
        net(pictures(net, 4))
    for norm, state in zip(norms, before, strict=True):
        assert all(torch.equal(t, state[key]) for key, t in norm.state_dict().items())
    assert not any(p.requires_grad for norm in norms for p in norm.parameters())
    net.freeze_norm(frozen=False)
    assert all(norm.training for norm in norms)
    assert all(p.requires_grad for norm in norms for p in norm.parameters())


@pytest.mark.catalogue
@pytest.mark.parametrize("name", [n for n in NAMES if "drop_rate" in CATALOG[n].options])
def test_dropout_is_a_setting(name):
    net = small(name, drop_rate=0.75)
    rates = {m.p for m in net.modules() if isinstance(m, torch.nn.modules.dropout._DropoutNd)}
    assert 0.75 in rates
    none = small(name, drop_rate=0.0)
    rates = {m.p for m in none.modules() if isinstance(m, torch.nn.modules.dropout._DropoutNd)}
    assert not rates


# Nets which together call every operation that the catalogue calls: what the compiler writes, it writes for these.
BUILT = [
    "alexnet_2012", "capsnet", "cdbn", "conv_autoencoder", "enet", "fcn_resnet50", "highway_mnist_16", "lenet1", "lenet5",
    "neocognitron", "nin_cifar10", "resnet18", "squeezenet1_0", "stgcn", "tdnn", "unet3d_same", "vgg11", "yolo_v1",
]  # fmt: skip


def exported(name):
    net = small(name).eval()
    return torch.export.export(net, (pictures(net, 2),))


def operations(name):
    nodes = exported(name).graph.nodes
    return {str(node.target) for node in nodes if node.op == "call_function"}


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_every_operation_is_in_a_net_that_is_compiled():
    built = set[str]().union(*map(operations, BUILT))
    first = {row.file: row.name for row in reversed(CATALOG.values())}.values()
    assert {name: missing for name in first if (missing := operations(name) - built)} == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in BUILT else pytest.mark.full) for n in NAMES]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_it_is_traced_in_one_piece(name):
    compiles(name, "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "lenet5" else pytest.mark.full) for n in BUILT]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.usefixtures("gcc")
def test_compiling_computes_the_same(name):
    compiles(name, "inductor")


def compiles(name, backend):
    net = small(name).eval()
    x = pictures(net, 2)
    torch.compiler.reset()  # a family of many rows would meet the limit of recompiling one forward
    compiled = torch.compile(net, backend=backend, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), net(x), rtol=1e-4, atol=1e-4)
