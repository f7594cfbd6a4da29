"""Trainings killed with SIGKILL, in the middle of a checkpoint too, and resumed: the same bits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_training.py"


@pytest.mark.full
@pytest.mark.slow
def test_five_killed_trainings_end_with_the_bits_of_an_undisturbed_one():
    command = [sys.executable, str(SCRIPT), "--random", "3", "--checkpoint", "2", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert (counts["moments"], counts["checkpoints"], counts["different"]) == (3, 2, 0)
