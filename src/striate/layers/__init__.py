"""Modules that own parameters, one for every operation of `striate.ops`."""
