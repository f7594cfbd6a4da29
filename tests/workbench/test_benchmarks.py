"""What the benchmarks reach into: a change of the loop's insides must show here, not when someone times again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_the_frame_of_the_benchmarks_trains_and_tells_what_surrounds_a_step() -> None:
    command = [sys.executable, "-W", "ignore", str(FOLDER / "overhead.py"), "digits"]
    settings = ["--items", "256", "--rounds", "2", "--epochs", "10", "--batches", "64"]
    done = subprocess.run(
        [*command, *settings], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["machine"]["versions"]["torch"]
    step, memory = found["rows"]
    assert step["ms a step"] > 0
    assert len(memory["resident"]) == 10
