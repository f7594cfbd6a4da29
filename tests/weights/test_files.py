"""Files of weights that somebody else made: what is read, and what is refused without running it."""

import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import CheckpointError
from striate.weights import files
from striate.weights.files import read

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.half)}


def same(found):
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def test_safetensors_and_run_folders_are_read(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    same(read(tmp_path / "model.safetensors"))
    same(read(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [TENSORS, {"epoch": 3, "state_dict": TENSORS}, {"model": TENSORS}],
    ids=["plain", "checkpoint", "model"],
)
def test_state_dicts_of_torch_are_read(tmp_path, content):
    path = tmp_path / "net.pth"
    torch.save(content, path)
    same(read(path))


@pytest.mark.slow
def test_tensors_that_share_memory_are_read(tmp_path):
    weight = torch.arange(8.0)
    torch.save({"a": weight, "b": weight, "c": weight[::2]}, tmp_path / "net.pth")
    found = read(tmp_path / "net.pth")
    assert torch.equal(found["b"], weight)
    assert torch.equal(found["c"], weight[::2])


class Payload:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (Path.touch, (self.canary,))


@pytest.mark.slow
def test_code_in_a_pickle_does_not_run(tmp_path):
    canary = tmp_path / "canary"
    torch.save({"a": torch.ones(1), "b": Payload(canary)}, tmp_path / "zip.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Payload(canary)))
    torch.save(TENSORS, tmp_path / "older.pth", _use_new_zipfile_serialization=False)
    for name in ("zip.pth", "old.pth", "older.pth"):
        with pytest.raises(CheckpointError, match="is no supported weights file"):
            read(tmp_path / name)
    assert not canary.exists()
    torch.load(tmp_path / "zip.pth", weights_only=False)  # noqa: TID251 - the canary itself works
    assert canary.exists()


@pytest.mark.slow
def test_what_is_no_table_of_tensors_is_refused(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="it holds list, expected tensors by name"):
        read(tmp_path / "list.pth")
    torch.save({"a": torch.ones(1), "lr": 0.1}, tmp_path / "mixed.pth")
    with pytest.raises(CheckpointError, match="it holds 'lr', which is no tensor"):
        read(tmp_path / "mixed.pth")


def test_a_packed_zip_is_refused_before_it_is_opened(tmp_path):
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    torch.save({"a": torch.zeros(1_000_000)}, plain)
    with (
        zipfile.ZipFile(plain) as old,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    with pytest.raises(CheckpointError, match=r"is compressed, which torch\.save never does"):
        read(packed)


def test_other_zip_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="is a zip file, but no PyTorch weights file"):
        read(tmp_path / "x.pth")
    (tmp_path / "x.pth").write_bytes(b"PK\x03\x04" + bytes(50))
    with pytest.raises(CheckpointError, match="is damaged"):
        read(tmp_path / "x.pth")


def raw(path, header, data=bytes(8)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b'{"a": 1, "a": 2}', "is damaged: 'a' is in its header twice"),
        (b'{"a": ' * 100_000, "is damaged"),
        ({"a": {**ONE, "shape": [3]}}, "is damaged"),
        ({"a": {**ONE, "dtype": "F99"}}, "is damaged"),
        ({"a": {**ONE, "data_offsets": [4, 12]}}, "is damaged"),
        ({"a": ONE, "b": ONE}, "is damaged"),
        ({"a": {**ONE, "data_offsets": [0, 4], "shape": [1]}}, "is damaged"),
        ({"a": {**ONE, "data_offsets": [0, 2**60], "shape": [2**58]}}, "is damaged"),
        ({"a": {**ONE, "shape": [2**62, 8]}}, "is damaged"),
        ({f"t{i}": ONE for i in range(100_001)}, "names 100,001 tensors, more than 100,000"),
    ],
    ids=[
        "twice",
        "deep",
        "shape",
        "dtype",
        "beyond",
        "overlap",
        "hole",
        "huge",
        "overflow",
        "many",
    ],
)
def test_damaged_safetensors_are_refused(tmp_path, header, message):
    path = raw(tmp_path / "x.safetensors", header)
    with pytest.raises(CheckpointError) as error:
        read(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_header_longer_than_the_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}")
    with pytest.raises(CheckpointError, match="its header would have 1,099,511,627,776 bytes"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"hello world", b"<html></html>"])
def test_anything_else_is_no_weights_file(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        read(tmp_path / "x")
    assert str(error.value).startswith(f"{tmp_path}/x is no supported weights file: expected")
    assert error.value.exit_status == 5


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read: No such file or directory"):
        read(tmp_path)


@pytest.mark.slow
def test_other_names_of_a_pickle_run_nothing_either(tmp_path):
    canary = tmp_path / "canary"
    names = ("net.bin", "net.pt", "net.safetensors", "net.npy", "dcp/.metadata")
    (tmp_path / "dcp").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(pickle.dumps(Payload(canary)))
    torch.save(Payload(canary), tmp_path / "zip.bin")
    for name in (*names, "zip.bin"):
        with pytest.raises(CheckpointError, match="is no supported weights file"):
            read(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read: No such file"):
        read(tmp_path / "dcp")
    assert not canary.exists()
    pickle.loads((tmp_path / "net.bin").read_bytes())  # noqa: S301 - the canary itself works
    assert canary.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"a": torch.zeros(2), "when": datetime.now(UTC)}, "datetime.datetime"),
        (Payload(Path("canary")), "getattr"),
    ],
    ids=["a whole net", "a date", "code"],
)
def test_what_is_no_tensor_is_named_without_advice_to_load_it(tmp_path, content, named):
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(CheckpointError) as error:
        read(tmp_path / "net.pt")
    assert str(error.value) == (
        f"{tmp_path}/net.pt is no supported weights file: it holds {named} beside tensors, which is never loaded; "
        "expected tensors by name, as of torch.save(net.state_dict(), NEW)"
    )


@pytest.mark.slow
def test_a_conversion_may_not_take_more_memory_than_its_file_explains(tmp_path, monkeypatch):
    """One stored number, seen 10^10 times by strides of zero: 40 GB once it is copied."""
    torch.save({"a": torch.ones(1).expand(100_000, 100_000)}, tmp_path / "net.pth")
    assert (tmp_path / "net.pth").stat().st_size < 10_000
    with pytest.raises(CheckpointError, match=r"is no supported weights file: .*memory") as error:
        read(tmp_path / "net.pth")
    assert "\n" not in str(error.value)
    torch.save({"a": torch.ones(1).expand(1000, 100_000)}, tmp_path / "net.pth")  # 400 MB
    assert read(tmp_path / "net.pth")["a"].shape == (1000, 100_000)
    monkeypatch.setattr(files, "ROOM", 300_000_000)
    with pytest.raises(CheckpointError, match=r"is no supported weights file: .*allocate memory"):
        read(tmp_path / "net.pth")


@pytest.mark.slow
def test_a_conversion_may_not_take_more_time_than_it_is_given(tmp_path, monkeypatch):
    torch.save(TENSORS, tmp_path / "net.pth")
    monkeypatch.setattr(files, "SECONDS", 1)  # its imports alone take more
    with pytest.raises(CheckpointError, match=r"is no supported weights file: it ended with -\d+"):
        read(tmp_path / "net.pth")
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["import socket; socket.socket()", "import os; os.system('true')"])
def test_a_conversion_reaches_no_network_and_starts_nothing(what):
    code = f"from striate.weights import pytorch_files; pytorch_files.limit(2**31, 60); {what}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PermissionError: a weights file asked for " in done.stderr


PEAK = """
import re, sys
from datetime import UTC, datetime
from pathlib import Path
import striate.weights.files as files
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
try:
    files.read(Path(sys.argv[1]))
except files.CheckpointError as error:
    print(peak() - before, error, sep="|")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "times"), [pytest.param(1_000_000, 2, marks=pytest.mark.full), (300_000, 30)]
)
def test_a_header_of_many_tensors_takes_memory_in_proportion_to_its_file(tmp_path, count, times):
    path = raw(tmp_path / "x.safetensors", {f"t{i}": ONE for i in range(count)})
    done = subprocess.run(
        [sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True
    )
    grown, message = done.stdout.split("|")
    assert "is damaged: its header would have" in message or "more than 100,000" in message
    assert int(grown) * 1024 < times * path.stat().st_size + 20 * 2**20


@pytest.mark.slow
def test_a_conversion_that_is_killed_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    torch.save({"a": torch.ones(4)}, tmp_path / "net.pth")
    started, children = subprocess.Popen, []

    def killed(*words, **named):
        child = started(*words, **named)
        children.append(child)
        child.kill()
        return child

    monkeypatch.setattr(subprocess, "Popen", killed)
    with pytest.raises(CheckpointError, match=r"net\.pth is no supported .* it ended with -9"):
        read(tmp_path / "net.pth")
    assert [child.returncode for child in children] == [-9]
    assert [p.name for p in tmp_path.iterdir()] == ["net.pth"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read: it is no regular file"):
        read(tmp_path / "net.safetensors")
