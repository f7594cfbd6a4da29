"""How pictures of 0 to 1 become what a net reads, and back."""

import pytest
import torch

from striate import see
from striate.errors import ShapeError
from striate.inputs.pictures import Pictures
from striate.inputs.sounds import Sounds
from striate.models import catalog
from striate.see.levels import as_read, as_shown, of_run, of_weights
from striate.weights import published


def test_a_run_says_its_own():
    read = Pictures((4, 4), (4, 4), "rgb", (51.0, 102.0, 0.0), (25.5, 51.0, 255.0))
    found = of_run(read)
    assert found is not None
    mean, std = found
    assert mean == pytest.approx((0.2, 0.4, 0.0))
    assert std == pytest.approx((0.1, 0.2, 1.0))


def test_sounds_have_none():
    assert of_run(Sounds.__new__(Sounds)) is None


@pytest.mark.parametrize(
    ("channels", "wanted", "says"),
    [
        (3, published.IMAGENET_MEAN, "as for ImageNet, since w.pt does not say how"),
        (1, None, "read as 0 to 1, since w.pt does not say"),
        (4, None, "read as 0 to 1"),
    ],
)
def test_what_a_file_expects_is_said(channels, wanted, says):
    found, said = of_weights("w.pt", channels)
    assert (found and found[0]) == (wanted and pytest.approx(wanted))
    assert says in said


@pytest.mark.parametrize("channels", [1, 3])
def test_published_weights_say_theirs_in_grey_too(channels):
    name = next(iter(published.PUBLISHED))
    mean, std = published.levels(name)[1:]
    found, said = of_weights(name, channels)
    assert f"as for {name}" in said
    assert found is not None
    if channels == 3:
        assert found[0] == pytest.approx(mean)
    else:
        assert found == (
            (pytest.approx(sum(mean) / 3),),
            (pytest.approx(sum(std) / 3),),
        )


def test_of_many_channels_nobody_knows():
    assert of_weights(next(iter(published.PUBLISHED)), 5)[0] is None


def test_there_and_back():
    pictures = torch.rand(2, 3, 4, 5)
    levels = (0.5, 0.4, 0.3), (0.2, 0.1, 0.3)
    read = as_read(pictures, levels)
    assert torch.allclose(read[:, 1], (pictures[:, 1] - 0.4) / 0.1)
    assert torch.allclose(as_shown(read, levels), pictures, atol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda net, levels: see.maximise(net, shape=(1, 28, 28), steps=1, levels=levels),
        lambda net, levels: see.invert(net, torch.rand(1, 1, 28, 28), steps=1, levels=levels),
    ],
    ids=["maximise", "invert"],
)
def test_levels_of_other_channels_are_one_line(call):
    says = r"got 3 means and 3 deviations, .* pictures of 1$"
    with pytest.raises(ShapeError, match=says):
        call(catalog.build("lenet5"), ((0.5,) * 3, (0.2,) * 3))
