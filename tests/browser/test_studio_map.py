"""The screens Map and Where it looks in a browser, on a small trained net."""

import re
from typing import Any

import numpy as np
import pytest
from test_studio import CLIPPED, TOO_WIDE, address

from striate import see
from striate.measuring.fields import fields
from striate.probe import trace
from striate.studio.graph import net_graph
from striate.studio.number import value_of
from striate.text import times

READY = "main .{}[data-ready]"
MAP, LOOKING = READY.format("map"), READY.format("looking")


def boxes(page: Any) -> list[str]:
    return page.eval_on_selector_all(".mapbox", "all => all.map(e => e.dataset.box)")


def ink(page: Any, selector: str) -> int:
    """How many different colours a canvas holds."""
    return page.eval_on_selector(
        selector,
        "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size",
    )


def painted_maps(page: Any) -> None:
    page.wait_for_function(
        "() => [...document.querySelectorAll('.mapbox canvas')].every(c => c.dataset.run)"
    )


@pytest.mark.parametrize("dark", [False, True])
def test_every_call_is_a_box_with_its_maps(look: Any, studio: Any, dark: bool) -> None:
    graph = net_graph(studio.opened.net, studio.example.x)
    with look(address(studio, "map"), dark=dark) as page:
        page.wait_for_selector(MAP)
        painted_maps(page)
        assert boxes(page) == graph.shown(graph.opened())
        assert page.locator(".maplines path").count() == len(graph.edges)
        for box in boxes(page):
            assert ink(page, f'.mapbox[data-box="{box}"] canvas') > 1
        named = [n.path for n in graph.nodes if n.path]
        texts = page.locator(".mapbox b").all_inner_texts()
        assert set(named) <= set(texts) | {"input"}


def test_hover_and_keys_light_what_a_box_reads(look: Any, studio: Any) -> None:
    graph = net_graph(studio.opened.net, studio.example.x)
    (fc,) = [n.id for n in graph.nodes if n.path == "fc1"]
    (act,) = [
        n.id for n in graph.nodes if n.path == "act2"
    ]  # behind flatten, which hands on what it reads
    with look(address(studio, "map")) as page:
        page.wait_for_selector(MAP)
        page.locator(f'.mapbox[data-box="{fc}"]').hover()
        lit = page.eval_on_selector_all(".mapbox.source", "all => all.map(e => e.dataset.box)")
        assert lit == [act]
        page.locator('.mapbox[tabindex="0"]').focus()
        page.keyboard.press("Home")
        assert page.evaluate("document.activeElement.dataset.box") == "in0"
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.dataset.box") == "#0"
        page.keyboard.press("Enter")
        page.wait_for_url("**#/layer?**layer=conv1*")


def test_the_maps_of_a_unit_and_back_to_the_input(look: Any, studio: Any) -> None:
    with look(address(studio, "map", layer="conv2@0", c=3)) as page:
        page.wait_for_selector(".fanout li")
        assert page.locator(".mapbox.chosen b").inner_text() == "conv2"
        shares = [float(s.rstrip("%")) for s in page.locator(".fanout .numeric").all_inner_texts()]
        assert sum(shares) == pytest.approx(100, abs=1)
        assert shares == sorted(shares, reverse=True)
        page.locator(".fanout button").first.click()
        page.wait_for_function(
            "() => document.querySelector('.mapbox.chosen b').textContent === 'act1'"
        )
        assert re.search("layer=act1", page.url)


def test_find_goes_to_what_it_finds(look: Any, studio: Any) -> None:
    with look(address(studio, "map")) as page:
        page.wait_for_selector(MAP)
        page.get_by_role("searchbox").fill("fc2")
        assert page.locator(".mapbox.hit b").all_inner_texts() == ["fc2"]
        page.keyboard.press("Enter")
        page.wait_for_function(
            "() => document.querySelector('.mapbox.chosen b').textContent === 'fc2'"
        )


def test_the_list_has_what_the_drawing_has(look: Any, studio: Any) -> None:
    with look(address(studio, "map", view="list")) as page:
        page.wait_for_selector(".maplist tbody tr")
        rows = page.locator(".maplist tbody tr")
        assert rows.count() == len(net_graph(studio.opened.net, studio.example.x).nodes)
        assert "act1" in rows.nth(4).inner_text()


def test_a_net_of_blocks_opens_and_closes(look: Any, studio: Any) -> None:
    with look("#/map?net=resnet20_cifar") as page:
        page.wait_for_selector(MAP, timeout=60_000)
        before = boxes(page)
        group = page.locator(".mapbox.group").first
        group.locator(".mapopen").click()
        page.wait_for_function(f"() => document.querySelectorAll('.mapbox').length > {len(before)}")
        page.locator(".mapside").get_by_role("button", name="Close").click()
        page.wait_for_function(
            f"() => document.querySelectorAll('.mapbox').length === {len(before)}"
        )
        assert boxes(page) == before
        page.go_back()
        page.wait_for_function(f"() => document.querySelectorAll('.mapbox').length > {len(before)}")


def test_the_field_is_the_one_of_measuring(look: Any, studio: Any) -> None:
    run = trace(studio.opened.net, [studio.example.x])
    value = value_of(run, "conv2@0")
    field = fields(run).of(value)
    assert field is not None
    (y0, y1), (x0, x1) = (span or (-1, -1) for span in fields(run).box(value, [2, 5]))
    with look(address(studio, "looking", layer="conv2@0", y=2, x=5, methods="none")) as page:
        page.wait_for_selector(LOOKING)
        text = page.locator(".lookpair .caption").inner_text()
        assert times(field.size).replace("x", " \N{MULTIPLICATION SIGN} ") in text
        assert f"{y0}-{y1}, {x0}-{x1}" in text.replace("\N{EN DASH}", "-")
        names = page.locator(".cone b").all_inner_texts()
        assert (names[0], names[-1]) == ("input", "conv2")
        page.locator(".lookpair .grid .cell").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_url("**x=6*")
        page.wait_for_function(
            "() => document.querySelector('.looking').dataset.cell.endsWith('x=6')"
        )


def test_saliency_over_the_wire_is_that_of_see_and_long_ones_come_as_jobs(
    look: Any, studio: Any
) -> None:
    asked = "gradient,grad-cam,occlusion"
    with look(address(studio, "looking", methods=asked)) as page:
        page.wait_for_function(
            "() => document.querySelectorAll('.saliency figure[data-done]').length === 3",
            timeout=60_000,
        )
        shown = page.evaluate(
            """async () => { const a = await fetch('api/run/' + document.querySelector('.looking').dataset.ready + '/looking?method=gradient');
            return Array.from(new Uint8Array(await a.arrayBuffer())); }"""
        )
        from safetensors.numpy import load

        found = load(bytes(shown))["map"]
        true = see.saliency(studio.opened.run, studio.example.x, method="gradient").values[0]
        np.testing.assert_allclose(found, true, rtol=1e-4, atol=1e-6)
        for name in asked.split(","):
            assert ink(page, f'figure[data-method="{name}"] canvas') > 4
        before = page.locator('figure[data-method="gradient"]').get_attribute("data-done")
        page.get_by_label("Randomise the weights").check()
        page.wait_for_function(
            f"() => {{ const f = document.querySelector('figure[data-method=gradient]').dataset.done; return f && f !== '{before}'; }}",
            timeout=60_000,
        )
        assert page.locator(".looking .note:not([hidden])").count() == 1


def test_a_long_method_is_cancelled(look: Any, studio: Any) -> None:
    with look(address(studio, "looking", methods="rise:400000")) as page:
        button = page.locator(".saliency figure").get_by_role("button", name="Cancel")
        button.click()
        page.get_by_text("Cancelled.").wait_for()
        page.get_by_role("button", name="Again").wait_for()


def test_a_region_by_drag_and_by_keyboard(look: Any, studio: Any) -> None:
    with look(address(studio, "looking", layer="conv1@0", methods="none")) as page:
        page.wait_for_selector(LOOKING)
        picture = page.locator("canvas.region")
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=3)
        page.mouse.up()
        page.wait_for_url("**region=*")
        first, last = (int(float(s) * studio.size) for s in (0.3, 0.6))
        assert f"region={first}%2C{last}%2C{first}%2C{last}" in page.url
        page.locator(".unitrows li").first.wait_for()
        page.get_by_label("Last row").fill("3")
        page.keyboard.press("Tab")
        page.wait_for_function("() => /region=3%2C/.test(location.hash)")


@pytest.mark.parametrize("screen", ["map", "looking"])
@pytest.mark.parametrize(
    ("language", "width"),
    [("en", 320), ("en", 390), ("ru", 390), ("pl", 390), ("ru", 1280), ("pl", 1280)],
)
def test_narrow_and_in_every_language(
    look: Any, studio: Any, screen: str, language: str, width: int
) -> None:
    with look(
        address(studio, screen, methods="gradient", region="1,2,3,4", layer="conv1@0"),
        width=width,
        language=language,
    ) as page:
        page.wait_for_selector(READY.format(screen))
        page.wait_for_load_state("networkidle")
        assert page.evaluate(TOO_WIDE) == []
        clipped = page.evaluate(CLIPPED)
        assert [text for text in clipped if not re.search(r"conv|pool|act|fc", text)] == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("screen", ["map", "looking"])
def test_axe_finds_nothing_on_the_map_and_where_it_looks(
    look: Any, studio: Any, screen: str, dark: bool
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    more = {"methods": "gradient", "region": "1,9,1,9", "layer": "conv2@0"}
    with look(address(studio, screen, **more), dark=dark) as page:
        page.wait_for_selector(READY.format(screen))
        page.wait_for_load_state("networkidle")
        found = Axe().run(page).response["violations"]
        assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found] == []
