"""Whether 0 stands for a missing value, as loop detectors write it. T steps, N nodes.

The evidence: some values are 0 and all others lie far above, so that no series ever passes from one to the other. Where
zeros keep to some hours or days, as of a shop that is closed on Sundays, they are values; so are they among counts.
"""

from dataclasses import replace

import numpy as np

from striate.data.series.table import Series

SHARE = (0.001, 0.5)  # of values that are 0
FAR = 0.1  # of the median, above which nearly all others lie
NEARLY = 0.01  # share of the others that may lie below
REGULAR = 0.9  # share of zeros from which an hour counts as one of zeros
SLOTS = 168  # parts of a period that zeros may keep to


def without_zeros(series: Series) -> Series:
    """With zeros as missing values where they are suspect and come at no hour of their own, which is said; else as it is."""
    said = suspect(series)
    if not said or _keep_to_hours(series):
        return series
    values = np.where(series.values == 0, np.float32(np.nan), series.values)
    note = f"{said}: 0 is taken for a missing value; layout=series:missing=none takes it as it is"
    return replace(series, values=values, missing=0.0).noted(warnings=[note])


def suspect(series: Series) -> str:
    """What speaks for zeros being missing values; "" where nothing does."""
    values = series.values[~np.isnan(series.values)]
    zeros = float((values == 0).mean()) if values.size else 0.0
    if not SHARE[0] < zeros < SHARE[1]:
        return ""
    others = values[values != 0]
    if np.quantile(others, NEARLY) <= FAR * np.median(others):
        return ""
    if others.min() <= 1 and (others % 1 == 0).all():
        return ""  # counts
    return f"{zeros:.1%} of the values are 0 and all others are at least {others.min():g}"


def _keep_to_hours(series: Series) -> bool:
    """Whether most zeros lie in parts of the day, the week or the year that hold little else."""
    steps = np.arange(len(series))
    zero, known = series.values == 0, ~np.isnan(series.values)
    for word in series.clock.usual(len(series)):
        period = series.clock.period(word)
        slots = max(1, min(SLOTS, round(period.steps)))
        place = np.minimum((period.place(steps) * slots + 1e-6).astype(np.int64), slots - 1)
        zeros, count = np.zeros((2, slots))
        np.add.at(zeros, place, zero.sum(1))
        np.add.at(count, place, known.sum(1))
        if 2 * zeros[zeros >= REGULAR * np.maximum(count, 1)].sum() > zeros.sum():
            return True
    return False
