"""A training loop of your own: net and data in plain PyTorch, the pieces around them from striate.training.

`take_step` does one step: learning rate by the schedule, forward and backward pass, clipping, update, average of the
weights. Everything else stands here and may be changed.
"""

import torch
from torch import nn

from striate.tasks.classify import Classify
from striate.training import Batches, Setting, State, read_recipe, take_step


def stripes(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Stripes in noise, across or down: pictures [N, 1, 16, 16] and classes [N]."""
    rng = torch.Generator().manual_seed(seed)
    pictures, classes = torch.randn(count, 1, 16, 16, generator=rng), torch.arange(count) % 2
    pictures[classes == 0, :, ::4] += 1.0
    pictures[classes == 1, :, :, ::4] += 1.0
    return pictures, classes


def main() -> float:
    inputs, targets = stripes(512, seed=0)
    held_inputs, held_targets = stripes(256, seed=1)
    torch.manual_seed(0)
    pooled = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    net = nn.Sequential(pooled, nn.Linear(8, 2))
    settings = {"epochs": 8, "lr": 0.02, "schedule": "cosine", "ema": 0.95, "clip": 1.0}
    recipe = read_recipe("quick", settings)
    task = Classify(("across", "down"))  # or Supervised(a loss of your own)
    setting = Setting(Batches.of_tensors(inputs, targets, batch=32), task, recipe)
    state = State.begin(net, recipe, setting.plan)
    meter = task.meter()
    for epoch in range(8):
        state.net.train()
        for step, index in enumerate(setting.batches.order(epoch)):
            x, target = setting.batches.take(index, epoch, step)
            take_step(state, x, target, setting)
            state.step += 1
        meter = task.meter()
        with torch.inference_mode():  # the average of the weights answers
            meter.add(task.decode(state.answering.eval()(held_inputs)), held_targets.numpy())
        print(f"epoch {epoch + 1}: held out {meter.values()['accuracy']:.1%}")
    accuracy = meter.scores()["accuracy"]
    print(f"accuracy {accuracy.value:.1%}, 95 % interval {accuracy.low:.1%} to {accuracy.high:.1%}")
    return accuracy.value


if __name__ == "__main__":
    main()
