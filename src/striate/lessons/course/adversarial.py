"""Adversarial pictures: changes that nobody notices and that turn the answer, against noise of the same strength."""

import torch

from striate.auditing.attacks import Attack, attacked, noise
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Pictures, Shown, Table
from striate.lessons.small import digits, plain_net, right, seeded, taught

SETTINGS = {"epochs": 6, "lr": 0.01, "optimizer": "adamw"}


def one_digit() -> Shown:
    d = digits()
    net = taught(seeded(plain_net), d.x, d.y, settings=SETTINGS)
    x, y = d.held_x[:1] * 255, d.held_y[:1]
    rng = torch.Generator().manual_seed(0)
    made = attacked(lambda pixels: net(pixels / 255), x, y, Attack("linf", 60, steps=10), rng)
    with torch.inference_mode():
        before, after = (int(net(pixels / 255).argmax()) for pixels in (x, made))
    shown = Pictures({"picture": x, "changed": made, "difference": made - x})
    return Shown([shown], {"truth": int(y), "before": before, "after": after})


def against_noise() -> Shown:
    d = digits()
    net = taught(seeded(plain_net), d.x, d.y, settings=SETTINGS)
    x, y = d.held_x * 255, d.held_y
    rng = torch.Generator().manual_seed(0)
    rows: list[list[object]] = []
    for strength in (0, 10, 20, 40):
        one, ten = Attack("linf", strength, steps=1), Attack("linf", strength, steps=10)
        noisy = noise(x, one, rng)
        made = [attacked(lambda p: net(p / 255), x, y, each, rng) for each in (one, ten)]
        rows.append([strength, *(f"{right(net, each / 255, y):.1%}" for each in (noisy, *made))])
    return Shown([Table(["grey levels of 255", "noise", "one step", "ten steps"], rows)])


def learning_from_them() -> Shown:
    d = digits()
    plain, hardened = (taught(seeded(plain_net), d.x, d.y, settings=SETTINGS) for _ in range(2))
    rng = torch.Generator().manual_seed(0)
    attack = Attack("linf", 20, steps=5)
    for _ in range(4):
        made = attacked(lambda p: hardened(p / 255), d.x * 255, d.y, attack, rng) / 255
        taught(
            hardened,
            torch.cat([d.x, made]),
            d.y.repeat(2),
            settings={**SETTINGS, "epochs": 2, "lr": 0.003},
        )
    rows: list[list[object]] = []
    for name, net in (("as it was", plain), ("learned from attacks", hardened)):
        made = (
            attacked(lambda p, net=net: net(p / 255), d.held_x * 255, d.held_y, attack, rng) / 255
        )
        rows.append(
            [name, f"{right(net, d.held_x, d.held_y):.1%}", f"{right(net, made, d.held_y):.1%}"]
        )
    return Shown([Table(["net", "as they are", "attacked"], rows)])


LESSON = Lesson("adversarial", (one_digit, against_noise, learning_from_them))
