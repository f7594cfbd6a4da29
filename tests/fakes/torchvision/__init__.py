"""A stand-in for torchvision in tests."""

__version__ = "0.0"
