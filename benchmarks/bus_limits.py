"""What the past hours of the Montevideo buses add to their calendar: the limit of a forecaster of the next hour.

    python benchmarks/bus_limits.py DATA/graph_series/montevideo_bus.npz

675 stops, 744 hours of passengers who board, four of five numbers 0. Fitted on the first 70 % of the hours,
scored on the last 20 %: means of the hour of the week and of the day, a line through the last twelve hours of
each stop (one for all stops), and both together. The means that a line is fitted on leave out the hour itself.
"""

import sys

import numpy as np

LAGS, WEEK = 12, 168


def main():
    """Print mean absolute and root mean squared errors."""
    x = np.load(sys.argv[1])["inflow"].astype(float)
    hours, first, last = np.arange(len(x)), int(0.7 * len(x)), int(0.8 * len(x))
    past, test, fit = hours[:first], hours[last:], np.arange(WEEK, first)
    week, day = (np.stack([x[past[past % n == h]].mean(0) for h in range(n)]) for n in (WEEK, 24))
    count = np.bincount(past % WEEK)[fit % WEEK, None]
    own = (week[fit % WEEK] * count - x[fit]) / (count - 1)

    def columns(at, means):
        return np.stack([*(x[at - lag] for lag in range(1, LAGS + 1)), means, day[at % 24]], -1)

    def show(name, guess):
        off = guess - x[test]
        print(f"{name}: MAE {np.abs(off).mean():.3f}, RMSE {np.sqrt((off**2).mean()):.3f}")

    show("hour of the week", week[test % WEEK])
    show("hour of the day", day[test % 24])
    show("the hour before", x[test - 1])
    read, asked = columns(fit, own).reshape(-1, LAGS + 2), columns(test, week[test % WEEK])
    for name, kept in (
        ("a line through the last twelve hours", slice(0, LAGS)),
        ("a line through both means", slice(LAGS, None)),
        ("a line through the last twelve hours and both means", slice(None)),
    ):
        weights = np.linalg.lstsq(read[:, kept], x[fit].ravel(), rcond=None)[0]
        show(name, asked[..., kept] @ weights)


if __name__ == "__main__":
    main()
