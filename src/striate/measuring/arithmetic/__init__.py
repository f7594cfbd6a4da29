"""How one number came about: a rule a family of functions, each giving the terms of the number.

Every rule reads the very tensors that PyTorch read and computes the number again in float64.
"""

from striate.measuring.arithmetic.parts import Arithmetic, Place, Step, Term
from striate.measuring.arithmetic.rules import arithmetic

__all__ = ["Arithmetic", "Place", "Step", "Term", "arithmetic"]
