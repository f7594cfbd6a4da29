"""The Studio that the browser's tests look at: a small net trained on the digits of the package, with its data."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import striate
from striate.studio import activations, given, inputs
from striate.studio.launch import begun


class Served:
    """A Studio, and what its answers are, computed beside it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        out = Path(self._folder.name)
        run = striate.train("digits", net="lenet5", epochs=2, size=28, out=out, plan="default")
        self.page = begun([str(run.path)])
        (self.net,) = self.page.session.nets
        self.opened = self.page.session.nets[self.net]
        self.size = int(self.opened.pre.shape[1])
        self.layers = ["conv1@0", "conv2@0", "fc1@0"]
        self.example = self.page.session.run(self.opened.card.example.run_id)
        self.origin = self.page.address().split("/?")[0]

    def address(self) -> str:
        """An address that works once."""
        return self.page.address()

    def close(self) -> None:
        """Stop it and remove what it stands on."""
        self.page.close()
        self._folder.cleanup()

    def values(self, layer: str) -> NDArray[np.float32]:
        """What a layer gave on the example."""
        return self.page.session.output(self.example, layer)[0].contiguous().numpy()

    def maps(self, layer: str) -> tuple[Any, Any, Any]:
        """The same as bytes, with the range of each channel."""
        planes, _ = activations.planes(self.page.session.output(self.example, layer)[0])
        found = activations.quantised(planes)
        return found["maps"], found["lo"], found["hi"]

    def given(self, pixels: NDArray[np.uint8]) -> Any:
        """What the net says of a drawing [H, W]."""
        one = given.from_pixels(self.opened, np.ascontiguousarray(pixels)[..., None])
        return self.page.session.on_model(
            lambda: inputs.run(self.page.session, self.opened, one)
        ).answer

    def picture(self, run: str) -> NDArray[np.uint8]:
        """What a run was shown, [H, W, 3]."""
        return self.page.session.run(run).shown
