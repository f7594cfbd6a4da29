"""The checks, in the order in which they are asked: what others rest on comes first."""

from striate.auditing.check import Check
from striate.auditing.checks import (
    adversarial,
    baselines,
    calibration,
    contradictions,
    corruptions,
    equivariance,
    labels,
    leaks,
    loss_sense,
    shortcuts,
    slices,
    strategies,
)

CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        leaks.CHECK,
        contradictions.CHECK,
        shortcuts.CHECK,
        strategies.CHECK,
        baselines.CHECK,
        labels.CHECK,
        slices.CHECK,
        loss_sense.CHECK,
        calibration.CHECK,
        equivariance.CHECK,
        corruptions.CHECK,
        adversarial.CHECK,
    )
}
