"""What the tests of operations share: random legal cases, and one comparison that raises."""

from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch._dynamo

from striate import shapes
from striate.errors import ShapeError

FILLS = ("zeros", "reflect", "replicate", "circular", 1.5)


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Normal numbers of a fixed seed."""
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(ours: torch.Tensor, twin: np.ndarray | torch.Tensor, rtol: float = 1e-9) -> None:
    """Equal to the twin to `rtol`, in shape too."""
    torch.testing.assert_close(
        ours.detach(), torch.as_tensor(twin).detach().to(ours.dtype), rtol=rtol, atol=rtol
    )


@st.composite
def paddings(draw, rank: int, most: int):
    """Every way to write a padding."""
    cells = st.integers(0, most)
    return draw(
        st.one_of(
            cells,
            st.tuples(*[cells] * rank),
            st.tuples(*[st.tuples(cells, cells)] * rank),
            st.sampled_from(shapes.WORDS),
        )
    )


@st.composite
def windows(draw, rank: int | None = None, most_padding: int = 2, *, ceil: bool = False):
    """A legal window over one to three axes: its size, and the arguments as a caller writes them."""
    rank = rank or draw(st.sampled_from([1, 1, 2, 2, 2, 3]))
    most = {1: 9, 2: 6, 3: 4}[rank]

    def axes(low, high):
        return st.tuples(*[st.integers(low, high)] * rank)

    size = draw(axes(1, most))
    args = {
        "kernel_size": draw(axes(1, 3)),
        "stride": draw(axes(1, 3)),
        "padding": draw(paddings(rank, most_padding)),
        "dilation": draw(axes(1, 2)),
    }
    if ceil:
        args["ceil_mode"] = draw(st.booleans())
    try:
        window = shapes.window(size, **args)
    except ShapeError:
        args["kernel_size"], args["dilation"] = (1,) * rank, (1,) * rank
        if args["padding"] not in shapes.WORDS:
            args["padding"] = 0
        window = shapes.window(size, **args)
    return window, args


@st.composite
def fills(draw, window):
    """A fill that the padding of a window allows."""
    legal = ["zeros", "replicate", 1.5]
    widest = [(max(pair), n) for pair, n in zip(window.sides, window.size, strict=True)]
    legal += ["reflect"] * all(p < n for p, n in widest)
    legal += ["circular"] * all(p <= n for p, n in widest)
    return draw(st.sampled_from(legal))


def compiled(call):
    """One graph or an error; each call with the whole limit on recompiling to itself."""
    torch._dynamo.reset()
    return torch.compile(call, fullgraph=True, backend="aot_eager")


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """The helpers of this file."""
    return SimpleNamespace(
        rand=rand, close=close, compiled=compiled, windows=windows, fills=fills, FILLS=FILLS
    )


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
