"""AlexNet's sizes, said before they are computed, and the 224 of the paper that does not fit."""

import striate
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Shown, Table
from striate.shapes import out_size

# kernel, stride, padding of every layer that changes the size of its map; Krizhevsky, Sutskever and Hinton 2012
LAYERS = {
    "conv1": (11, 4, 0), "pool1": (3, 2, 0), "conv2": (5, 1, 2), "pool2": (3, 2, 0),
    "conv3": (3, 1, 1), "conv4": (3, 1, 1), "conv5": (3, 1, 1), "pool5": (3, 2, 0),
}  # fmt: skip


def sizes() -> Shown:
    made = {
        layer.path.rpartition(".")[2]: layer for layer in striate.measure("alexnet_2012").layers
    }
    side, rows = 227, list[list[object]]()
    for name, (kernel, stride, padding) in LAYERS.items():
        side = out_size(side, kernel=kernel, stride=stride, padding=padding)
        channels, computed = made[name].output[:2]
        rows.append([name, kernel, stride, padding, side, computed, channels])
    header = ["layer", "kernel", "stride", "padding", "predicted", "computed", "channels"]
    return Shown([Table(header, rows)], {"flat": 256 * side**2})


def two_hundred_twenty_four() -> Shown:
    rows = [[n, (n - 11) / 4 + 1, out_size(n, kernel=11, stride=4)] for n in (224, 227)]
    return Shown([Table(["input", "(n - 11) / 4 + 1", "whole windows"], rows)])


def where_they_lie() -> Shown:
    sheet = striate.measure("alexnet_2012")
    kinds = {"convolution": "conv2d", "fully connected": "linear"}
    rows: list[list[object]] = []
    for name, op in kinds.items():
        found = [layer for layer in sheet.layers if layer.op == op]
        params, macs = sum(each.params for each in found), sum(each.macs for each in found)
        rows.append(
            [
                name,
                params,
                f"{params / sheet.totals.params:.1%}",
                macs,
                f"{macs / sheet.totals.macs:.1%}",
            ]
        )
    return Shown(
        [Table(["layer", "parameters", "of all", "MACs", "of all MACs"], rows)],
        {"params": sheet.totals.params},
    )


LESSON = Lesson("alexnet", (sizes, two_hundred_twenty_four, where_they_lie))
