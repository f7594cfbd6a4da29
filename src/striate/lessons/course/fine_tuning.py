"""Fine-tuning: which layers move when a net that knows some digits learns others, and what freezing saves."""

import copy

import torch
from torch import nn

from striate import see
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Shown, Table
from striate.lessons.small import digits, plain_net, right, seeded, taught

SETTINGS = {"epochs": 6, "lr": 0.005, "optimizer": "adamw"}


def learned() -> nn.Module:
    """A net that learned the digits 0 to 4."""
    d = digits()
    known = d.y < 5
    return taught(seeded(plain_net), d.x[known], d.y[known], settings=SETTINGS)


def which_layers_move() -> Shown:
    d = digits()
    new = d.y >= 5
    rows, header = list[list[object]](), ["net"]
    nets = {"fine-tuned": learned(), "from scratch": seeded(plain_net, 1)}
    for name, net in nets.items():
        before = copy.deepcopy(net)
        taught(net, d.x[new][:200], d.y[new][:200], settings={**SETTINGS, "lr": 0.002})
        moved = {each.layer: f"{each.correlation:.3f}" for each in see.movement(before, net).layers}
        rows.append([name, *moved.values()])
        header = ["net", *(f"layer {name}" for name in moved)]
    return Shown([Table(header, rows)])


def few_items() -> Shown:
    d = digits()
    new, held = torch.where(d.y >= 5)[0], d.held_y >= 5
    rows: list[list[object]] = []
    for count in (25, 100):
        few = new[:count]
        found: list[object] = [count]
        for net in (seeded(plain_net, 1), learned(), frozen(learned())):
            taught(net, d.x[few], d.y[few], settings={**SETTINGS, "epochs": 12}, batch=25)
            found.append(f"{right(net, d.held_x[held], d.held_y[held]):.1%}")
        rows.append(found)
    return Shown([Table(["items", "from scratch", "fine-tuned", "head only"], rows)])


def forgetting() -> Shown:
    d = digits()
    new, old = d.y >= 5, d.held_y < 5
    net = learned()
    before = right(net, d.held_x[old], d.held_y[old])
    taught(net, d.x[new], d.y[new], settings=SETTINGS)
    after = right(net, d.held_x[old], d.held_y[old])
    rows = [["before", f"{before:.1%}"], ["after", f"{after:.1%}"]]
    return Shown([Table(["digits 0 to 4", "right"], rows)])


def frozen(net: nn.Module) -> nn.Module:
    """All but the last layer stay as they are."""
    for name, weight in net.named_parameters():
        weight.requires_grad_(name.startswith("6."))
    return net


LESSON = Lesson("fine_tuning", (which_layers_move, few_items, forgetting))
