"""A long training takes no more memory than a short one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GROWTH = 8.0  # MiB between a third of the epochs and the end; a kept batch an epoch would be 20
# In a process of its own: what other tests left on the heap is no matter of this training.
SCRIPT = r"""
import json, os, re, sys
from pathlib import Path
import striate
from striate.training import Progress, fit, read_recipe

seen = []

def say(line):
    if re.match(r"epoch \d", line):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        seen.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

recipe = read_recipe(
    "quick", {"net": "lenet5", "epochs": 200, "batch": 36, "plan": "default", "health": 5}
)
fit(striate.open(sys.argv[1]), recipe, out=Path(sys.argv[2]), progress=Progress(say))
print(json.dumps(seen))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read it from")
def test_memory_does_not_grow_over_200_epochs(shapes, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(shapes), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert len(seen) == 200
    assert max(seen[-20:]) - max(seen[60:80]) < GROWTH, seen[::20]
