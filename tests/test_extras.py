"""Optional packages."""

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
