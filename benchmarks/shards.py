"""Encoded pictures read in random order: files, our shards map-style, and WebDataset where it is installed.

python benchmarks/shards.py [--items 12000] [--bytes 10000] [--runs 5]

Bytes of noise, 10 kB each, in a warm cache; nothing is decoded. Runs are interleaved, medians are printed, and a
ratio above 1 means that shards are faster. WebDataset reads its shards from front to back, the others at random.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from striate.data import packing, shards
from striate.data.byteranges import Local
from striate.data.pictures import Limits
from striate.data.sources import Files


def made(root: Path, items: int, size: int) -> tuple[Files, shards.Sharded, list[Path]]:
    """The same bytes as files in folders and in shards."""
    rng = np.random.default_rng(0)
    rows, names, found, paths = np.zeros(items, shards.ROW), [], [], []
    per_shard = max(1, items // 8)
    for first in range(0, items, per_shard):
        path = root / f"{len(found):06}.tar"
        with path.open("wb") as file:
            tar = packing.Tar(file)
            for i in range(first, min(items, first + per_shard)):
                data = rng.bytes(size)
                name = f"{i % 100:02}/{i:06}.jpg"
                (root / name).parent.mkdir(exist_ok=True)
                (root / name).write_bytes(data)
                names.append(name)
                rows["digest"][i] = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
                rows["shard"][i], rows["length"][i] = len(found), size
                rows["start"][i] = tar.add(f"{i:06}.jpg", data)
                tar.add(f"{i:06}.cls", b"0")
            tar.add_end()
        found.append(shards.Shard(path.name, tar.size))
        paths.append(path)
    ends = np.array([shard.size for shard in found])
    source = shards.Sharded(Local(root), found, ends, rows, Limits())
    return Files(root, tuple(names), Limits()), source, paths


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--bytes", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files, sharded, paths = made(Path(folder), asked.items, asked.bytes)
        unchecked = replace(sharded, hashed=False)
        order = np.random.default_rng(1).permutation(asked.items).tolist()
        works = {
            "shards, every hash checked": lambda: [sharded.data(i) for i in order],
            "shards, no hash checked": lambda: [unchecked.data(i) for i in order],
            "files": lambda: [files.data(i) for i in order],
        }
        if find_spec("webdataset"):
            import webdataset

            urls = [str(path) for path in paths]
            works["webdataset, in sequence"] = lambda: [
                sample["jpg"] for sample in webdataset.WebDataset(urls, shardshuffle=False)
            ]
        times = {name: [] for name in works}
        for _ in range(asked.runs + 1):  # the first warms the cache
            for name, work in works.items():
                times[name].append(seconds(work))
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    ours = medians["shards, every hash checked"]
    for name, median in medians.items():
        rate = asked.items / median
        print(
            f"{name:28} {rate:10,.0f} items/s {rate * asked.bytes / 1e6:8,.0f} MB/s {median / ours:6.2f}"
        )


if __name__ == "__main__":
    main()
