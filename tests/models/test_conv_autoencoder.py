"""The convolutional auto-encoder: any size in and out, and no way round its code."""

import pytest
import torch

from striate.models.catalog import build


@pytest.mark.parametrize(
    ("channels", "size"), [(1, 28), (3, 28), (1, 64), (3, 64), (3, 37), (1, 1)]
)
def test_a_picture_comes_back_in_its_own_size(channels, size):
    net = build(
        "conv_autoencoder", in_channels=channels, num_classes=channels, size=size, width=0.25
    )
    x = torch.rand(2, channels, size, size)
    assert net.eval()(x).shape == x.shape


def test_what_the_code_does_not_hold_is_lost():
    """With one number for 8x8 pixels the answer is a function of as many numbers as there are places in the code."""
    net = build(
        "conv_autoencoder", in_channels=1, num_classes=1, size=16, width=0.25, code=1
    ).eval()
    read: list[torch.Tensor] = []

    def keep(_module: object, _given: object, code: torch.Tensor) -> None:
        read.append(code)

    def blank(_module: object, _given: object, code: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(code)

    net.get_submodule("bottleneck").register_forward_hook(keep)
    with torch.no_grad():
        answer = net(torch.rand(1, 1, 16, 16))
        assert read[0].shape == (1, 1, 2, 2)
        net.get_submodule("bottleneck").register_forward_hook(blank)
        blind = net(torch.rand(1, 1, 16, 16)), net(torch.rand(1, 1, 16, 16))
    assert torch.equal(*blind)
    assert not torch.equal(answer, blind[0])


def test_the_first_answer_is_grey():
    with torch.no_grad():
        answer = build("conv_autoencoder")(torch.zeros(1, 3, 64, 64))
    assert abs(float(answer.mean()) - 0.5) < 0.2
