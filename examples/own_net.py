"""A net of your own: trained, counted, opened, audited; any torch.nn.Module."""

from torch import nn

import striate


def factory() -> nn.Module:
    """Build it for digits; on the command line: `striate train digits --net own_net:factory`."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def main() -> float:
    print(striate.measure(factory(), (1, 8, 8)))  # shapes, parameters, multiply-adds, fields
    run = striate.train("digits", factory(), epochs=10)
    run = striate.Run.load(run.path, net=factory())  # a run folder never names code to import
    striate.see.kernels(run.net).picture().save("kernels.png")
    found = striate.audit(run, only=("leaks", "baselines"))
    print(found)
    return run.evaluate().scores["accuracy"].value


if __name__ == "__main__":
    main()
