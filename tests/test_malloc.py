"""Freed memory that stays: counted in the pages that the system clears anew."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, torch
from striate.plan import kept_pages

def fresh():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(20 * 2**20)  # 80 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

outside = fresh()
with kept_pages():
    within = min(fresh() for _ in range(10))  # the heap finds its size in a few turns
print(outside, within, fresh())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
@pytest.mark.parametrize("own", [False, True])
def test_a_large_array_takes_its_pages_again_while_a_net_learns(own: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env={"MALLOC_MMAP_THRESHOLD_": "1000000"} if own else {},
    )
    outside, within, afterwards = map(int, done.stdout.split())
    assert outside > 100  # 200 where pages are large, 100,000 where they are not
    assert afterwards > outside / 6  # what had been kept was given back
    assert (within > outside / 2) is own
