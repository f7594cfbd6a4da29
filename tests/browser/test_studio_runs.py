"""Screens 7 and 8 in a browser: a training that is watched, neighbours, an audit; and the saved page, opened from disk."""

import base64
import json
import subprocess
import sys
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PIXELS = "[...document.querySelectorAll('.layer .bands canvas')].filter(c => !c.closest('.channel')).map(c => c.toDataURL())"
PAINTED = "() => Boolean(document.querySelector('.layer')?.dataset.ready && document.querySelector('.layer .bands canvas[data-painted]'))"


def decoded(url: str) -> Any:
    from PIL import Image

    return np.asarray(Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


@pytest.fixture(scope="module")
def file(studio: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved page of the served net."""
    from striate.studio.save import saved

    path = tmp_path_factory.mktemp("saved") / "net.html"
    saved(studio.page.session, path)
    return path


@pytest.fixture
def offline(chromium: Any, file: Path) -> Any:
    """Opens the saved page from disk without a network; whatever it says or asks for is an error."""

    @contextmanager
    def open_file(hash_: str, **more: Any) -> Any:
        context = chromium.new_context(
            viewport={"width": 1280, "height": 900}, offline=True, locale="en-GB", **more
        )
        try:
            page, said = context.new_page(), list[str]()
            page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: said.append(f"error: {error}"))
            page.on(
                "request",
                lambda sent: sent.url.startswith(("file:", "data:")) or said.append(sent.url),
            )
            page.goto(f"{file.as_uri()}{hash_}")
            yield page
            assert said == []
        finally:
            context.close()

    return open_file


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_saved_page_has_the_pixels_of_the_studio(
    look: Any, offline: Any, studio: Any, scheme: str
):
    for layer in studio.layers[:2]:
        hash_ = f"#/layer?net={studio.net}&layer={layer}"
        with look(hash_, dark=scheme == "dark") as page:
            page.wait_for_function(PAINTED)
            wanted = page.evaluate(PIXELS)
        with offline(hash_, color_scheme=scheme) as page:
            page.wait_for_function(PAINTED)
            found = page.evaluate(PIXELS)
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(decoded(a), decoded(b))


def test_a_drawing_is_answered_offline_as_pytorch_does(offline: Any, studio: Any):
    with offline(f"#/input?net={studio.net}") as page:
        pad = page.locator(".drawn")
        pad.wait_for()
        first = page.locator(".dock section").first.get_attribute("data-ready")
        box = pad.bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.7, steps=4)
        page.mouse.up()
        page.wait_for_function(
            "first => document.querySelector('.dock section').dataset.ready.startsWith('live-')",
            arg=first,
        )
        page.wait_for_timeout(300)  # strokes that came while an earlier one was answered
        url = page.evaluate("document.querySelector('.dock section canvas').toDataURL()")
        shown = page.locator(".dock .bars .name").all_inner_texts()
        shares = page.locator(".dock .bars .figure").all_inner_texts()
    answer = studio.given(decoded(url)[..., 0])
    assert shown[0] == answer.top[0].class_
    assert float(shares[0].rstrip("%")) == pytest.approx(100 * answer.top[0].p, abs=0.11)


@pytest.mark.parametrize(
    "screen", ["networks", "input", "map", "layer", "number", "looking", "neighbours", "runs"]
)
def test_every_screen_of_the_saved_page_opens(offline: Any, studio: Any, screen: str):
    with offline(f"#/{screen}?net={studio.net}") as page:
        page.wait_for_selector("main [data-ready], main[data-ready]")
        assert page.locator(".banner:visible").count() == 0


def test_what_was_not_saved_is_said(offline: Any, studio: Any):
    with offline(f"#/number?net={studio.net}&layer=conv1@0&at=1,0,0") as page:
        page.wait_for_selector(".banner:visible")
        assert (
            "holds the arithmetic of these cells of conv1@0" in page.locator(".banner").inner_text()
        )


TRAINING = """
import sys, striate
striate.train("digits", net="lenet5", epochs=12, batch=32, size=28, keep=1000, health=5, out=sys.argv[1], name="watched", plan="default")
"""


def test_a_training_is_watched_while_it_runs(look: Any, studio: Any, tmp_path: Path):
    work = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(tmp_path)], stderr=subprocess.DEVNULL
    )
    folder = tmp_path / "classify" / "watched"
    try:
        while not (folder / "config.json").exists():
            assert work.poll() is None
        studio.page.session.folders["watched"] = folder
        with look(f"#/runs?net={studio.net}&folder=watched") as page:
            page.wait_for_selector(".runs[data-events]", timeout=60_000)
            page.wait_for_function(
                "() => Boolean(document.querySelector('.runs .card')?.innerText.includes('finished'))",
                timeout=180_000,
            )
            assert int(page.locator(".runs").get_attribute("data-events")) >= 2
            page.locator("figure", has_text="Loss").get_by_role("button", name="As table").click()
            rows = page.locator("figure", has_text="Loss").locator("tbody tr").count()
            page.goto(f"{studio.origin}/#/runs?net={studio.net}&folder=watched&tab=kernels")
            page.wait_for_selector(".runs [data-ready] canvas.moments, .runs canvas.moments")
            page.reload()  # keeps its state
            page.wait_for_selector("canvas.moments[aria-label*='step']")
        assert rows == 12
        assert work.wait(60) == 0
    finally:
        work.kill()
        studio.page.session.folders.pop("watched", None)
    assert json.loads((folder / "summary.json").read_text())["epochs"] == 12


def test_neighbours_are_found_after_an_index_is_made(look: Any, studio: Any):
    with look(f"#/neighbours?net={studio.net}&layer=fc2@0") as page:
        page.get_by_role("button", name="Make the index").click()
        page.wait_for_selector(".neighbours .items .item")
        assert page.locator(".neighbours .item").count() == 18
        before = page.locator(".dock section").first.get_attribute("data-ready")
        page.locator(".neighbours .item").nth(5).click()
        page.wait_for_function(
            "before => document.querySelector('.dock section').dataset.ready !== before", arg=before
        )
        page.get_by_role("button", name="Plane").click()
        page.wait_for_selector(".neighbours[data-ready=plane]")
        page.locator("canvas.plane").focus()
        page.keyboard.press("ArrowRight")
        assert "item" in page.locator(".planes .value").inner_text()


@pytest.mark.parametrize("language", ["ru", "pl"])
@pytest.mark.parametrize("screen", ["runs", "neighbours"])
def test_the_screens_speak_the_language(look: Any, studio: Any, screen: str, language: str):
    with look(f"#/{screen}?net={studio.net}", language=language) as page:
        page.wait_for_selector(f".{screen}[data-ready]")
        assert "runs." not in page.inner_text("main").replace("striate", "")
        wide = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert wide


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("screen", ["runs", "runs?tab=audit", "neighbours"])
def test_the_screens_fit_a_narrow_window(look: Any, studio: Any, screen: str, width: int):
    with look(f"#/{screen}{'&' if '?' in screen else '?'}net={studio.net}", width=width) as page:
        page.wait_for_selector("main [data-ready]")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
