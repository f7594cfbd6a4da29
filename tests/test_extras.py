"""Optional packages."""

import tomllib
from pathlib import Path

import pytest

from striate import extras
from striate.errors import MissingExtraError


def test_a_missing_package_says_what_brings_it(monkeypatch):
    monkeypatch.setitem(extras.EXTRAS, "no_such_package", "audio")
    assert extras.available()["no_such_package"] is False
    with pytest.raises(MissingExtraError) as caught:
        extras.need("no_such_package")
    assert (
        str(caught.value) == "this needs the package no_such_package: pip install 'striate[audio]'"
    )
    assert isinstance(caught.value, ImportError)


def test_an_extra_is_named_only_where_it_exists(monkeypatch):
    for name in extras.EXTRAS:
        typed = extras.install(name)
        assert typed in (f"pip install {name}", f"pip install 'striate[{extras.EXTRAS[name]}]'")
    monkeypatch.setitem(extras.EXTRAS, "no_such_package", "no_such_extra")
    assert extras.install("no_such_package") == "pip install no_such_package"
    assert extras.install("soundfile") == "pip install 'striate[audio]'"
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]) - {"dev", "docs", "release"} == extras.PROVIDED
