"""The Studio in a browser: its frame and the screens Networks, Input and Layer, on a small trained net."""

import base64
import io
import json
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from studio.rendering import painted, table

READY = "main [data-ready]"
PIXELS = """async layer => {
  const canvases = [...document.querySelectorAll('.layer section:not([hidden]) > .scroll > .grid canvas')];
  return canvases.map(c => {
    const {data, width, height} = c.getContext('2d').getImageData(0, 0, c.width, c.height);
    let text = '';
    for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
    return {width, height, data: btoa(text)};
  });
}"""
TOO_WIDE = """() => [...document.body.querySelectorAll('*')]
  .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .visually-hidden, .skip'))
  .map(e => `${e.tagName.toLowerCase()}.${e.className} ${e.textContent.slice(0, 40)}`)"""
CLIPPED = """() => [...document.querySelectorAll('button, h1, h2, h3, dt, dd, p, label > span, nav a, summary, th, li > b')]
  .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'visible')
  .map(e => e.textContent.slice(0, 60))"""
SCREENS = ["networks", "input", "layer"]


def address(studio: Any, screen: str, **more: object) -> str:
    return f"#/{screen}?" + "&".join(f"{k}={v}" for k, v in {"net": studio.net, **more}.items())


def run_shown(page: Any) -> str:
    return re.search(r"run=([^&]+)", page.url)[1]  # pyright: ignore[reportOptionalSubscript]


def draw(page: Any, points: list[tuple[float, float]], *, steps: int = 4) -> None:
    """A stroke over the pad, in shares of its sides."""
    box = page.locator(".drawn").bounding_box()
    for i, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=steps)
        if i == 0:
            page.mouse.down()
    page.mouse.up()


def settled(page: Any) -> str:
    """The run that is shown once nothing is asked any more."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function(
        "() => document.querySelector('main [data-ready]')?.dataset.ready === /run=([^&]+)/.exec(location.hash)?.[1]"
    )
    return run_shown(page)


@pytest.mark.parametrize("scale", ["map", "layer"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_maps_are_painted_as_python_paints_them(
    look: Any, studio: Any, which: int, dark: bool, scale: str
) -> None:
    layer = studio.layers[which]
    with look(address(studio, "layer", layer=layer, scale=scale), dark=dark) as page:
        page.wait_for_selector(f"[data-layer='{layer}']")
        grid = page.locator(".layer .grid").first
        columns, zoom_y, zoom_x = (
            int(grid.get_attribute(f"data-{name}")) for name in ("columns", "zoomy", "zoomx")
        )
        for canvas in page.locator(".layer .grid").first.locator("canvas").all():
            canvas.scroll_into_view_if_needed()
        page.wait_for_function(
            "() => !document.querySelector('.layer .grid').querySelector('canvas:not([data-painted])')"
        )
        bands = page.evaluate(PIXELS)
    seen = np.concatenate(
        [
            np.frombuffer(base64.b64decode(b["data"]), np.uint8).reshape(
                b["height"], b["width"], 4
            )[..., :3]
            for b in bands
        ]
    )
    maps, lo, hi = studio.maps(layer)
    own = list(zip(lo.tolist(), hi.tolist(), strict=True))
    whole = (float(lo.min()), float(hi.max()))
    theme = "dark" if dark else "light"
    tables = [table(o, o if scale == "map" else whole, theme) for o in own]
    expected = painted(maps, tables, list(range(len(maps))), columns, (zoom_y, zoom_x), 2, theme)
    assert seen.shape == expected.shape
    assert np.array_equal(seen, expected)


def test_a_drawing_is_predicted_and_its_last_stroke_counts(look: Any, studio: Any) -> None:
    with look(address(studio, "input")) as page:
        page.wait_for_selector(".drawn canvas")
        first = page.locator(READY).first.get_attribute("data-ready")
        box = page.locator(".drawn").bounding_box()
        page.evaluate(
            """async ({x, y, w, h}) => {
              const pad = document.querySelector('.drawn');
              const send = (type, px, py) => pad.dispatchEvent(new PointerEvent(type, {bubbles: true, pointerId: 1, button: 0,
                buttons: 1, clientX: x + px * w, clientY: y + py * h}));
              pad.setPointerCapture = () => {};
              for (let i = 0; i < 30; i++) {
                const a = i / 5;
                send('pointerdown', 0.5 + 0.3 * Math.cos(a), 0.5 + 0.3 * Math.sin(a));
                send('pointermove', 0.5 + 0.3 * Math.cos(a + 0.2), 0.5 + 0.3 * Math.sin(a + 0.2));
                send('pointerup', 0, 0);
                await new Promise(done => setTimeout(done, 10));
              }
            }""",
            {"x": box["x"], "y": box["y"], "w": box["width"], "h": box["height"]},
        )
        run = settled(page)
        assert run != first
        pad = page.evaluate(
            """() => { const c = document.querySelector('.drawn canvas'), pen = c.getContext('2d');
              return [c.width, c.height, [...pen.getImageData(0, 0, c.width, c.height).data]]; }"""
        )
        width, height, data = pad
        zoom = width // studio.size
        drawn = np.array(data, np.uint8).reshape(height, width, 4)[::zoom, ::zoom, 0]
        assert drawn.max() == 255
        assert drawn.min() == 0
        answer = studio.given(drawn)
        assert answer.run_id == run
        shown = page.locator(".dock .bars .name").first.text_content()
        assert shown == answer.top[0].class_


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "grey", "alpha"])
def test_pictures_of_every_kind_are_taken(look: Any, studio: Any, kind: str) -> None:
    rng = np.random.default_rng(3)
    picture = Image.fromarray(rng.integers(0, 256, (40, 31, 3), dtype=np.uint8))
    picture = {"grey": picture.convert("L"), "alpha": picture.convert("RGBA")}.get(kind, picture)
    file = io.BytesIO()
    picture.save(file, "JPEG" if kind == "JPEG" else "PNG")
    with look(address(studio, "input")) as page:
        page.wait_for_selector("input[type=file]")
        page.set_input_files(
            "input[type=file]",
            {"name": f"{kind}.x", "mimeType": "image/png", "buffer": file.getvalue()},
        )
        page.wait_for_url("**run=**")
        assert page.locator(".banner:not([hidden])").count() == 0
        assert settled(page)


def test_a_file_that_is_no_picture_is_refused_in_a_line(look: Any, studio: Any) -> None:
    with look(address(studio, "input"), errors=r"status of 4\d\d") as page:
        page.wait_for_selector("input[type=file]")
        page.set_input_files(
            "input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}
        )
        page.wait_for_selector(".banner:not([hidden])")
        assert len(page.locator(".banner").text_content()) > 10


def test_one_pixel_is_changed(look: Any, studio: Any) -> None:
    with look(address(studio, "input")) as page:
        page.wait_for_selector(".card .grid canvas")
        box = page.locator(".split > .card .row input")
        box.first.fill("200")
        page.get_by_role("button", name="Change", exact=True).click()
        page.wait_for_url("**run=**")
        run = settled(page)
        picture = studio.picture(run)
        assert picture[0, 0, 0] == 200
        box.first.fill("12,x")
        page.get_by_role("button", name="Change", exact=True).click()
        assert "12,x" in page.locator(".banner").text_content()


def test_an_item_of_the_data_is_given_and_two_inputs_compared(look: Any, studio: Any) -> None:
    with look(address(studio, "input")) as page:
        page.locator(".thumb").nth(2).click()
        page.wait_for_url("**run=**")
        a = settled(page)
        page.get_by_role("button", name="Keep for comparison").click()
        page.locator(".thumb").nth(5).click()
        page.wait_for_function(f"() => !location.hash.includes('run={a}')")
        b = settled(page)
        assert a != b
        assert page.locator(".dock .pane:not([hidden])").count() == 2
        page.get_by_role("link", name="Layer").click()
        page.wait_for_selector(".layer[data-ready]")
        page.get_by_label("A \u2212 B").check()
        page.wait_for_selector("text=from maps in 8 bits")
        page.get_by_role("button", name="Swap A and B").click()
        page.wait_for_function(f"() => location.hash.includes('run={a}')")


@pytest.mark.parametrize("hash_", ["", "#/layer"])
def test_the_page_begins_with_the_net_that_was_named(look: Any, studio: Any, hash_: str) -> None:
    with look(hash_) as page:
        page.wait_for_url(f"**net={studio.net}**")
        page.wait_for_selector(READY)
        name = page.locator("header .place").text_content()
        assert name == studio.opened.card.name


def test_a_deep_link_opens_cold_and_the_buttons_of_the_browser_work(look: Any, studio: Any) -> None:
    layer = studio.layers[1]
    with look(address(studio, "layer", layer=layer, c=2, sort="max", scale="layer")) as page:
        page.wait_for_selector(f"[data-layer='{layer}']")
        assert page.locator("select[data-choice=sort]").input_value() == "max"
        assert page.get_by_role("heading", name="Channel 2").is_visible()
        page.get_by_label("Layer", exact=True).select_option(studio.layers[0])
        page.wait_for_selector(f"[data-layer='{studio.layers[0]}']")
        page.get_by_role("link", name="Networks").click()
        page.wait_for_selector(".netlist button")
        page.go_back()
        page.wait_for_selector(f"[data-layer='{studio.layers[0]}']")
        page.go_back()
        page.wait_for_selector(f"[data-layer='{layer}']")
        page.go_forward()
        page.wait_for_selector(f"[data-layer='{studio.layers[0]}']")


def test_a_run_that_is_gone_is_said_and_the_example_shown(look: Any, studio: Any) -> None:
    with look(address(studio, "layer", run="0" * 16), errors="status of 404") as page:
        page.wait_for_selector(".layer[data-ready]")
        assert "no longer held" in page.locator(".banner").text_content()


def test_sorting_filtering_and_saving(look: Any, studio: Any) -> None:
    layer = studio.layers[1]
    maps, lo, hi = studio.maps(layer)
    del maps, lo
    with look(address(studio, "layer", layer=layer, sort="max")) as page:
        page.wait_for_selector(f"[data-layer='{layer}']")
        said = page.locator(".grid .cell").first.get_attribute("aria-label")
        assert said.startswith(f"Channel {int(hi.argmax())} of {len(hi)}")
        page.get_by_role("button", name="As table").click()
        first = page.locator("tbody th").first.text_content()
        assert int(first) == int(hi.argmax())
        page.get_by_role("button", name="Maps", exact=True).click()
        for name, check in (("CSV", csv), ("PNG", png), ("Chosen map", npy)):
            page.locator("summary").click()
            with page.expect_download() as waited:
                page.get_by_role("button", name=re.compile(name)).click()
            check(waited.value.path().read_bytes(), studio, layer, len(hi))


def csv(content: bytes, studio: Any, layer: str, count: int) -> None:
    lines = content.decode().splitlines()
    assert len(lines) == count + 1
    assert lines[0] == "channel,mean,min,max,std,zero_fraction"


def png(content: bytes, studio: Any, layer: str, count: int) -> None:
    assert Image.open(io.BytesIO(content)).size[0] > 40


def npy(content: bytes, studio: Any, layer: str, count: int) -> None:
    array = np.load(io.BytesIO(content), allow_pickle=False)
    whole = studio.values(layer)
    assert any(np.array_equal(array, channel) for channel in whole)


def test_the_layer_is_read_by_keyboard_alone(look: Any, studio: Any) -> None:
    layer = studio.layers[0]
    with look(address(studio, "layer", layer=layer)) as page:
        page.wait_for_selector(f"[data-layer='{layer}']")
        page.locator(".grid .cell").first.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_url("**c=1**")
        assert page.locator("[role=status]").text_content().startswith("Channel 1 of")
        page.keyboard.press("s")
        page.wait_for_url("**scale=layer**")
        page.keyboard.press("]")
        following = page.evaluate("() => document.querySelector('.tools select').options[1].value")
        page.wait_for_selector(f"[data-layer='{following}']")
        page.keyboard.press("2")
        page.wait_for_url("**#/input**")
        page.wait_for_selector(".drawn")
        page.keyboard.press("?")
        assert page.get_by_role("dialog").is_visible()
        page.keyboard.press("Escape")
        page.locator(".drawn").locator("xpath=..").locator(".cell").focus()
        before = page.url
        page.keyboard.press("ArrowDown")
        page.keyboard.press(" ")
        page.wait_for_function(f"() => location.href !== {json.dumps(before)}")
        page.keyboard.press("1")
        page.wait_for_selector(".netlist button")
        page.keyboard.press("/")
        page.keyboard.type("zzzz")
        assert page.locator(".netlist button").count() == 0


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_in_the_studio(look: Any, studio: Any, screen: str, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with look(address(studio, screen), dark=dark) as page:
        page.wait_for_selector(READY)
        settled_or_not(page)
        found = Axe().run(page).response["violations"]
        assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found] == []


def settled_or_not(page: Any) -> None:
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("language", ["en", "ru", "pl"])
@pytest.mark.parametrize("width", [320, 1280])
def test_a_screen_is_whole_in_each_language(
    look: Any, studio: Any, screen: str, language: str, width: int
) -> None:
    with look(address(studio, screen), width=width, language=language) as page:
        page.wait_for_selector(READY)
        settled_or_not(page)
        assert page.evaluate("document.documentElement.lang") == language
        assert page.evaluate(TOO_WIDE) == []
        assert page.evaluate(CLIPPED) == []


def test_colours_that_the_system_forces_and_the_switch_of_the_theme(look: Any, studio: Any) -> None:
    with look(address(studio, "layer"), forced_colors="active") as page:
        page.wait_for_selector(".layer[data-ready]")
        page.get_by_label("Light or dark").select_option("dark")
        page.wait_for_function("() => document.documentElement.style.colorScheme === 'dark'")


HOSTILE = "<img src=x onerror=alert(1)>\u202e" + "x" * 400


def test_hostile_names_are_text(look: Any, studio: Any) -> None:
    def renamed(route: Any) -> None:
        card = route.fetch().json()
        card["name"] = card["sentences"][0] = card["example"]["truth"] = HOSTILE
        for row in [*card["example"]["top"], *card["layers"]]:
            row["class"] = row["path"] = HOSTILE
        route.fulfill(json=card)

    for screen in SCREENS:
        with look("#/runs", width=390) as page:
            page.route("**/api/open", renamed)
            page.goto(f"{studio.origin}/{address(studio, screen)}")
            page.reload()
            page.wait_for_selector(READY)
            page.wait_for_load_state("networkidle")
            assert HOSTILE in page.locator("body").text_content()
            assert page.locator("img[src=x]").count() == 0
            assert page.evaluate(TOO_WIDE) == []


def test_a_server_that_is_gone_is_said_and_found_again(look: Any, studio: Any) -> None:
    with look(address(studio, "layer", layer=studio.layers[0]), errors="ERR_FAILED") as page:
        page.wait_for_selector(".layer[data-ready]")
        page.wait_for_load_state("networkidle")
        page.route("**/api/**", lambda route: route.abort())
        page.get_by_label("Layer", exact=True).select_option(studio.layers[2])
        page.wait_for_selector(".banner:not([hidden])")
        assert "does not answer" in page.locator(".banner").text_content()
        assert page.locator(".layer").get_attribute("data-layer") == studio.layers[0]
        page.unroute("**/api/**")
        page.get_by_role("button", name="Try again").click()
        page.wait_for_selector(f"[data-layer='{studio.layers[2]}']")
        assert page.locator(".banner").is_hidden()


def test_a_slow_answer_never_puts_old_maps_under_a_new_caption(look: Any, studio: Any) -> None:
    first, _, last = studio.layers
    with look(address(studio, "layer", layer=first)) as page:
        page.wait_for_selector(f"[data-layer='{first}']")
        page.wait_for_load_state("networkidle")
        held: list[Any] = []

        def hold(route: Any) -> None:
            held.append(route)

        page.route(f"**/maps?layer={last.replace('@', '%40')}", hold)
        page.get_by_label("Layer", exact=True).select_option(last)
        page.wait_for_selector(".layer[aria-busy]")
        assert first.split("@")[0] in page.locator(".caption").first.text_content()
        page.get_by_label("Layer", exact=True).select_option(first)
        page.wait_for_selector(".layer:not([aria-busy])")
        for route in held:
            route.continue_()
        page.wait_for_load_state("networkidle")
        assert page.locator(".layer").get_attribute("data-layer") == first


def test_kernels_are_the_weights(look: Any, studio: Any) -> None:
    layer = studio.layers[0]
    weight = dict(studio.opened.net.named_parameters())[f"{layer.split('@')[0]}.weight"]
    with look(address(studio, "layer", layer=layer, tab="kernels")) as page:
        page.wait_for_selector(".layer section:not([hidden]) canvas[data-painted]")
        assert (
            f"0 to {len(weight) - 1} of {len(weight)}"
            in page.locator(".caption").last.text_content()
        )
        box = page.locator(".layer section:not([hidden]) .bands:visible").first.bounding_box()
        page.mouse.move(box["x"] + 4, box["y"] + 4)
        page.wait_for_function("() => /output 0, input 0: /.test(document.body.textContent)")
        said = page.get_by_text("output 0, input 0: ").last.text_content()
        assert float(said.rpartition(": ")[2]) == pytest.approx(float(weight[0, 0, 0, 0]), rel=1e-3)
