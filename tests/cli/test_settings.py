"""Words of a command line."""

import pytest

from striate.cli.settings import read
from striate.errors import UsageError


def test_three_ways_to_say_the_same():
    for words in (["epochs=3"], ["--epochs", "3"], ["--epochs=3"]):
        assert read(["data", *words]) == (["data"], {"epochs": "3"})
    assert read(["--weight-decay", "0.1"]) == ([], {"weight_decay": "0.1"})


def test_paths_stay_names():
    assert read(["./a=b", "c d/x=1", "C"]) == (["./a=b", "c d/x=1", "C"], {})


def test_mistakes():
    with pytest.raises(
        UsageError, match="--epochs has no value: write --epochs VALUE or epochs=VALUE"
    ):
        read(["data", "--epochs"])
    with pytest.raises(UsageError, match="epochs is given twice: 1 and 2"):
        read(["epochs=1", "--epochs", "2"])
