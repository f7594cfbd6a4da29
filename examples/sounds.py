"""A label a sound: a folder a class of WAV files; no real recordings are shipped, so whistles, hums and hisses are made."""

import wave
from pathlib import Path

import numpy as np

import striate


def write(root: Path, count: int = 120) -> None:
    """Write whistle/, hum/ and hiss/, a quarter of a second each at 8 kHz, none twice."""
    rng = np.random.default_rng(0)
    at = np.arange(2000) / 8000
    for i in range(count):
        name = ("whistle", "hum", "hiss")[i % 3]
        pitch = rng.uniform(1800, 2600) if name == "whistle" else rng.uniform(100, 200)
        tone = np.zeros(2000) if name == "hiss" else np.sin(2 * np.pi * pitch * at)
        sound = 0.6 * tone + (0.2 if name == "hiss" else 0.05) * rng.normal(size=2000)
        (root / name).mkdir(parents=True, exist_ok=True)
        with wave.open(str(root / name / f"{i:03d}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes((sound.clip(-1, 1) * 32767).astype("<i2").tobytes())


def main() -> float:
    write(Path("noises"))
    run = striate.train("noises/", net="resnet20_cifar", width=0.5, epochs=6)
    print(run)
    print(run.predict(["noises/hum/001.wav"])[0])
    return run.evaluate().scores["accuracy"].value


if __name__ == "__main__":
    main()
