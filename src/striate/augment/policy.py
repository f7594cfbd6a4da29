"""What a recipe says about random views: words joined by +, each with a strength if wanted.

crop+flip+rotate:15+color:0.3+cutmix, auto+mixup
"""

from dataclasses import dataclass

from striate.errors import ArgumentError, nearest


@dataclass(frozen=True)
class Word:
    """One step: what kind, its strength if none is given, the bounds, and what it means."""

    kind: str
    strength: float
    low: float
    high: float
    meaning: str


# Order within a kind is the order in which steps are carried out.
WORDS = {
    "crop": Word("place", 1.0, 1.0, 1.0, "a window of the net's size anywhere in the stored picture"),
    "flip": Word("place", 0.5, 0.0, 1.0, "left and right exchanged, with this probability"),
    "flip_vertical": Word("place", 0.5, 0.0, 1.0, "top and bottom exchanged, with this probability"),
    "flip_depth": Word("volume", 0.5, 0.0, 1.0, "of volumes: first and last slice exchanged, with this probability"),
    "resized": Word("warp", 0.08, 0.01, 1.0, "a window of this share of the area or more, 3:4 to 4:3, resized"),
    "translate": Word("warp", 0.1, 0.0, 1.0, "moved by up to this share of the size"),
    "scale": Word("warp", 0.2, 0.0, 0.9, "enlarged or reduced by up to this share"),
    "rotate": Word("warp", 15.0, 0.0, 180.0, "turned by up to this many degrees"),
    "shear": Word("warp", 10.0, 0.0, 60.0, "slanted by up to this many degrees"),
    "perspective": Word("warp", 0.2, 0.0, 0.9, "corners moved by up to this share of half the size"),
    "elastic": Word("warp", 0.05, 0.0, 0.5, "smooth displacement of this share of the size (Simard 2003)"),
    "brightness": Word("value", 0.3, 0.0, 1.0, "all values times 1 +- this"),
    "contrast": Word("value", 0.3, 0.0, 1.0, "distances from the mean times 1 +- this"),
    "color": Word("value", 0.3, 0.0, 1.0, "distances from grey times 1 +- this"),
    "pca": Word("value", 0.1, 0.0, 1.0, "colour along the principal components (Krizhevsky 2012)"),
    "blur": Word("value", 1.0, 0.0, 8.0, "Gaussian of up to this many pixels"),
    "noise": Word("value", 0.05, 0.0, 1.0, "Gaussian of up to this share of the range"),
    "erase": Word("value", 0.5, 0.0, 1.0, "a rectangle of noise, with this probability (Zhong 2017)"),
    "delay": Word("wave", 0.1, 0.0, 1.0, "a sound moved in time by up to this share of its length"),
    "speed": Word("wave", 0.1, 0.0, 1.0, "a sound faster or slower by up to this share; its pitch moves too"),
    "snr": Word("wave", 20.0, -20.0, 100.0, "white noise, so many decibels or up to 20 more below the sound"),
    "mask": Word("spectrum", 0.15, 0.0, 1.0, "a band and a span of a spectrum hidden, up to this share (Park 2019)"),
    "mixup": Word("mix", 0.2, 0.01, 8.0, "two pictures blended, Beta(a, a) (Zhang 2018)"),
    "cutmix": Word("mix", 1.0, 0.01, 8.0, "a window of another picture, Beta(a, a) (Yun 2019)"),
}  # fmt: skip
SHIFT = "shift"  # the whole batch moved by a pixel or two, which costs nothing: the caller does it
AUTO = "auto"  # what suits the data: the caller knows them
NAMED = {
    "none": "",
    SHIFT: "",
    AUTO: "",
    # Windows of 224 in 256 and mirror images: 32 x 32 x 2 = 2048 views of each picture (section 4.1).
    "alexnet2012": "crop+flip+pca",
}


@dataclass(frozen=True)
class Policy:
    """The steps of one kind each, in order: name and strength."""

    text: str
    steps: tuple[tuple[str, float], ...]

    def of(self, kind: str) -> tuple[tuple[str, float], ...]:
        """The steps of one kind: place, warp and value of pictures, wave and spectrum of sounds, volume, mix of any."""
        return tuple(step for step in self.steps if WORDS[step[0]].kind == kind)

    def within_windows(self) -> "Policy":
        """The same on a window anywhere in the picture, where no step takes one."""
        windows = {"crop", "resized"} & dict(self.steps).keys()
        if windows or self.shifts:
            return self
        return read("crop" if self.text in ("", "none") else f"crop+{self.text}")

    @property
    def resamples(self) -> bool:
        """Whether pixels are computed anew, not only moved."""
        return bool(self.of("warp"))

    @property
    def shifts(self) -> bool:
        """Whether the whole batch is moved as one."""
        return SHIFT in self.text.split("+")

    @property
    def erases(self) -> bool:
        """Whether rectangles of some items are erased, while others of the same batch stay whole."""
        return "erase" in dict(self.steps)

    @property
    def views(self) -> bool:
        """Whether each item gets a view of its own."""
        return any(WORDS[name].kind != "mix" for name, _ in self.steps)


def read(text: str) -> Policy:
    """A policy as written in a recipe.

    Raises:
        ArgumentError: an unknown word, a strength out of its bounds, a word twice, or views beside a shift.
    """
    spelt = "+".join(NAMED.get(word, word) for word in text.split("+"))
    words = [word for word in spelt.split("+") if word]
    steps: dict[str, float] = {}
    for word in words:
        name, _, given = word.partition(":")
        if name not in WORDS:
            raise ArgumentError(
                f"augment={text}: {name!r} is no step; {nearest(name, [*WORDS, *NAMED])}"
            )
        if name in steps:
            raise ArgumentError(f"augment={text}: {name} is there twice")
        steps[name] = _strength(text, name, given)
    order = list(WORDS)
    policy = Policy(text, tuple(sorted(steps.items(), key=lambda step: order.index(step[0]))))
    if policy.shifts and policy.views:
        raise ArgumentError(
            f"augment={text}: shift moves a batch as one, beside it go mixup and cutmix alone; "
            "use translate or crop instead"
        )
    return policy


def _strength(text: str, name: str, given: str) -> float:
    word = WORDS[name]
    try:
        value = float(given) if given else word.strength
    except ValueError:
        value = float("nan")
    if not word.low <= value <= word.high:
        raise ArgumentError(
            f"augment={text}: {name} takes a number from {word.low:g} to {word.high:g}, got {given!r}"
        )
    return value
