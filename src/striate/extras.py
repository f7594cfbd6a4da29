"""Optional packages: one table says what brings them, one function imports them."""

import importlib
import importlib.util
from types import ModuleType

from striate.errors import MissingExtraError

# module that is imported -> the extra of Striate that installs it
EXTRAS = {
    "soundfile": "audio",
    "pycocotools": "detect",
    "h5py": "series",
    "nibabel": "volumes",
    "pydicom": "dicom",
    "fastapi": "serve",
    "onnx": "ship",
    "onnxruntime": "ship",
    "tensorboard": "track",
    "huggingface_hub": "hub",
    "captum": "see",
    "nbclient": "learn",
}
# Extras that pyproject.toml has; the packages of others are installed by their own names.
PROVIDED = frozenset({"audio", "dicom", "learn", "series", "track", "volumes"})


def available() -> dict[str, bool]:
    """Which optional packages can be imported here, without importing them."""
    return {name: importlib.util.find_spec(name) is not None for name in EXTRAS}


def install(name: str) -> str:
    """The `pip install` that brings an optional package: its extra where there is one, else the package itself."""
    extra = EXTRAS.get(name, name)
    return f"pip install 'striate[{extra}]'" if extra in PROVIDED else f"pip install {name}"


def need(name: str) -> ModuleType:
    """Import an optional package.

    Raises:
        MissingExtraError: it is not installed; the message names the `pip install` that brings it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"this needs the package {name}: {install(name)}") from error
