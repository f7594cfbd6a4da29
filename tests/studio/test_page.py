"""The page as it is shipped: budgets, no foreign addresses, nothing that turns text into markup, whole catalogues, fresh golden files."""

import json
import re
from pathlib import Path

import pytest

import striate.studio

PAGE = Path(striate.studio.__file__).parent / "page"
SCRIPTS = sorted(PAGE.rglob("*.js"))
CATALOGUES = {path.stem: json.loads(path.read_text("utf-8")) for path in (PAGE / "words").iterdir()}
FORMS = {
    "en": {"one", "other"},
    "ru": {"one", "few", "many", "other"},
    "pl": {"one", "few", "many", "other"},
}
WAYS_TO_MARKUP = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|javascript:"


def reached(path: Path, seen: set[Path]) -> set[Path]:
    """A script and all that it loads."""
    if path not in seen:
        seen.add(path)
        for name in re.findall(r'from "(\.[^"]+)"', path.read_text("utf-8")):
            reached((path.parent / name).resolve(), seen)
    return seen


def test_the_page_is_small():
    """What one opening of the page loads; one catalogue of the three."""
    loaded = reached((PAGE / "main.js").resolve(), set())
    assert 10 < len(loaded) <= 28
    lines = {p.name: len(p.read_text("utf-8").splitlines()) for p in SCRIPTS}
    assert {name: n for name, n in lines.items() if n > 400} == {}
    largest = max((PAGE / "words").iterdir(), key=lambda p: p.stat().st_size)
    files = [
        *loaded,
        largest,
        *(p for p in PAGE.glob("*") if p.suffix in {".html", ".css", ".svg"}),
    ]
    assert sum(p.stat().st_size for p in files) <= 320_000
    shipped = [p for p in PAGE.rglob("*") if p.is_file() and p.suffix != ".ts"]
    assert sum(p.stat().st_size for p in shipped) <= 400_000


@pytest.mark.parametrize(
    "path", [*SCRIPTS, PAGE / "index.html", PAGE / "studio.css"], ids=lambda p: p.name
)
def test_a_file_asks_nobody_else_and_makes_no_markup_of_text(path: Path):
    text = path.read_text("utf-8")
    assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}", text) == []
    assert re.findall(WAYS_TO_MARKUP, text) == []
    plain = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    assert re.findall(r"export default|import \*|^await|\bimport\(", plain, re.MULTILINE) == []


def test_no_name_stands_at_the_top_of_two_modules():
    top = r"^(?:export )?(?:async )?(?:function\*?|const|let|class) (\w+)"
    names = [name for p in SCRIPTS for name in re.findall(top, p.read_text("utf-8"), re.MULTILINE)]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_every_script_is_checked_for_types():
    assert [p.name for p in SCRIPTS if not p.read_text("utf-8").startswith("// @ts-check\n")] == []


def test_no_script_loads_what_does_not_exist():
    for path in SCRIPTS:
        for name in re.findall(r'from "(\.[^"]+)"', path.read_text("utf-8")):
            assert (path.parent / name).resolve().is_file(), f"{path.name} imports {name}"


def test_the_catalogues_have_the_same_words():
    bare = {name: {key.partition("#")[0] for key in words} for name, words in CATALOGUES.items()}
    assert set(bare) == set(FORMS)
    for name in ("ru", "pl"):
        assert bare[name] ^ bare["en"] == set()


@pytest.mark.parametrize("name", FORMS)
def test_a_catalogue_has_every_plural_form_and_no_empty_word(name: str):
    words = CATALOGUES[name]
    assert [key for key, text in words.items() if not text.strip()] == []
    found: dict[str, set[str]] = {}
    for key in words:
        if "#" in key:
            found.setdefault(key.partition("#")[0], set()).add(key.partition("#")[2])
    assert {key: forms for key, forms in found.items() if forms != FORMS[name]} == {}


@pytest.mark.parametrize("name", ["ru", "pl"])
def test_a_word_has_the_same_places_for_values_in_each_language(name: str):
    def places(words: dict[str, str], key: str) -> set[str]:
        texts = [t for k, t in words.items() if k in (key, f"{key}#other")]
        return {place for text in texts for place in re.findall(r"\{(\w+)\}", text)}

    keys = {key.partition("#")[0] for key in CATALOGUES["en"]}
    assert [
        k for k in sorted(keys) if places(CATALOGUES["en"], k) != places(CATALOGUES[name], k)
    ] == []


def test_every_word_that_a_screen_asks_for_is_there():
    keys = {key.partition("#")[0] for key in CATALOGUES["en"]}
    asked = {
        (p.name, key)
        for p in SCRIPTS
        for key in re.findall(r'\bt\(\s*"([a-z0-9_.]+)"', p.read_text("utf-8"))
    }
    assert sorted(pair for pair in asked if pair[1] not in keys) == []


def test_the_golden_files_are_fresh():
    from studio.rendering import GOLDEN, files

    for name, content in files().items():
        assert (GOLDEN / name).read_bytes() == content, "python tests/studio/rendering.py"
