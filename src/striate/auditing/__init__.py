"""Where a net fails, and whether its scores mean what they seem to: one file a check."""

from striate.auditing.check import Case, Check
from striate.auditing.checks import CHECKS
from striate.auditing.finding import Finding
from striate.auditing.run_checks import Audit, audit, chosen, write_fixes

__all__ = ["CHECKS", "Audit", "Case", "Check", "Finding", "audit", "chosen", "write_fixes"]
