"""What single units answer to: their strongest patches, projected back to pixels (Zeiler and Fergus 2013)."""

from striate import see
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Pictures, Shown, Table
from striate.lessons.small import digits, plain_net, seeded, taught


def strongest_patches() -> Shown:
    d = digits()
    net = taught(
        seeded(plain_net), d.x, d.y, settings={"epochs": 6, "lr": 0.01, "optimizer": "adamw"}
    )
    seen = see.deconvnet(net, d.held_x, layer="4", top=3)
    drawn = {
        f"unit {unit}, {rank + 1}": patch.pixels[0]
        for unit, patches in list(zip(seen.units, seen.patches, strict=True))[:3]
        for rank, patch in enumerate(patches)
    }
    back = {
        f"unit {unit}, back": patches[0].projection[0]
        for unit, patches in list(zip(seen.units, seen.patches, strict=True))[:3]
    }
    return Shown([Pictures(drawn), Pictures(back)])


def against_untrained() -> Shown:
    d = digits()
    first = seeded(plain_net)
    trained = taught(
        seeded(plain_net), d.x, d.y, settings={"epochs": 6, "lr": 0.01, "optimizer": "adamw"}
    )
    rows: list[list[object]] = []
    for name, net in (("untrained", first), ("trained", trained)):
        seen = see.deconvnet(net, d.held_x, layer="4", top=9)
        same = [
            max(labels.count(digit) for digit in set(labels)) / len(labels)
            for patches in seen.patches
            if (labels := [int(d.held_y[patch.item]) for patch in patches])
        ]
        rows.append([name, f"{sum(same) / len(same):.0%}"])
    return Shown([Table(["net", "of nine patches of one digit"], rows)])


LESSON = Lesson("deconvnet", (strongest_patches, against_untrained))
