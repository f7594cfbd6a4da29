"""Every number of every step against PyTorch, for random settings; and what is drawn against those numbers."""

import math
import re
from html import unescape
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.see import fonts
from striate.see.stepper import backward, convolution, drawing, like
from striate.see.stepper.layout import CELL, Box, Layout, Words, number_text
from striate.see.stepper.steps import TIMES

PADS = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


def values(steps):
    return torch.tensor([s.value for s in steps.steps], dtype=torch.float64).view(steps.output)


def redone(steps):
    """Every output from the terms of its step alone."""
    for step in steps.steps:
        numbers = [term.input for term in step.terms]
        if steps.op == "max":
            assert step.value == max(numbers) == numbers[step.taken]
        elif steps.op == "average":
            assert step.value == pytest.approx(sum(numbers) / len(numbers))
        else:
            assert step.value == sum(term.product for term in step.terms)
        for term in step.terms:
            row, column = term.cell
            assert steps.drawn[term.channel][row][column] == term.input
            assert steps.marks[row][column] == term.mark


@st.composite
def slides(draw):
    def pair(low, high):
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    return pair(1, 3), pair(1, 3), pair(0, 2), pair(1, 2), draw(st.sampled_from((1, 2)))


@given(slides(), st.sampled_from(list(PADS)), st.integers(1, 2), st.integers(0, 9))
@settings(deadline=None, max_examples=50)
def test_convolution(slide, fill, per_group, seed):
    kernel, stride, pad, dilation, groups = slide
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-5, 6, (groups * 2, 5, 6), generator=generator).double()
    w = torch.randint(-3, 4, (groups * per_group, 2, *kernel), generator=generator).double()
    steps = convolution(
        x, w, stride=stride, padding=pad, dilation=dilation, groups=groups, fill=fill
    )
    padded = F.pad(x[None], (pad[1], pad[1], pad[0], pad[0]), mode=PADS[fill])
    true = F.conv2d(padded, w, stride=stride, dilation=dilation, groups=groups)[0]
    assert torch.equal(values(steps), true)
    assert torch.equal(torch.tensor(steps.drawn, dtype=torch.float64), padded[0])
    redone(steps)


@given(slides(), st.just(1), st.data())
@settings(deadline=None, max_examples=50)
def test_transposed_convolution(slide, per_group, data):
    kernel, stride, pad, dilation, groups = slide
    pad = tuple(min(p, (k - 1) * d) for p, k, d in zip(pad, kernel, dilation, strict=True))
    extra = tuple(
        data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-5, 6, (groups * 2, 3, 4), generator=generator).double()
    w = torch.randint(-3, 4, (groups * 2, per_group, *kernel), generator=generator).double()
    steps = convolution(
        x,
        w,
        op="transposed",
        stride=stride,
        padding=pad,
        dilation=dilation,
        groups=groups,
        output_padding=extra,
    )
    true = F.conv_transpose2d(x[None], w, None, stride, pad, extra, groups, dilation)
    assert torch.equal(values(steps), true[0])
    redone(steps)


@given(slides(), st.sampled_from(list(PADS)), st.sampled_from(("max", "average")))
@settings(deadline=None, max_examples=50)
def test_pooling(slide, fill, op):
    kernel, stride, pad, dilation, channels = slide
    x = torch.randn(channels, 5, 6, generator=torch.Generator().manual_seed(0)).double()
    steps = convolution(x, kernel, op=op, stride=stride, padding=pad, dilation=dilation, fill=fill)
    nothing = -math.inf if op == "max" and fill == "zeros" else 0.0
    sides = (pad[1], pad[1], pad[0], pad[0])
    padded = (
        F.pad(x[None], sides, value=nothing)
        if fill == "zeros"
        else F.pad(x[None], sides, mode=fill)
    )
    if op == "max":
        true = F.max_pool2d(padded, kernel, stride, dilation=dilation)
    else:
        mean = torch.ones(channels, 1, *kernel).double() / math.prod(kernel)
        true = F.conv2d(padded, mean, stride=stride, dilation=dilation, groups=channels)
    assert torch.allclose(values(steps), true[0], rtol=1e-12, atol=1e-14)
    redone(steps)


@given(
    slides(),
    st.integers(-3, 3).map(float),
    st.sampled_from(("convolution", "max", "average")),
)
@settings(deadline=None, max_examples=30)
def test_constant_padding(slide, value, op):
    kernel, stride, pad, dilation, groups = slide
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-5, 6, (groups, 5, 6), generator=generator).double()
    w = torch.randint(-3, 4, (groups, 1, *kernel), generator=generator).double()
    taken = w if op == "convolution" else kernel
    how = {"stride": stride, "padding": pad, "dilation": dilation, "groups": groups}
    steps = convolution(x, taken, op=op, fill=value, **how)
    padded = F.pad(x[None], (pad[1], pad[1], pad[0], pad[0]), value=value)
    if op == "max":
        true = F.max_pool2d(padded, kernel, stride, dilation=dilation)
    else:
        weight = w if op == "convolution" else torch.ones_like(w) / math.prod(kernel)
        true = F.conv2d(padded, weight, stride=stride, dilation=dilation, groups=groups)
    assert torch.allclose(values(steps), true[0], rtol=1e-12, atol=1e-12)
    redone(steps)
    assert convolution(fill="constant", padding=1).inputs == convolution(padding=1).inputs


@given(slides(), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_a_turned_kernel_is_the_convolution_of_the_textbooks(slide, seed):
    kernel, stride, pad, dilation, groups = slide
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-5, 6, (groups * 2, 5, 6), generator=generator).double()
    w = torch.randint(-3, 4, (groups, 2, *kernel), generator=generator).double()
    how = {"stride": stride, "padding": pad, "dilation": dilation, "groups": groups}
    steps = convolution(x, w, turned=True, **how)
    assert torch.equal(values(steps), F.conv2d(x[None], w.flip(2, 3), None, *how.values())[0])
    assert steps.said.endswith(", kernel turned")
    redone(steps)


def test_a_turned_kernel_is_drawn_turned_and_agrees_with_numpy():
    steps = convolution(
        torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([[[1.0, 0, -2]]]), padding=2, turned=True
    )
    assert [step.value for step in steps.steps] == np.convolve([1, 2, 3, 4], [1, 0, -2]).tolist()
    assert "kernel (turned)" in steps.svg(0)
    assert "kernel (turned)" not in convolution((4,), 3).svg(0)
    with pytest.raises(ArgumentError, match="turned: only with"):
        convolution(op="max", turned=True)


def test_padding_under_pooling_is_pytorchs():
    x = -torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(
        values(convolution(x, 3, op="max", stride=2, padding=1)), F.max_pool2d(x, 3, 2, 1)
    )
    assert torch.allclose(
        values(convolution(x, 3, op="average", stride=2, padding=1)), F.avg_pool2d(x, 3, 2, 1)
    )


def test_one_axis():
    x = torch.arange(6.0).view(1, 6)
    steps = convolution(x, torch.tensor([[[1.0, 0, -1]]]), stride=2, padding=1)
    assert steps.output == (1, 1, 3)
    assert [step.value for step in steps.steps] == [-1, -2, -2]
    assert convolution((7,), 3).output == (1, 1, 5)


def test_by_hand():
    steps = convolution(torch.arange(1.0, 10).view(1, 3, 3), torch.ones(1, 1, 2, 2))
    assert [step.value for step in steps.steps] == [12, 16, 24, 28]
    assert steps.as_text().splitlines()[-1].replace(TIMES, "*") == (
        "0,1,1   5*1 + 6*1 + 8*1 + 9*1     28"
    )
    assert steps.as_dict()["steps"][0]["terms"][3] == [0, 1, 1, 5.0, 1.0, ""]


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.Conv2d(3, 64, 7, stride=2, padding=3), "convolution, input 1x7x7, kernel 7x7, stride 2x2, padding 3x3"),
        (nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=8, padding_mode="reflect"),
         "convolution, input 1x4x4, kernel 3x3, stride 1x1, padding 2x2, dilation 2x2, reflect fill"),
        (nn.ConvTranspose2d(2, 2, 4, 2, 1), "transposed, input 1x3x3, kernel 4x4, stride 2x2, padding 1x1"),
        (nn.MaxPool2d(3, 2, 1), "max, input 1x7x7, kernel 3x3, stride 2x2, padding 1x1"),
        (nn.AvgPool1d(2), "average, input 1x1x8, kernel 1x2, stride 1x2, padding 0x0"),
    ],
)  # fmt: skip
def test_like_a_layer(layer, said):
    steps = like(layer)
    assert steps.said == said
    assert steps.output[2] == (6 if isinstance(layer, nn.ConvTranspose2d) else 4)


SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg):
    return ET.fromstring(svg)  # noqa: S314 - our own


def words_of(element, kind):
    """The texts of one kind, whatever their anchor."""
    texts = [(t.get("class", "").split()[0], t.text or "") for t in element.iter(f"{SVG}text")]
    return [text for found, text in texts if found == f"w-{kind}"]


@pytest.mark.parametrize("op", ["convolution", "transposed", "max", "average"])
def test_every_number_of_a_step_is_drawn(op):
    steps = convolution((2, 3, 4), 2, op=op, stride=2, padding=1)
    for i, step in enumerate(steps.steps):
        root = parsed(steps.svg(i))
        assert words_of(root, "now-number") == [number_text(step.value)]
        read = ["·" if t.mark == "gap" else number_text(t.input) for t in step.terms]
        assert words_of(root, "read-number") == read
        assert words_of(root, "count") == [f"step {i + 1} of {len(steps.steps)}"]
        weights = [f"{TIMES}{number_text(t.weight)}" for t in step.terms] if steps.kernels else []
        assert words_of(root, "weight") == weights
        (sentence,) = [" ".join(words_of(root, "sentence"))]
        assert sentence.endswith(f"= {number_text(step.value)}")
        # The drawn outputs are those of all steps up to this one.
        done = words_of(root, "number")[-i:] if i else []
        assert done == [number_text(s.value) for s in steps.steps[:i]]


@pytest.mark.parametrize("fill", ["zeros", "reflect", "replicate", "circular"])
def test_the_sum_under_a_step_is_its_value(fill):
    steps = convolution((5, 5), 3, padding=2, fill=fill)
    for i, step in enumerate(steps.steps):
        said = " ".join(re.findall(r'<text class="w-sentence"[^>]*>([^<]*)', steps.svg(i)))
        _, terms, value = said.replace(chr(0x2212), "-").split("=")
        numbers = re.sub(r"([+-]) (?=[0-9])", r"\1", terms).split()
        assert sum(map(float, numbers)) == float(value) == step.value


def test_the_window_lies_over_what_it_reads():
    steps = convolution((1, 5, 5), 3, stride=2, dilation=2, padding=1)
    root = parsed(steps.svg(1))
    (window,) = [r for r in root.iter(f"{SVG}rect") if r.get("class") == "b-window"]
    cells = [t.cell for t in steps.steps[1].terms]
    assert float(window.get("width", 0)) == 5 * CELL
    assert float(window.get("x", 0)) == 20 + min(c for _, c in cells) * CELL
    kinds = [r.get("class") for r in root.iter(f"{SVG}rect")]
    assert kinds.count("b-read") + kinds.count("b-padding-read") == 9


def test_the_sheet_and_the_page_hold_every_step():
    steps = convolution((4, 4), 2)
    values = [number_text(step.value) for step in steps.steps]
    assert words_of(parsed(steps.svg()), "now-number") == values
    page = steps.page()
    # For a screen and for a phone.
    assert re.findall(r'w-now-number middle"[^>]*>([^<]*)<', page) == 2 * [unescape(v) for v in values]  # fmt: skip
    assert page.count('<g class="step') == 18
    assert page.count('class="step on"') == 2
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    for key in ("' '", "ArrowLeft", "ArrowRight", "Home", "End"):
        assert key in page


@pytest.mark.parametrize("settings", [{"stride": 2}, {"op": "max", "padding": 1}])
def test_the_animation_writes_only_letters_that_its_font_has(settings):
    steps = convolution((4, 4), 2, **settings)
    layout = Layout(steps)
    parts = [*layout.still(), *(part for i in range(len(steps.steps)) for part in layout.moving(i))]
    words = "".join(part.text for part in parts if isinstance(part, Words))
    assert not words.isascii()
    assert words.translate(fonts.SPELLED).isascii()


def test_the_animation_has_a_frame_a_step(tmp_path):
    steps = convolution((4, 4), 3, padding=1)
    file = steps.save(tmp_path / "a.gif")
    layout = Layout(steps)
    with Image.open(file) as gif:
        assert (getattr(gif, "n_frames"), gif.info["loop"]) == (16, 0)  # noqa: B009 - not declared
        for i in (0, 6, 15):
            gif.seek(i)
            assert gif.info["duration"] == (drawing.LAST if i == 15 else drawing.EACH)
            _, y, x = steps.steps[i].at
            place = (66 + y * CELL + 8, round(layout.output_x + x * CELL + 6))
            corner = np.asarray(gif.convert("RGB"))[place].tolist()
            near = [int(drawing.LIGHT["now"][k : k + 2], 16) for k in (1, 3, 5)]
            assert all(abs(a - b) < 12 for a, b in zip(corner, near, strict=True))


def test_light_and_dark_can_be_read():
    """Contrast by WCAG 2: at least 4.5 of every word on what it stands on."""

    def luminance(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    pairs = [("ink", "cell"), ("ink", "kernel"), ("ink", "read"), ("ink", "done"), ("ink", "taken"),
             ("soft", "paper"), ("soft", "pad"), ("accent", "read"), ("on", "now")]  # fmt: skip
    for theme in (drawing.LIGHT, drawing.DARK):
        for word, ground in pairs:
            low, high = sorted((luminance(theme[word]), luminance(theme[ground])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (word, ground)


def test_what_cannot_be_drawn():
    for call, error, message in [
        (lambda: convolution((5, 5), op="pool"), ArgumentError, "op='pool': unknown; there are: average, convolution, max, transposed"),
        (lambda: convolution((5, 5), fill="mirror"), ArgumentError, "fill='mirror': unknown; there are: circular, reflect, replicate, zeros"),
        (lambda: convolution((3, 3), padding=3, fill="reflect"), ShapeError, "pad=3: reflect padding of 3 cells is at most 2"),
        (lambda: convolution((40, 5)), ArgumentError,
         "114 steps over 40 cells are more than a picture holds (400 steps, 32 cells an axis); take a smaller input"),
        (lambda: convolution((2, 5, 5), torch.ones(1, 3, 2, 2)), ShapeError,
         "kernel: got shape (1, 3, 2, 2), expected [O, C / groups, K, K] for 2 input channels and groups=1"),
        (lambda: convolution((1, 1), 2, op="transposed", padding=1), ShapeError,
         "pad=1 cuts all of 2 cells off; take a smaller one"),
        (lambda: convolution((4, 4), op="transposed", fill="reflect"), ArgumentError,
         "fill='reflect': a transposed convolution only cuts its padding off"),
        (lambda: convolution((4, 4), output_padding=1), ArgumentError, 'output_padding: only with op="transposed"'),
        (lambda: convolution().svg(9), ArgumentError, "step=9: there are steps 0 to 8"),
        (lambda: like(nn.ReLU()), ArgumentError,
         "ReLU has no window to step through; name a convolution or a pooling of one or two axes"),
        (lambda: like(nn.Conv2d(1, 1, 2, padding="same")), ArgumentError,
         'padding="same" of an even kernel adds more on one side, which is not drawn; name the cells'),
    ]:  # fmt: skip
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == message


# ------------------------------------------------------------------------------------------- errors


WAYS = [
    ({}, F.conv2d),
    ({"stride": 2, "padding": 1}, lambda x, w: F.conv2d(x, w, stride=2, padding=1)),
    ({"dilation": 2}, lambda x, w: F.conv2d(x, w, dilation=2)),
    ({"turned": True}, lambda x, w: F.conv2d(x, w.flip(-2, -1))),
    ({"op": "transposed", "stride": 2, "padding": 1},
     lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1)),
    *(({"padding": 1, "fill": fill}, lambda x, w, mode=mode: F.conv2d(F.pad(x, (1, 1, 1, 1), mode), w))
      for fill, mode in (("reflect", "reflect"), ("replicate", "replicate"), ("circular", "circular"))),
    ({"padding": 1, "fill": 2.0}, lambda x, w: F.conv2d(F.pad(x, (1, 1, 1, 1), value=2.0), w)),
    ({"op": "max", "stride": 2}, lambda x, _: F.max_pool2d(x, 2, 2)),
    ({"op": "average", "padding": 1}, lambda x, _: F.avg_pool2d(x, 2, 1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "compute"), WAYS)
@pytest.mark.parametrize("error", ["ones", "one", "random"])
def test_errors_are_those_of_autograd(settings, compute, error):
    generator = torch.Generator().manual_seed(3)
    x = torch.randperm(2 * 5 * 6, generator=generator).reshape(2, 5, 6).double()
    weight = torch.randn(2, 2, 2, 3, generator=generator).double()
    pooled = settings.get("op") in ("max", "average")
    steps = convolution(x, 2 if pooled else weight, **settings)
    given = torch.ones(steps.output).double() if error == "ones" else torch.zeros(steps.output).double()  # fmt: skip
    if error == "one":
        given[1, 1, 1] = 1
    if error == "random":
        given = torch.randn(steps.output, generator=generator).double()
    found = backward(steps, None if error == "ones" else (1, 1, 1) if error == "one" else given)
    x.requires_grad_()
    weight.requires_grad_()
    grads = torch.autograd.grad(compute(x[None], weight)[0], [x, weight][: 1 + (not pooled)], given)
    assert torch.allclose(torch.tensor(found.input, dtype=torch.float64), grads[0])
    assert torch.equal(torch.tensor(found.output, dtype=torch.float64), given)
    if not pooled:
        wanted = grads[1].transpose(0, 1) if settings.get("op") == "transposed" else grads[1]
        assert torch.allclose(torch.tensor(found.weights, dtype=torch.float64), wanted)


def test_errors_of_groups():
    x = torch.randn(4, 4, 4, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    weight = torch.randn(6, 2, 3, 3).double().requires_grad_()
    found = backward(convolution(x, weight, groups=2))
    grads = torch.autograd.grad(F.conv2d(x[None], weight, groups=2).sum(), [x, weight])
    assert torch.allclose(torch.tensor(found.input, dtype=torch.float64), grads[0])
    assert torch.allclose(torch.tensor(found.weights, dtype=torch.float64), grads[1])


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("settings", [{}, {"op": "max"}, {"padding": 1, "fill": "circular"}])
def test_the_error_map_is_drawn_step_by_step(settings, narrow):
    errors = backward(convolution((2, 4, 4), 2 if settings.get("op") else (1, 2, 2, 2), **settings))
    layout = errors.layout(narrow=narrow)
    last = [part.text for part in layout.moving(layout.count - 1) if isinstance(part, Words)]
    told = [number_text(value) for plane in errors.so_far[-1] for row in plane for value in row if value]  # fmt: skip
    for value in told:
        assert value in last
    for part in [*layout.still(), *layout.moving(3)]:
        right = part.x + (part.width if isinstance(part, Box) else 0)
        assert 0 <= part.x <= right <= layout.width
        assert 0 <= part.y <= layout.height
    assert layout.width >= 358 or not narrow


def test_errors_are_saved_and_told(tmp_path):
    errors = backward(convolution((4, 4), 3), (0, 1, 0))
    for ending in ("svg", "gif", "html"):
        assert errors.save(tmp_path / f"e.{ending}").stat().st_size > 1000
    assert errors.as_dict()["input_error"][0][0] == [0, 0, 0, 0]
    assert "error of the kernel" in errors.as_text()


def test_errors_that_do_not_fit():
    steps = convolution((4, 4), 3)
    with pytest.raises(ShapeError, match="error: got shape 1x3x3, expected that of the output, 1x2x2"):  # fmt: skip
        backward(steps, torch.ones(1, 3, 3))
    with pytest.raises(ArgumentError, match="error=0,2,0: expected a place C,Y,X in an output of 1x2x2"):  # fmt: skip
        backward(steps, (0, 2, 0))


# ------------------------------------------------------------------------------------------- on a phone


@pytest.mark.parametrize("settings", [{}, {"stride": 2, "padding": 1}, {"op": "max"}, {"op": "transposed", "stride": 2}])  # fmt: skip
def test_on_a_phone_nothing_is_cut_and_all_panels_are_under_each_other(settings):
    steps = convolution((5, 5), 3, **settings)
    layout = steps.layout(narrow=True)
    parts = [*layout.still(), *(part for i in range(layout.count) for part in layout.moving(i))]
    # A larger input than a phone is wide is scrolled.
    assert layout.width <= max(358, len(steps.marks[0]) * CELL + 40)
    for part in parts:
        if isinstance(part, Box):
            assert 0 <= part.x <= part.x + part.width <= layout.width
            assert part.y + part.height <= layout.height
        else:
            kind = drawing.WORDS[part.kind]
            wide = fonts.width(part.text, kind[1], bold=kind[2])
            left = part.x - {"start": 0, "middle": wide / 2, "end": wide}[part.anchor]
            assert left >= 0
            assert left + wide <= layout.width, part
    assert steps.page().count("<svg") == 2


def test_the_animation_is_in_the_letters_of_the_page():
    assert fonts.FAMILY in drawing.css()
    assert fonts.FAMILY in convolution((3, 3), 2).page()
    if fonts.installed():
        names = [name.strip("'") for name in fonts.FAMILY.split(",")]
        assert fonts.installed() in names
        assert fonts.font(16, bold=True).getname()[1] == "Bold"


def test_every_drawing_of_steps_paints_its_own_paper():
    root = parsed(convolution((3, 3), 2).svg())
    paper = next(iter(root.iter("{http://www.w3.org/2000/svg}rect")))
    assert (paper.get("class"), paper.get("width")) == ("b-page", "100%")


def test_where_no_family_is_installed_words_are_spelled_in_what_pillow_has(monkeypatch):
    fonts.font.cache_clear()
    fonts.installed.cache_clear()
    monkeypatch.setattr(fonts, "FILES", ())
    assert fonts.installed() == ""
    assert fonts.spelled(f"2 {TIMES} \N{MINUS SIGN}\N{INFINITY}…") == "2 x -inf..."
    assert len(drawing.frames(convolution((3, 3), 2).layout())) == 4
    fonts.font.cache_clear()
    fonts.installed.cache_clear()
