"""The screen One number in a browser: its texts are PyTorch's numbers, and the way back is walked by mouse and by keys."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch

from striate.probe import tensors
from striate.studio import nets
from striate.studio.launch import Studio
from striate.studio.session import Session
from striate.workbench.nets import Named
from studio.number_nets import NETS, made

SHOWN = [
    "lenet", "three channels", "sound", "volume", "grouped", "dilated", "transposed", "asymmetric", "concat", "shared",
    "opaque", "attention", "2,048 channels", "no numbers",
]  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even")
TOO_WIDE = """() => [...document.querySelectorAll('.onenumber *')]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .window-tables'))
  .map(e => `${e.tagName.toLowerCase()}.${e.className} ${e.textContent.slice(0, 40)}`)"""


def _key(name: str) -> str:
    return "given-" + re.sub(r"\W+", "-", name)


@pytest.fixture(scope="module")
def studio() -> Iterator[Any]:
    """A Studio on the nets of the tests in Python, and what each layer of theirs gives on the example."""
    sources = {
        _key(name): nets.given_source(_key(name), Named(name, made(name)[0], NETS[name][1]), None)
        for name in SHOWN
    }
    session = Session(sources)
    page = Studio(session)
    yield SimpleNamespace(
        session=session, address=page.address, origin=page.address().split("/?")[0]
    )
    page.close()


def outputs(studio: Any, name: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The example's input, and what each module gave, watched by hooks of this test's own."""
    one = nets.open_net(studio.session, _key(name))
    x = studio.session.run(one.card.example.run_id).x
    given: dict[str, torch.Tensor] = {}

    def keep(path: str, out: object) -> None:
        given.setdefault(path, tensors(out)[0].clone())

    hooks = [
        module.register_forward_hook(lambda _m, _i, out, path=path: keep(path, out))
        for path, module in one.net.named_modules()
    ]
    with torch.no_grad():
        one.net(x.clone())
    for hook in hooks:
        hook.remove()
    return x, given


def address(name: str, layer: str, at: tuple[int, ...], **more: object) -> str:
    names = {1: "c", 2: "cx", 3: "cyx", 4: "czyx"}[len(at)]
    query = {"net": _key(name), "layer": layer, **dict(zip(names, at, strict=True)), **more}
    return "#/number?" + "&".join(f"{k}={quote(str(v))}" for k, v in query.items())


def settled(page: Any, layer: str, at: tuple[int, ...]) -> None:
    """Wait until that number is shown."""
    page.wait_for_selector(f'.onenumber[data-layer="{layer}"][data-at="{",".join(map(str, at))}"]')


def value(page: Any) -> np.float32:
    return np.float32(plain(page.locator(".onenumber .big").inner_text()))


def plain(text: str) -> float:
    """A number as the page writes it in English."""
    return float(text.replace("\u221e", "inf").replace("\u2212", "-"))


def same(a: np.float32, b: torch.Tensor) -> bool:
    return bool(np.array_equal(a, np.float32(b.item()), equal_nan=True))


def follow(page: Any, studio: Any, name: str, layer: str, at: tuple[int, ...]) -> None:
    """Go to another number in the same page."""
    page.evaluate("hash => { location.hash = hash }", address(name, layer, at))
    settled(page, layer, at)


@pytest.mark.parametrize("name", SHOWN)
def test_the_text_is_the_number_that_pytorch_gave(look: Any, studio: Any, name: str) -> None:
    x, given = outputs(studio, name)
    rng = np.random.default_rng(5)
    paths = [path for path in given if given[path].shape[0] == 1]
    cells = [(paths[rng.integers(len(paths))], None) for _ in range(4)]
    with look(address(name, "#input", tuple(0 for _ in x.shape[1:]))) as page:
        settled(page, "#input", tuple(0 for _ in x.shape[1:]))
        assert same(value(page), x[(0,) * x.ndim])
        for path, _ in cells:
            tensor = given[path]
            at = tuple(int(rng.integers(n)) for n in tensor.shape[1:])
            follow(page, studio, name, f"{path}@0", at)
            assert same(value(page), tensor[(0, *at)]), (path, at)
            assert page.locator(".verdict.beyond").count() == 0


def test_walking_back_by_mouse_ends_at_the_pixel(look: Any, studio: Any) -> None:
    x, given = outputs(studio, "three channels")
    with look(address("three channels", "3@0", (1, 1, 2))) as page:
        settled(page, "3@0", (1, 1, 2))
        assert same(value(page), given["3"][0, 1, 1, 2])
        taken = page.locator(".cells td.taken")
        assert taken.count() == 1
        taken.click()
        for layer in ("2@0", "1@0"):
            page.wait_for_selector(f'.onenumber[data-layer="{layer}"]')
            page.locator("table.terms button.walk").first.click()
        page.wait_for_selector('.onenumber[data-layer="0@0"]')
        assert page.locator(".crumbs li").count() == 4
        cell = page.locator(".cells td[role=gridcell]:not(.padding)").nth(8)
        read = np.float32(plain(re.search(r"\]: (\S+) ", cell.get_attribute("aria-label"))[1]))  # pyright: ignore[reportOptionalSubscript]
        cell.click()
        page.wait_for_selector('.onenumber[data-layer="#input"]')
        at = tuple(map(int, page.locator(".onenumber").get_attribute("data-at").split(",")))
        assert same(value(page), x[(0, *at)])
        assert value(page) == read
        page.reload()
        page.wait_for_selector('.onenumber[data-layer="#input"]')
        assert page.locator(".crumbs li").count() == 5  # the address holds the way
        page.locator(".crumbs button").nth(1).click()
        page.wait_for_selector('.onenumber[data-layer="2@0"]')
        assert page.locator(".crumbs li").count() == 2
        page.locator(".crumbs button").first.click()
        settled(page, "3@0", (1, 1, 2))
        assert page.locator(".crumbs li").count() == 1


def test_a_way_back_is_forgotten_where_another_number_is_chosen(look: Any, studio: Any) -> None:
    with look(address("lenet", "1@0", (1, 2, 3))) as page:
        settled(page, "1@0", (1, 2, 3))
        page.locator("button.walk[data-index]").click()
        settled(page, "0@0", (1, 2, 3))
        assert page.locator(".crumbs li").count() == 2
        page.get_by_role("link", name="Layer").click()
        page.get_by_role("button", name="How this number came about").click()
        page.wait_for_selector(".onenumber[data-ready]")
        page.locator(".onenumber .grid .cell").focus()
        page.keyboard.press("ArrowDown")
        page.wait_for_selector('.onenumber[data-at="1,3,3"]')
        assert page.locator(".crumbs li").count() == 1


def test_walking_back_by_keys_and_back_again(look: Any, studio: Any) -> None:
    _, given = outputs(studio, "lenet")
    at = (3, 1, 2)
    with look(address("lenet", "3@0", at)) as page:
        settled(page, "3@0", at)
        page.locator(".cells td[tabindex='0']").focus()
        for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "End"):
            page.keyboard.press(key)
        index = int(page.evaluate("document.activeElement.dataset.i"))
        assert index % 25 == 14  # row 2, column 4 of the kernel
        channel = index // 25
        page.keyboard.press("Enter")
        here = (channel, at[1] + 2, at[2] + 4)
        settled(page, "2@0", here)
        assert same(value(page), given["2"][(0, *here)])
        assert page.evaluate("document.activeElement.matches('.cells td')")
        page.keyboard.press("Enter")  # the first cell of a mean
        page.wait_for_selector('.onenumber[data-layer="1@0"]')
        page.keyboard.press("Enter")
        page.wait_for_selector('.onenumber[data-layer="0@0"]')
        page.keyboard.press("Backspace")
        page.wait_for_selector('.onenumber[data-layer="1@0"]')
        page.keyboard.press("Backspace")
        settled(page, "2@0", here)
        page.keyboard.press("Backspace")
        settled(page, "3@0", at)
        assert same(value(page), given["3"][(0, *at)])


def test_the_window_slides_by_buttons_by_keys_and_by_itself(look: Any, studio: Any) -> None:
    _, given = outputs(studio, "lenet")
    with look(address("lenet", "0@0", (1, 0, 12))) as page:
        settled(page, "0@0", (1, 0, 12))
        page.get_by_label("The next number").click()
        settled(page, "0@0", (1, 0, 13))
        page.get_by_label("The next number").click()
        settled(page, "0@0", (1, 1, 0))
        assert same(value(page), given["0"][0, 1, 1, 0])
        page.locator(".onenumber .grid .cell").focus()
        page.keyboard.press("ArrowDown")
        settled(page, "0@0", (1, 2, 0))
        page.keyboard.press("ArrowRight")
        settled(page, "0@0", (1, 2, 1))
        assert same(value(page), given["0"][0, 1, 2, 1])
        page.keyboard.press("Space")
        settled(page, "0@0", (1, 2, 3))
        page.keyboard.press("Space")


def test_another_input_channel_is_chosen_by_its_bar(look: Any, studio: Any) -> None:
    with look(address("grouped", "a@0", (5, 2, 2))) as page:
        settled(page, "a@0", (5, 2, 2))
        assert "channels 4 to 7 of 8" in page.locator(".onenumber").inner_text()
        bars = page.locator(".sums button")
        assert bars.count() == 4
        label = bars.nth(2).locator("span").first.inner_text()
        bars.nth(2).click()
        page.wait_for_selector(f".onenumber h3:text-is('{label}')")
        said = page.get_by_text("This channel adds").inner_text().removeprefix("This channel adds ")
        products = [plain(t) for t in page.locator(".cells").nth(2).locator("td").all_inner_texts()]
        assert plain(said) == pytest.approx(sum(products), abs=0.02)


def test_padding_and_gaps_are_marked_and_lead_nowhere(look: Any, studio: Any) -> None:
    with look(address("transposed", "1@0", (0, 3, 3))) as page:
        settled(page, "1@0", (0, 3, 3))
        gaps = page.locator(".cells td.gap[role=gridcell], .cells td.padding")
        assert gaps.count() > 0
        gaps.first.click()
        page.wait_for_timeout(200)
        settled(page, "1@0", (0, 3, 3))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("layer=nonsense&c=0", "no layer 'nonsense'"),
        ("layer=0@0&c=99&y=0&x=0", "from 0,0,0 to 3,13,13"),
        ("layer=0@0&c=abc&y=0&x=0", "expected a whole number"),
        ("layer=0@0&c=0&y=-4&x=0", "from 0,0,0"),
        ("layer=0@0&at=1,2", "a place is 3 numbers"),
        ("layer=0@0&c=0&y=0&x=0&item=3", "item 3"),
        ("layer=%23input&c=0&y=0&x=14", "at=0,0,14"),
    ],
)
def test_an_address_that_names_no_number_is_refused_in_one_line(
    look: Any, studio: Any, query: str, says: str
) -> None:
    with look(f"#/number?net={_key('lenet')}&{query}", errors="Failed to load resource") as page:
        banner = page.locator(".banner:not([hidden])")
        banner.wait_for()
        assert says in banner.inner_text()
        assert page.locator(".onenumber .big").count() == 0
        follow(page, studio, "lenet", "0@0", (1, 2, 3))


def test_what_is_left_out_of_an_address_is_the_first_layer_and_the_middle(
    look: Any, studio: Any
) -> None:
    _, given = outputs(studio, "lenet")
    with look(f"#/number?net={_key('lenet')}&trail=%25E0&ci=99") as page:
        settled(page, "0@0", (0, 7, 7))
        assert same(value(page), given["0"][0, 0, 7, 7])


def test_what_is_opaque_is_said(look: Any, studio: Any) -> None:
    _, given = outputs(studio, "opaque")
    with look(address("opaque", "outside@0", (1, 2, 3))) as page:
        settled(page, "outside@0", (1, 2, 3))
        assert same(value(page), given["outside"][0, 1, 2, 3])
        assert "opaque" in page.locator(".result").inner_text()
        assert page.locator(".cells, table.terms").count() == 0
        follow(page, studio, "opaque", "norm@0", (1, 2, 3))
        assert "derivatives" in page.locator(".result").inner_text()
        assert "No bound" in page.locator(".result").inner_text()


@pytest.mark.parametrize("language", ["en", "ru", "pl"])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_fits_in_three_languages_on_a_phone_and_in_the_dark(
    look: Any, studio: Any, language: str, width: int
) -> None:
    cells = {
        "lenet": ("3@0", (3, 1, 2)),
        "sound": ("4@0", (1, 3)),
        "2,048 channels": ("4@0", (1,)),
        "concat": ("last@0", (0, 2, 2)),
    }
    first = address("lenet", *cells["lenet"])
    with look(first, width=width, dark=width == 320, language=language) as page:
        for name, (layer, at) in cells.items():
            page.evaluate("hash => { location.hash = hash }", address(name, layer, at))
            settled(page, layer, at)
            page.wait_for_load_state("networkidle")
            assert page.evaluate(TOO_WIDE) == []
            assert "{" not in page.locator(".onenumber").inner_text()
            assert "number." not in page.locator(".onenumber").inner_text()


def test_a_number_as_a_table_holds_its_terms_and_the_sum_of_the_others(
    look: Any, studio: Any
) -> None:
    _, given = outputs(studio, "lenet")
    with look(address("lenet", "3@0", (0, 0, 0), tab="table")) as page:
        settled(page, "3@0", (0, 0, 0))
        rows = page.locator("table.terms tbody tr")
        assert rows.count() == 65
        cells = [plain(row.locator("td").last.inner_text()) for row in rows.all()]
        bias = dict(made("lenet")[0].named_parameters())["3.bias"][0].item()
        assert sum(cells) + bias == pytest.approx(given["3"][0, 0, 0, 0].item(), abs=1e-4)
