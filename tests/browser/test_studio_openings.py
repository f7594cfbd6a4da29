"""What one opening of the Studio costs, and how a page meets what goes wrong: failed work, a server begun anew, a frame."""

import io
import threading
import time
import wave
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import striate
from striate.studio import audits, server
from striate.studio import session as sessions
from striate.studio.launch import Studio, begun

CANVASES = """
window.canvases = 0;
const make = Document.prototype.createElement;
Document.prototype.createElement = function (name, ...more) {
  if (String(name).toLowerCase() === 'canvas') window.canvases += 1;
  return make.call(this, name, ...more);
};
"""

# Of one cold opening of a screen with the net and its example: requests below api/, canvases that are made, passes of the
# net (that of the recording, which is made when nothing else is to do, is one). With fewer these numbers are to be lowered.
# On a busy machine what a map and a number read may be asked for before the recording that holds it too: a pass more.
NEEDED = {
    "networks": (4, 2, 0),
    "input": (30, 4, 0),
    "map": (8, 213, 2),
    "layer": (6, 4, 2),
    "number": (7, 4, 2),
    "looking": (13, 17, 4),
    "neighbours": (4, 2, 0),
    "runs": (5, 7, 0),
}


@pytest.mark.parametrize("screen", NEEDED)
def test_one_opening_asks_and_makes_no_more_than_it_needs(
    chromium: Any, studio: Any, monkeypatch: pytest.MonkeyPatch, screen: str
) -> None:
    """Everything that was kept of the example is forgotten first, so that its pass is counted too."""
    session = studio.page.session
    for kind in ("outputs", "recording"):
        session.store.forget(kind, studio.example.id)
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    passes: list[int] = []
    make = sessions.record

    def recorded(*given: Any, **more: Any) -> Any:
        passes.append(1)  # of a copy of the net, which has no hooks
        return make(*given, **more)

    monkeypatch.setattr(sessions, "record", recorded)
    hook = studio.opened.net.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        page, asked = context.new_page(), list[str]()
        page.on(
            "request",
            lambda sent: "/api/" in sent.url and asked.append(sent.url.partition("/api/")[2]),
        )
        page.add_init_script(CANVASES)
        page.goto(studio.address())
        page.goto("about:blank")
        page.wait_for_timeout(100)
        asked.clear()
        passes.clear()
        page.goto(f"{studio.origin}/#/{screen}?net={studio.net}")
        page.wait_for_selector("main [data-ready]")
        page.wait_for_load_state("networkidle")
        made = page.evaluate("window.canvases")
    finally:
        hook.remove()
        context.close()
    twice = {path: n for path, n in Counter(asked).items() if n > 1}
    assert twice == {}, "the same was asked twice"
    found = (len(asked), made, len(passes))
    assert all(a <= b for a, b in zip(found, NEEDED[screen], strict=True)), (found, sorted(asked))


# ------------------------------------------------------------------------------------ work that fails


def broken(*_given: Any, **_more: Any) -> Generator[tuple[str, object], None, None]:
    """Long work that begins and then fails."""
    yield "progress", {"done": 0, "total": 4}
    raise RuntimeError("no room for\nthese maps")


FAILING = [
    ("looking", "#/looking?net={net}&methods=occlusion", "", "figure[data-method=occlusion]"),
    ("index", "#/neighbours?net={net}&layer=conv1@0", "Make the index", ".neighbours"),
    ("audit", "#/runs?net={net}&folder={net}&tab=audit", "Audit now", ".runs"),
]


@pytest.mark.parametrize(("kind", "hash_", "button", "place"), FAILING, ids=lambda v: v[:8])
def test_work_that_fails_says_so_on_its_screen(
    look: Any, studio: Any, monkeypatch: pytest.MonkeyPatch,
    kind: str, hash_: str, button: str, place: str,
) -> None:  # fmt: skip
    """One line in the place where its answer would stand, that is still there when the screen has settled."""
    if kind == "audit":
        monkeypatch.setattr(audits, "auditing", broken)
    else:
        monkeypatch.setitem(server.job_kinds(), kind, broken)
    with look(hash_.format(net=studio.net)) as page:
        page.wait_for_selector("main [data-ready]")
        if button:
            page.get_by_role("button", name=button).first.click()
        page.wait_for_function(
            "([place, words]) => document.querySelector(place)?.innerText.includes(words)"
            " || document.querySelector('.banner:not([hidden])')?.innerText.includes(words)",
            arg=[place, "no room for these maps"],
        )
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(300)
        assert "no room for these maps" in page.inner_text("body")


# ----------------------------------------------------------------------------- a server begun anew


@contextmanager
def tab(chromium: Any, address: str) -> Any:
    """A tab that entered through an address, and what its console says."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    try:
        page = context.new_page()
        page.goto(address)
        yield context, page
    finally:
        context.close()


def again(path: str, port: int) -> Studio:
    """A Studio on a port that another one has just left."""
    for _ in range(50):
        try:
            return begun([path], port=port)
        except striate.errors.ServeError:
            time.sleep(0.1)
    raise AssertionError(f"port {port} stays taken")


def test_a_tab_of_a_server_that_was_begun_anew(chromium: Any, studio: Any) -> None:
    """It says that it has no entry; once the new address was opened it goes on where it was, with changes too."""
    path = str(studio.opened.run.path)
    first, _, last = studio.layers
    old = begun([path])
    port = old.server.server_address[1]
    with tab(chromium, old.address()) as (context, page):
        origin = f"http://127.0.0.1:{port}"
        page.goto(f"{origin}/#/layer?net={studio.net}&layer={first}")
        page.wait_for_selector(f"[data-layer='{first}']")
        page.wait_for_load_state("networkidle")
        old.close()
        with again(path, port) as new:
            page.get_by_label("Layer", exact=True).select_option(last)
            page.wait_for_selector(".banner:not([hidden])")
            assert "open the address that `striate studio` prints" in page.inner_text(".banner")
            assert page.locator(".layer").get_attribute("data-layer") == first
            other = context.new_page()
            other.goto(new.address())
            other.wait_for_selector("main [data-ready]")
            page.get_by_label("Layer", exact=True).select_option(studio.layers[1])
            page.wait_for_selector(f"[data-layer='{studio.layers[1]}']")
            page.goto(f"{origin}/#/input?net={studio.net}")
            before = page.url
            page.locator(".thumb").nth(2).click()  # a change: with the token of the new server
            page.wait_for_function("before => location.href !== before", arg=before)
            page.wait_for_selector(".banner", state="hidden")


# ---------------------------------------------------------------------------------------------- sound


def tone(pitch: float, seed: int) -> bytes:
    """A WAV file of half a second."""
    at, file = np.arange(4000) / 8000, io.BytesIO()
    noise = 0.1 * np.random.default_rng(seed).standard_normal(4000)
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(((np.sin(2 * np.pi * pitch * at) + noise) * 12000).astype("<i2").tobytes())
    return file.getvalue()


def test_a_sound_is_uploaded(chromium: Any, tmp_path: Path) -> None:
    for i in range(16):
        folder = tmp_path / "sounds" / ("low", "high")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.wav").write_bytes(tone((200, 2000)[i % 2], i))
    run = striate.train(tmp_path / "sounds", epochs=1, out=tmp_path / "runs", plan="default")
    sound = tmp_path / "new.wav"
    sound.write_bytes(tone(2000, 99))
    (said,) = run.predict([sound])
    with begun([str(run.path)]) as one, tab(chromium, one.address()) as (_, page):
        (net,) = one.session.nets
        page.goto(f"{one.address().split('/?')[0]}/#/input?net={net}")
        page.wait_for_selector("input[type=file]")
        assert ".wav" in page.get_attribute("input[type=file]", "accept")
        page.set_input_files("input[type=file]", str(sound))
        page.wait_for_url("**run=**")
        page.wait_for_load_state("networkidle")
        assert page.locator(".banner:visible").count() == 0
        assert page.get_by_role("img", name="The spectrogram that the network reads").is_visible()
        assert page.locator(".dock .bars .name").first.text_content() == said.as_dict()["label"]
        page.set_input_files(
            "input[type=file]", {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"no sound"}
        )
        page.wait_for_selector(".banner:not([hidden])")
        assert len(page.inner_text(".banner")) > 10


# ----------------------------------------------------------------------------------------- in a frame


@contextmanager
def notebook(folder: Path, markup: str) -> Any:
    """A page on this machine that holds some markup, as a notebook would: its address by the name localhost."""
    (folder / "notebook.html").write_text(f"<!doctype html><title>n</title>{markup}")
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder))) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://localhost:{served.server_address[1]}/notebook.html"
        served.shutdown()


@pytest.mark.parametrize("inline", [True, False])
def test_a_frame_shows_the_page_where_it_was_asked_for(
    chromium: Any, tmp_path: Path, inline: bool
) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(18, 2))
    with striate.studio(net, shape=(1, 5, 5), browser=False, inline=inline) as one:
        markup = one._repr_html_()
        if not inline:
            markup = f'<iframe src="{one.server.address("localhost")}"></iframe>'
        with notebook(tmp_path, markup) as address, tab(chromium, address) as (_, page):
            frame = page.frame_locator("iframe")
            if inline:
                frame.locator("main [data-ready]").first.wait_for()
                frame.get_by_role("link", name="Input").click()
                frame.locator(".drawn").wait_for()
            else:
                page.wait_for_timeout(1500)
                assert frame.locator("main").count() == 0
