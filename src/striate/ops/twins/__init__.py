"""The slow, readable version of every operation: loops and NumPy, written to be checked by eye."""
