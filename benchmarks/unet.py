"""U-Net at 256x256, CIFAR ResNet-20 and a net over sound: Striate against the usual PyTorch loop.

    python benchmarks/unet.py [--only unet cifar sound] [--cifar FILE.npz] [--sound DIR] [--rounds 5]

A row gives the medians of interleaved rounds in items a second, and their ratio.
unet: a training step of `unet_same` under the plan that Striate chooses and with its optimiser, against the
same net written plainly: eager, float32, default layout, AdamW. cifar: an epoch end to end on stored pictures,
crop and flip; the peer converts a picture an item through torchvision, with the faster of 0 and 2 workers.
sound: an epoch of a time-delay net over frames of spoken digits, in memory; the peer is a DataLoader over a
TensorDataset.
"""

import argparse
import wave
from functools import partial
from pathlib import Path

import numpy as np
import torch
import turns
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import striate
from striate import plan as plans
from striate.training import optimizers, read_recipe

RECIPE = read_recipe("quick", {"epochs": 1, "lr": 1e-3})


def eager(net: nn.Module, criterion, x, y) -> turns.Call:
    """One step as tutorials write it."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def planned(net: nn.Module, criterion, x, y) -> tuple[turns.Call, plans.Plan]:
    """One step under Striate's plan and optimiser."""

    def learn(net, x, y):
        answer = net(x)
        return answer, criterion(answer, y)

    plan = plans.choose(net, x, y, learn, device="cpu", steps=200)
    net = plan.place(net)
    optimizer = optimizers.optimizer(net, RECIPE)

    def step() -> None:
        optimizer.zero_grad()
        with plan.autocast():
            loss = criterion(net(plan.batch(x)), y)
        loss.backward()
        optimizer.step()
        loss.item()

    return step, plan


# --- U-Net ---------------------------------------------------------------------------------------


def double(inputs: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True),
    )  # fmt: skip


class PlainUNet(nn.Module):
    """U-Net as tutorials write it."""

    def __init__(self, width: int):
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.down = nn.ModuleList(map(double, [1, *widths], widths))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1])
        )
        self.merge = nn.ModuleList(double(2 * w, w) for w in reversed(widths[:-1]))
        self.score = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        copies = []
        for level, convs in enumerate(self.down):
            x = convs(F.max_pool2d(x, 2) if level else x)
            copies.append(x)
        for up, merge, copied in zip(self.up, self.merge, copies[-2::-1], strict=True):
            x = merge(torch.cat([copied, F.relu(up(x))], 1))
        return self.score(x)


def unet(width: int, batch: int, rounds: int) -> list[turns.Row]:
    x = torch.rand(batch, 1, 256, 256)
    y = (torch.rand(batch, 256, 256) > 0.5).long()
    criterion = nn.CrossEntropyLoss()
    net = striate.build("unet_same", size=256, width=width / 64, drop_rate=0.0)
    mine, plan = planned(net, criterion, x, y)
    times = turns.in_turns(
        {"striate": mine, "eager PyTorch": eager(PlainUNet(width), criterion, x, y)}, rounds
    )
    work = f"unet {width} maps, 256x256 step, batch {batch}, {plan.layout} {plan.precision}"
    return turns.compared(work, times, batch)


# --- CIFAR ---------------------------------------------------------------------------------------


class PlainResNet20(nn.Module):
    """ResNet-20 of torchvision's blocks."""

    def __init__(self):
        super().__init__()
        from torchvision.models.resnet import BasicBlock

        blocks, inputs = [], 16
        for width, first in ((16, 1), (32, 2), (64, 2)):
            for stride in (first, 1, 1):
                skip = None
                if stride == 2:
                    skip = nn.Sequential(
                        nn.Conv2d(inputs, width, 1, 2, bias=False), nn.BatchNorm2d(width)
                    )
                blocks.append(BasicBlock(inputs, width, stride, skip))
                inputs = width
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        )
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Pictures(torch.utils.data.Dataset):
    """A picture an item, as torchvision's CIFAR10 gives it."""

    def __init__(self, images, labels):
        from torchvision import transforms

        self.images, self.labels = images, labels
        self.form = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.491, 0.482, 0.447), (0.247, 0.244, 0.262)),
            ]
        )

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        from PIL import Image

        return self.form(Image.fromarray(self.images[i])), int(self.labels[i])


def loop(net: nn.Module, loader: DataLoader) -> turns.Call:
    """One epoch of the usual loop."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def epoch() -> None:
        running = right = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            outputs = net(x)
            loss = criterion(outputs, y)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(y)
            right += (outputs.argmax(1) == y).sum().item()

    return epoch


def cifar(file: str, rounds: int, items: int = 2560, batch: int = 128) -> list[turns.Row]:
    data = striate.open(file)
    settings = {"net": "resnet20_cifar", "epochs": 1, "batch": batch, "augment": "crop+flip"}
    job, state = turns.prepared(data, settings)
    job = turns.first_items(job, items)
    arrays = data.arrays("train")
    pictures = Pictures(np.array(arrays.inputs[:items]), np.array(arrays.targets[:items]))
    peers = {
        f"DataLoader, {n} workers": loop(
            PlainResNet20(), DataLoader(pictures, batch, shuffle=True, num_workers=n)
        )
        for n in (0, 2)
    }
    times = turns.in_turns({"striate": turns.epoch(job, state), **peers}, rounds)
    work = f"resnet20 cifar train, batch {batch}, {turns.plan_words(job)}"
    return turns.compared(work, times, items)


# --- sound ---------------------------------------------------------------------------------------


def frames(folder: str, items: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log spectra of 16 bands, 50 frames a recording [N, 16, 50], and the digits."""
    found, labels = [], []
    for path in sorted(Path(folder).rglob("*.wav"))[:: max(1, 3000 // items)][:items]:
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        x = torch.from_numpy(samples.astype(np.float32)) / 32768
        x = F.pad(x, (0, max(0, 6528 - len(x))))[:6528]
        power = torch.stft(x, 256, 128, window=torch.hann_window(256), return_complex=True).abs()
        found.append(power[1:129].view(16, 8, -1).mean(1)[:, :50].add(1e-3).log())
        labels.append(int(path.name[0]))
    x = torch.stack(found)
    return (x - x.mean()) / x.std(), torch.tensor(labels)


def plain_tdnn(units: int) -> nn.Module:
    """Two convolutions over time, evidence summed over it."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv1d(16, units, 3), nn.Conv1d(units, 10, 5)

        def forward(self, x):
            return torch.sigmoid(self.conv2(torch.sigmoid(self.conv1(x)))).square().sum(-1)

    return Net()


def sound(folder: str, width: int, rounds: int, batch: int = 64) -> list[turns.Row]:
    x, y = frames(folder, 1500)
    criterion = nn.CrossEntropyLoss()
    net = striate.build("tdnn", size=50, num_classes=10, width=width)

    def learn(net, x, y):
        answer = net(x)
        return answer, criterion(answer, y)

    plan = plans.choose(net, x[:batch], y[:batch], learn, device="cpu", steps=200)
    net = plan.place(net)
    optimizer = optimizers.optimizer(net, RECIPE)

    def mine() -> None:
        running = right = 0.0
        for index in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            target = y.index_select(0, index)
            with plan.autocast():
                answer = net(plan.batch(x.index_select(0, index)))
                loss = criterion(answer, target)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(index)
            right += (answer.argmax(1) == target).sum().item()

    peer = loop(plain_tdnn(8 * width), DataLoader(TensorDataset(x, y), batch, shuffle=True))
    times = turns.in_turns({"striate": mine, "DataLoader": peer}, rounds)
    work = f"tdnn {8 * width} units, spoken digits, batch {batch}, {plan.layout} {plan.precision}"
    return turns.compared(work, times, len(x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["unet32", "unet64", "cifar", "sound"])
    parser.add_argument("--cifar", default="cifar10")
    parser.add_argument("--sound", default="free_spoken_digits")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one-core", action="store_true", help="CPU time of one core")
    asked = parser.parse_args()
    if asked.one_core:
        turns.one_core()
    work = {
        "unet32": partial(unet, 32, 4, asked.rounds),
        "unet64": partial(unet, 64, 2, asked.rounds),
        "cifar": partial(cifar, asked.cifar, asked.rounds),
        "sound": lambda: [
            row for width in (1, 16) for row in sound(asked.sound, width, 3 * asked.rounds)
        ],
    }
    machine = turns.machine("torchvision")
    turns.report(machine, [row for name in asked.only for row in work[name]()])


if __name__ == "__main__":
    main()
