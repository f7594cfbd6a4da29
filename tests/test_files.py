"""Files written whole, and locks that end with their process."""

import subprocess
import sys
import threading
import time

import pytest

from striate.files import lock

HOLDER = """
import sys, pathlib
from striate.files import lock
with lock(pathlib.Path(sys.argv[1])) as file:
    file.write("me"); file.flush()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a lock."""
    path = tmp_path / "a.lock"
    words = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.communicate()


@pytest.mark.plain
def test_a_lock_that_another_process_holds(holder):
    path, process = holder
    with pytest.raises(BlockingIOError), lock(path):
        pass
    assert path.read_text() == "me", "what the holder wrote stays"
    process.kill()
    process.communicate()
    with lock(path):
        assert path.exists()
    assert not path.exists()


@pytest.mark.plain
def test_waiting_holders_come_one_after_the_other(tmp_path):
    path, inside, most = tmp_path / "a.lock", [0], [0]

    def work():
        for _ in range(30):
            with lock(path, wait=True):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1, "a removed file is no lock for those who waited for it"
