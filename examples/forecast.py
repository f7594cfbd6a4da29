"""The next hours of all sensors of a network: a table of hours, a table of links; no real series is shipped, so one is made."""

from pathlib import Path

import numpy as np

import striate


def write(root: Path, hours: int = 1200) -> None:
    """Write speeds.csv (a column a sensor) and edges.csv: a day's course that moves along a road of six sensors."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    at = np.arange(hours)
    course = 50 + 12 * np.sin(2 * np.pi * (at[:, None] - 2 * np.arange(6)) / 24)
    jam = np.convolve(rng.normal(0, 1, hours), np.ones(6) / 6, "same")
    speeds = course + 8 * np.stack([np.roll(jam, k) for k in range(6)], 1)
    start = np.datetime64("2024-03-04T00:00")
    lines = ["time,a,b,c,d,e,f"]
    for hour, row in zip(at.tolist(), speeds, strict=True):
        lines.append(f"{start + np.timedelta64(hour, 'h')}," + ",".join(f"{v:.2f}" for v in row))
    (root / "speeds.csv").write_text("\n".join(lines) + "\n")
    (root / "edges.csv").write_text(
        "from,to\n" + "".join(f"{a},{b}\n" for a, b in zip("abcde", "bcdef", strict=True))
    )


def main() -> float:
    write(Path("road"))
    run = striate.train("road/", net="stgcn", width=0.25, epochs=4, history=12, horizon=3)
    print(run)  # scored beside three forecasts that need no net
    print(run.predict(["road/speeds.csv"])[0])
    return run.evaluate().scores["mae"].value


if __name__ == "__main__":
    main()
