"""MNIST from nothing to 99.3 %: the whole command `striate train` against the loop of the usual example.

    python benchmarks/time_to_accuracy.py [DATA] [--seeds 0 1 2 3 4] [--limit 100] [key=value ...]

Both are processes of their own, in turns, timed from their start to their end: imports, reading, training and,
for Striate, the report. The peer is what the MNIST example of PyTorch does: two 3x3 convolutions of 32 and
64 maps, dropout, two linear layers; batch 64, Adadelta at rate 1 times 0.7 an epoch, a picture an item through
torchvision; it stops at the first epoch whose test accuracy reaches the target, or at the limit. It needs
the digits in a folder that torchvision takes (MNIST/raw below the folder it is given); one is made of DATA.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET = 0.993


def peer(root: str, limit: float, seed: int) -> None:
    """The usual example; prints one line of JSON."""
    start = time.perf_counter()
    import torch
    import torch.nn.functional as F
    from torch import nn
    from torchvision import datasets, transforms

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
            self.drop1, self.drop2 = nn.Dropout(0.25), nn.Dropout(0.5)
            self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

        def forward(self, x):
            x = F.relu(self.conv2(F.relu(self.conv1(x))))
            x = self.drop1(F.max_pool2d(x, 2)).flatten(1)
            return F.log_softmax(self.fc2(self.drop2(F.relu(self.fc1(x)))), 1)

    torch.random.default_generator.manual_seed(seed)
    form = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    )
    train, test = (datasets.MNIST(root, train=which, transform=form) for which in (True, False))
    loader = torch.utils.data.DataLoader(train, batch_size=64, shuffle=True)
    held = torch.utils.data.DataLoader(test, batch_size=1000)
    net = Net()
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    found = []
    while len(found) < 14 and (not found or found[-1] < TARGET):
        net.train()
        for step, (x, y) in enumerate(loader):
            optimizer.zero_grad()
            loss = F.nll_loss(net(x), y)
            loss.backward()
            optimizer.step()
            if step % 10 == 0:
                loss.item()
                if time.perf_counter() - start > limit:
                    break
        else:
            net.eval()
            with torch.no_grad():
                found.append(sum((net(x).argmax(1) == y).sum().item() for x, y in held) / 10_000)
            schedule.step()
            continue
        break
    print(json.dumps({"accuracies": found, "seconds": time.perf_counter() - start}))


def laid_out(data: Path, root: Path) -> Path:
    """The four files where torchvision looks for them, unpacked."""
    import gzip

    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in data.glob("*-ubyte.gz"):
        (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    return root


def striate_run(data: str, seed: int, settings: list[str], out: str) -> tuple[float, float]:
    """Seconds of the whole command, and its accuracy."""
    command = [sys.executable, "-m", "striate", "train", data, "net=lenet5", f"seed={seed}"]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, *settings, "--out", out, "--json"], capture_output=True, text=True, check=True
    )
    spent = time.perf_counter() - start
    return spent, json.loads(done.stdout)["scores"]["accuracy"]["value"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="mnist")
    parser.add_argument("settings", nargs="*", help="of striate train")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--limit", type=float, default=100, help="seconds; 0: no peer")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peer:
        peer(asked.peer, asked.limit, asked.seeds[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        root = laid_out(Path(asked.data), Path(folder)) if asked.limit else None
        rows = []
        for seed in asked.seeds:
            seconds, accuracy = striate_run(asked.data, seed, asked.settings, folder)
            row = {"seed": seed, "seconds": round(seconds, 1), "accuracy": accuracy}
            if root:
                words = ["--peer", str(root), "--limit", str(asked.limit), "--seeds", str(seed)]
                start = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, __file__, *words], capture_output=True, text=True, check=True
                )
                row["peer"] = json.loads(done.stdout)["accuracies"]
                row["peer_seconds"] = round(time.perf_counter() - start, 1)
            rows.append(row)
            print(json.dumps(row), flush=True)
    middle = {key: statistics.median(row[key] for row in rows) for key in ("seconds", "accuracy")}
    print(json.dumps({"target": TARGET, "median": middle}))


if __name__ == "__main__":
    main()
