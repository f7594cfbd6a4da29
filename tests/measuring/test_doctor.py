"""What the doctor finds, each with its fix, and that the fix holds."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.errors import ArgumentError
from striate.measuring import dead_units, measure, wrong_normalisation
from striate.weights.published import HALF, IMAGENET_MEAN, IMAGENET_STD


def seq(*layers):
    return nn.Sequential(*layers)


def found(net, shape, kind, **options):
    return [
        (f.path, f.text, f.fix) for f in measure(net, shape, **options).findings if f.kind == kind
    ]


def only(net, shape, kind, **options):
    (one,) = found(net, shape, kind, **options)
    return one


def alexnet():
    return seq(
        nn.Conv2d(1, 1, 11, 4, 2), nn.MaxPool2d(3, 2), nn.Conv2d(1, 1, 5, padding=2), nn.MaxPool2d(3, 2),
        *(nn.Conv2d(1, 1, 3, padding=1) for _ in range(3)), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def test_pixels_that_no_output_reads_and_sizes_that_were_tried():
    path, text, fix = only(alexnet(), (1, 227, 227), "unread")
    assert (path, text) == (
        "",
        "904 of 51,529 pixels are read by no output (2 rows and 2 columns)",
    )
    assert fix == "pad 4 right and bottom, or use 225"
    assert only(alexnet(), (1, 230, 230), "unread")[2] == "pad 1 right and bottom, or use 231"
    for size in (225, 231):
        assert found(alexnet(), (1, size, size), "unread") == []
    # Padded by 4, the 227 pixels of the picture are all read; by 3 they are not.
    padded = [seq(nn.ZeroPad2d((0, p, 0, p)), *alexnet()) for p in (3, 4)]
    assert [measure(net, (1, 227, 227)).unread.count for net in padded] == [904, 0]


@pytest.mark.parametrize(
    ("conv", "size", "words"),
    [
        (nn.Conv1d, (1, 8), "1 of 8 steps are read by no output (1 step)"),
        (nn.Conv2d, (1, 8, 8), "15 of 64 pixels are read by no output (1 row and 1 column)"),
        (
            nn.Conv3d,
            (1, 8, 8, 8),
            "169 of 512 voxels are read by no output (1 plane and 1 row and 1 column)",
        ),
    ],
)
def test_cells_are_called_by_what_the_input_is(conv, size, words):
    assert only(seq(conv(1, 1, 3, 2)), size, "unread")[1] == words


@pytest.mark.parametrize(
    ("axes", "words"), [(1, "0.5 steps"), (2, "0.5 pixels"), (3, "0.5 voxels")]
)
def test_branches_lie_apart_in_the_cells_of_the_input(axes, words):
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
            self.odd, self.even = conv(1, 1, 1), conv(1, 1, 2)

        def forward(self, x):
            cut = self.odd(x)[(..., *[slice(0, -1)] * axes)]
            return torch.cat([cut, self.even(x)], 1)

    assert words in only(Branches(), (1, *[8] * axes), "misaligned")[1]


def test_one_axis_alone_is_padded():
    net = seq(nn.Conv2d(1, 1, (3, 3), (1, 2)))
    assert only(net, (1, 8, 8), "unread")[1:] == (
        "8 of 64 pixels are read by no output (1 column)",
        "pad 1 right, or use 8x9",
    )


def test_a_size_that_the_net_cannot_take_is_not_offered():
    net = seq(nn.Conv2d(1, 1, 3, 2), nn.Flatten(), nn.Linear(9, 2))
    assert only(net, (1, 8, 8), "unread")[2] == "use 7"


def test_gaps_name_the_layer_that_leaves_them():
    net = seq(nn.Conv2d(1, 1, 1, stride=2))
    assert only(net, (1, 8, 8), "unread")[1:] == (
        "48 of 64 pixels are read by no output (4 rows and 4 columns)",
        "give 0 a kernel as wide as its stride, or average before it",
    )


class Crop(nn.Module):
    def forward(self, x):
        return x[:, :, 1:-1]


def test_a_crop_is_no_matter_of_size():
    assert only(seq(Crop(), nn.Conv2d(1, 1, 1)), (1, 4, 4), "unread")[2] == (
        "cut the input to what is read, or pad before the layer that cuts it off"
    )


def test_a_field_larger_than_the_input_is_a_fact_and_no_fault():
    sheet = measure(seq(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(3))), (1, 6, 4))
    assert sheet.findings == ()
    assert "From 1 on fields are larger than the input: 5x5, at last 7x7." in str(sheet)
    assert measure(seq(nn.Conv2d(1, 1, 3)), (1, 3, 3)).beyond_input is None


class Join(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def test_branches_that_miss_each_other():
    even = seq(nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(1, 1, 2))
    path, text, fix = only(Join(nn.Conv2d(1, 1, 3, padding=1), even), (1, 8, 8), "misaligned")
    assert (path, text) == ("", "cat joins branches whose centres lie 0.5 pixels apart")
    assert fix.startswith("pad alike: an odd kernel k with padding k // 2")
    coarse = seq(nn.Conv2d(1, 1, 1, stride=2), nn.ZeroPad2d(2))
    assert only(Join(nn.Identity(), coarse), (1, 8, 8), "misaligned")[1] == (
        "cat joins branches of strides 1 and 2 on the input, which drift apart"
    )
    odd = seq(nn.Conv2d(1, 1, 3, 2, 1)), seq(nn.Conv2d(1, 1, 1, 2)), seq(nn.MaxPool2d(5, 2, 2))
    assert found(Join(*odd), (1, 9, 9), "misaligned") == []


class SpaceToDepth(nn.Module):
    def forward(self, x):
        return torch.cat([x[..., ::2, ::2], x[..., 1::2, 1::2]], 1)


def test_pieces_cut_side_by_side_are_meant_so():
    assert found(SpaceToDepth(), (1, 8, 8), "misaligned") == []


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ((3, 2, 1, 1), (4, 2, 1, 0)),
        ((3, 2, 1, 0), (4, 2, 2, 1)),
        ((5, 3, 0, 0), (6, 3, 1, 1)),
        ((5, 2, 2, 1), (6, 2, 2, 0)),
    ],
)
def test_a_checkerboard_and_a_kernel_of_the_same_size_without_it(settings, fix):
    layer = nn.ConvTranspose2d(1, 1, *settings)
    path, text, advice = only(seq(layer), (1, 5, 5), "checkerboard")
    kernel, stride, padding, extra = fix
    assert path == "0"
    assert text.startswith(
        f"kernel {settings[0]}x{settings[0]} is not divisible by stride {stride}x{stride}"
    )
    assert advice == (
        f"kernel {kernel} with padding {padding} and output_padding {extra} gives the same size"
    )
    better = nn.ConvTranspose2d(1, 1, kernel, stride, padding, extra)
    x = torch.zeros(1, 1, 5, 5)
    assert better(x).shape == layer(x).shape
    assert found(seq(better), (1, 5, 5), "checkerboard") == []


def test_a_bias_before_batch_normalisation():
    net = seq(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.Conv2d(2, 2, 3),
        nn.BatchNorm2d(2),
        nn.Conv2d(2, 2, 1),
    )
    assert only(net, (1, 8, 8), "bias") == (
        "0",
        "this and 1 more such layers have a bias that the batch normalisation after it takes away",
        "build them with bias=False",
    )
    assert found(seq(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2)), (1, 8, 8), "bias") == []


def test_batch_normalisation_of_one_value():
    net = seq(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2))
    assert found(net, (1, 3, 3), "batch") == []  # nobody asked for a batch of 1
    assert only(net, (1, 3, 3), "batch", batch=1) == (
        "1",
        "at batch 1 batch normalisation learns from one value a channel of a single item",
        "train with batch=2 or more, or normalise by group",
    )
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        net.train()(torch.zeros(1, 1, 3, 3))
    assert found(net, (1, 3, 3), "batch", batch=2) == []
    assert found(net, (1, 8, 8), "batch") == []
    assert "maps of 6x6" in only(net, (1, 8, 8), "batch", batch=1)[1]


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(1)])
def test_softmax_at_the_end(last):
    path, text, _ = only(seq(nn.Linear(4, 3), last), (4,), "softmax")
    name = "softmax" if isinstance(last, nn.Softmax) else "log_softmax"
    assert (path, text) == (
        "1",
        f"the net ends in {name}, and cross-entropy applies it once more",
    )
    assert found(seq(last, nn.Linear(4, 3)), (4,), "softmax") == []


class Cut(nn.Module):
    """One part behind a detach, one whose result is not used, one frozen."""

    def __init__(self):
        super().__init__()
        self.behind, self.spare, self.fixed, self.used = (nn.Linear(4, 4) for _ in range(4))
        self.fixed.requires_grad_(requires_grad=False)

    def forward(self, x):
        self.spare(x)
        return self.used(self.behind(x).detach() + self.fixed(x).detach())


def test_parameters_without_a_gradient():
    net = Cut()
    lost = [path for path, _, _ in found(net, (4,), "gradient")]
    assert lost == ["behind", "spare"]
    net(torch.ones(1, 4)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is not None] == [
        "used.weight",
        "used.bias",
    ]
    assert found(net, (4,), "gradient")[0][1] == (
        "20 parameters never get a gradient: none of their results reaches an output"
    )


class Auxiliary(nn.Module):
    """A second head that only training uses."""

    def __init__(self):
        super().__init__()
        self.conv, self.head, self.aux = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 1), nn.Conv2d(2, 1, 1)

    def forward(self, x):
        y = self.conv(x)
        return (self.head(y), self.aux(y)) if self.training else self.head(y)


def test_a_head_of_training_alone_is_no_loss():
    net = Auxiliary().eval()
    assert measure(net, (1, 5, 5)).findings == ()
    assert measure(net, (1, 5, 5)).totals.params == 26
    net.spare = nn.Linear(2, 3)
    assert [f.path for f in measure(net, (1, 5, 5)).findings] == ["spare"]


def test_frozen_normalisation_in_training_mode():
    net = seq(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)).train()
    assert found(net, (1, 8, 8), "frozen") == []
    net[1].requires_grad_(requires_grad=False)
    assert only(net, (1, 8, 8), "frozen") == (
        "1",
        "1 frozen batch normalisation is in training mode: the statistics still move",
        "call eval() on it after every train(), as it is done for the rest of what is frozen",
    )
    net[1].eval()
    assert found(net, (1, 8, 8), "frozen") == []


class Scans(nn.Module):
    def forward(self, x):
        return torch.histc(F.relu(x), 4)


def test_what_is_not_known_is_said():
    assert only(Scans(), (1, 8, 8), "unknown")[1] == (
        "what histc reads is not known, so the layers after it have no field"
    )


def test_units_that_never_answer():
    conv = nn.Conv2d(1, 3, 1)
    net = seq(conv, nn.ReLU(inplace=True), nn.Dropout()).train()
    conv.load_state_dict({"weight": torch.ones(3, 1, 1, 1), "bias": torch.tensor([-9.0, 0, 1])})
    seed = torch.get_rng_state()
    (dead,) = dead_units(net, torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(0)))
    assert (dead.kind, dead.path, dead.text) == (
        "dead",
        "1",
        "1 of 3 channels are zero for all 4 items",
    )
    assert net.training
    assert torch.equal(torch.get_rng_state(), seed)


def test_pictures_scaled_for_other_weights():
    imagenet, half = (IMAGENET_MEAN, IMAGENET_STD), (HALF, HALF)
    assert wrong_normalisation(imagenet, imagenet) is None
    wrong = wrong_normalisation(half, imagenet)
    assert wrong
    # White in the third channel: 1 instead of (1 - 0.406) / 0.225 = 2.64.
    assert wrong.text == "black or white is off by 1.6 from what the weights were trained on"
    assert wrong.fix == (
        "normalise with mean 0.485, 0.456, 0.406 and standard deviation 0.229, 0.224, 0.225"
    )
    with pytest.raises(ArgumentError) as error:
        wrong_normalisation(((0.5,), (0.5,)), imagenet)
    assert str(error.value) == (
        "the pictures have 1 means and the weights 3; give one mean and one deviation a channel for both"
    )
