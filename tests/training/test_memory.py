"""A long training takes no more memory than a short one."""

import os
from pathlib import Path

import pytest

import striate
from striate.training import Progress, fit, read_recipe

GROWTH = 8.0  # MiB between a third of the epochs and the end; a kept batch an epoch would be 20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read it from")
def test_memory_does_not_grow_over_200_epochs(shapes, tmp_path):
    seen: list[float] = []

    def say(line: str) -> None:
        if line.startswith("epoch"):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    recipe = read_recipe(
        "quick", {"net": "lenet5", "epochs": 200, "batch": 36, "plan": "default", "health": 5}
    )
    fit(striate.open(shapes), recipe, out=tmp_path, progress=Progress(say))
    assert len(seen) == 200
    assert max(seen[-20:]) - max(seen[60:80]) < GROWTH, seen[::20]
