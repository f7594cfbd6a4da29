"""A browser for the pages: Debian's Chromium, driven by Playwright."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pages.py, which tests beside this file read


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what -m does not ask for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is of `make browser` alone."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; where there is none a failure if CI is set, else a skip with its reason."""
    lacking = pytest.fail if os.environ.get("CI") else pytest.skip
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        lacking("no Chromium here: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("no Playwright here: pip install 'striate[dev]'")
        raise
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of a page by its name, made once."""
    from pages import PAGES

    folder, made = tmp_path_factory.mktemp("pages"), {}

    def path(name: str) -> Path:
        if name not in made:
            made[name] = folder / f"{name}.html"
            made[name].write_text(PAGES[name](), encoding="utf-8", errors="backslashreplace")
        return made[name]

    return path


@pytest.fixture
def opened(chromium: Any, written: Callable[[str], Path]) -> Any:
    """Opens a page by its name, with all that is folded open; what the console has to say against it is an error."""

    @contextmanager
    def open_page(name: str, *, width: int = 1200, dark: bool = False, unfold: bool = True) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        try:
            page = context.new_page()
            said: list[str] = []
            page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: said.append(f"error: {error}"))
            page.on("request", lambda sent: asked(sent.url, said))
            page.goto(written(name).as_uri())
            if unfold:
                page.evaluate(
                    "document.querySelectorAll('details').forEach(d => { d.open = true })"
                )
            yield page
            assert said == []
        finally:
            context.close()

    return open_page


def asked(url: str, said: list[str]) -> None:
    """A page asks nothing of anybody but itself."""
    if not url.startswith(("file:", "data:")):
        said.append(f"request: {url}")


@pytest.fixture(scope="session")
def studio() -> Iterator[Any]:
    """A Studio on a small trained net with its data, served on a free port."""
    from served import Served

    one = Served()
    yield one
    one.close()


@pytest.fixture
def look(chromium: Any, studio: Any) -> Any:
    """Opens the Studio at a hash; what the console says, what the policy forbids and what goes elsewhere is an error."""

    @contextmanager
    def open_studio(
        hash_: str,
        *,
        width: int = 1280,
        dark: bool = False,
        language: str = "en",
        errors: str = "",
        **more: Any,
    ) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            locale={"en": "en-GB", "ru": "ru-RU", "pl": "pl-PL"}[language],
            **more,
        )
        try:
            page, said = context.new_page(), list[str]()
            page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: said.append(f"error: {error}"))
            page.on("request", lambda sent: own(sent.url, studio.origin, said))
            page.add_init_script(
                "addEventListener('securitypolicyviolation', e => console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`))"
            )
            page.goto(studio.address())
            page.goto(f"{studio.origin}/{hash_}")
            yield page
            assert [line for line in said if not (errors and re.search(errors, line))] == []
        finally:
            context.close()

    return open_studio


def own(url: str, origin: str, said: list[str]) -> None:
    """The Studio asks its own server and nobody else."""
    if not url.startswith((f"{origin}/", "blob:")):
        said.append(f"request: {url}")
