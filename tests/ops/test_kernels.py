"""Hand-made kernels: what each does to pictures whose answer is known."""

import re

import pytest
import torch

from striate.errors import ArgumentError, ShapeError
from striate.ops import kernels
from striate.ops.separable import factor

RAMP = torch.arange(6.0).expand(5, 6)


@pytest.mark.parametrize("name", ["blur", "gaussian", "emboss"])
def test_averages_keep_flat_pictures(name):
    flat = torch.full((3, 7, 7), 4.0)
    torch.testing.assert_close(kernels.apply(flat, name), flat)


@pytest.mark.parametrize(
    "name", [n for n in kernels.KERNELS if n not in ("blur", "gaussian", "emboss", "derivative")]
)
def test_derivatives_of_flat_pictures_are_zero(name):
    assert kernels.KERNELS[name]().sum() == 0
    assert kernels.apply(torch.full((2, 7, 7), 4.0), name).abs().max() == 0


@pytest.mark.parametrize(("name", "slope"), [("sobel", 8), ("prewitt", 6), ("edges", 1)])
def test_directions(name, slope):
    """A ramp along x has the same slope everywhere across vertical edges, none across horizontal ones."""
    inner = (slice(1, -1), slice(1, -1))
    assert (kernels.apply(RAMP, f"{name} vertical")[inner] == slope).all()
    assert (kernels.apply(RAMP, f"{name} horizontal")[inner] == 0).all()
    assert (kernels.apply(RAMP.T, f"{name} horizontal")[inner] == slope).all()


def test_laplacian_of_a_parabola_is_constant():
    parabola = (torch.arange(7.0) ** 2).expand(7, 7)
    assert (kernels.apply(parabola, "laplacian", padding="valid") == 2).all()
    diagonal = kernels.laplacian(diagonals=True)
    assert (kernels.apply(parabola, diagonal, padding="valid") == 6).all()


def test_line_and_shapes(kit):
    line = torch.tensor([1.0, 2, -1, 1, -3])
    derived = kernels.apply(line, "derivative", padding=1, fill="zeros")
    assert derived.tolist() == [-2, 2, 1, 2, 1]
    for shape in [(5, 6), (3, 5, 6), (2, 3, 5, 6)]:
        assert kernels.apply(kit.rand(*shape), "sobel vertical").shape == shape
    assert kernels.apply(kit.rand(5, 6), kit.rand(2, 2), padding="valid").shape == (4, 5)


def test_which_kernels_are_products():
    assert factor(kernels.gaussian(7, 1.5)).residual < 1e-6
    assert factor(kernels.sobel()).residual < 1e-6
    assert factor(kernels.laplacian()).residual > 0.1


def test_gaussian_is_symmetric_and_sums_to_one():
    kernel = kernels.gaussian(5, 0.8)
    assert kernel.sum() == pytest.approx(1)
    torch.testing.assert_close(kernel, kernel.flip(0).T)


@pytest.mark.plain
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: kernels.apply(RAMP, "sobel vertica"),
            ArgumentError,
            (
                "apply: unknown kernel 'sobel vertica'; did you mean sobel vertical? "
                f"There are: {', '.join(sorted(kernels.KERNELS))}"
            ),
        ),
        (
            lambda: kernels.apply(RAMP[0], "blur"),
            ShapeError,
            (
                "apply: got a picture [6] and a kernel [3, 3]; expected the axes of the kernel, "
                "with channels and items before them or not"
            ),
        ),
        (
            lambda: kernels.sobel("diagonal"),  # pyright: ignore[reportArgumentType]
            ArgumentError,
            "sobel: unknown axis 'diagonal'; there are: horizontal, vertical",
        ),
        (
            lambda: kernels.edges("up"),  # pyright: ignore[reportArgumentType]
            ArgumentError,
            "edges: unknown axis 'up'; there are: horizontal, vertical",
        ),
        (
            lambda: kernels.gaussian(3, 0),
            ArgumentError,
            "gaussian: sigma=0 is no width, expected more than 0",
        ),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
