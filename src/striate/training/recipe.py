"""A recipe: the settings of a training, checked when they are read and frozen afterwards; and the named recipes."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from striate import augment, losses
from striate.errors import RecipeError
from striate.text import in_seconds

OWN = "own"  # of weights=: those that a net of the user's own brings


def _pair(value: Any) -> Any:
    """`28`, `28x32`, `[28, 32]` all name a height and a width."""
    if isinstance(value, str):
        value = list(value.lower().split("x"))
    if isinstance(value, int):
        value = [value]
    if isinstance(value, list | tuple) and len(value) == 1:
        value = [value[0], value[0]]
    return value


def _sides(value: Any) -> Any:
    """`32`, `32x48x48`, `[32, 48, 48]` all name a depth, a height and a width."""
    sides = _pair(value)
    return [sides[0]] * 3 if isinstance(sides, list) and sides == [sides[0]] * 2 else sides


def _words(value: Any) -> Any:
    """`a,b` and `[a, b]` name the same words; so do `0.1` and `[0.1]` the same numbers."""
    if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]":  # as a recipe prints them
        value = value[1:-1]
    return _patterns(value)


def _patterns(value: Any) -> Any:
    """`a,b` are two patterns; a bracket belongs to the pattern it stands in."""
    if isinstance(value, int | float):
        return [value]
    if not isinstance(value, str):
        return value
    return [word.strip() for word in value.split(",") if word.strip()]


def read_duration(value: Any, setting: str = "budget") -> Any:
    """`90s`, `10 min`, `1h30m`, and numbers, which are seconds.

    Raises:
        RecipeError: words that name no time; it names the setting.
    """
    if not isinstance(value, str):
        return value
    seconds = in_seconds(value)
    if seconds is None:
        raise RecipeError(
            f"{setting}={value}: expected a time such as 90s, 10m, 1.5h or 1d; a number alone is seconds"
        )
    return seconds


def _duration(value: Any, info: ValidationInfo) -> Any:
    return read_duration(value, info.field_name or "budget")


def _augmentation(text: str) -> str:
    """A policy of random views, checked; its words are those of `augment.policy`."""
    augment.read(text)
    return text


def _loss(value: str) -> str:
    losses.read(value)
    return value


def _threshold(value: float | str | None) -> float | str | None:
    if value in (None, "auto") or (isinstance(value, float) and 0 < value < 1):
        return value
    try:
        number = float(value or "")
    except ValueError:
        number = 0.0
    if not 0 < number < 1:
        raise RecipeError(
            f"threshold={value}: expected auto, or a number between 0 and 1 such as 0.3"
        )
    return number


def _on_nan(text: str) -> str:
    kind, _, most = text.partition(":")
    if text in ("stop", "rollback") or (kind == "skip" and most.isdecimal() and int(most) > 0):
        return text
    raise RecipeError(f"on_nan={text}: expected stop, skip:K with K from 1 up, or rollback")


Size = Annotated[tuple[int, int], BeforeValidator(_pair)]
Grid = Annotated[tuple[int, int, int], BeforeValidator(_sides)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_patterns)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(_words), Field(min_length=1)]
Duration = Annotated[float, BeforeValidator(_duration), Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
Augmentation = Annotated[str, AfterValidator(_augmentation)]
Part = Annotated[str, Field(pattern=r"^\d+of\d+$")]
Schedule = Literal["onecycle", "cosine", "constant", "exponential", "step", "plateau"]


class Recipe(BaseModel):
    """Settings of a training. `None` and "auto" are settled from the data before the first step.

    The last epoch sees the pictures unaugmented, as evaluation does, unless `erase` is among the views.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    net: str | None = Field(
        default=None, description="catalogue name; by the pictures' size if not given"
    )
    epochs: int | None = Field(default=None, ge=1, description="passes over the data")
    batch: int | None = Field(default=None, ge=1, description="items a step")
    lr: float | None = Field(default=None, gt=0, description="largest learning rate")
    accumulate: int = Field(default=1, ge=1, description="parts in which a batch is computed")
    budget: Duration | None = Field(
        default=None,
        description="time the whole command may take: 90s, 10min, 1.5h; never bit-equal",
    )
    optimizer: Literal["adamw", "muon", "sgd"] | None = Field(
        default=None, description="how gradients become steps; muon for light nets, else adamw"
    )
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="of sgd and muon, or the first beta of adamw"
    )
    nesterov: bool = Field(default=False, description="look ahead along the momentum of sgd")
    weight_decay: float | None = Field(
        default=None, ge=0, description="0.05, or 0.0005 (L2) of sgd, if not given"
    )
    decay_all: bool = Field(default=False, description="decay biases and normalisation too")
    schedule: Schedule = Field(default="onecycle", description="course of the learning rate")
    warmup: float = Field(
        default=0.15, ge=0, lt=1, description="share of the steps in which the rate rises"
    )
    gamma: Numbers | None = Field(
        default=None,
        description="factor on the rate: an epoch (0.999), a milestone or plateau (0.1)",
    )
    milestones: Annotated[tuple[Share, ...], BeforeValidator(_words)] = Field(
        default=(0.5, 0.75), description="shares of the training after which step lowers the rate"
    )
    plateau: int = Field(
        default=5, ge=1, description="epochs without a new minimum that plateau waits"
    )
    patience: int | None = Field(
        default=None, ge=1, description="epochs without a new minimum after which it ends"
    )
    validation_freq: int | None = Field(
        default=None,
        ge=1,
        description="epochs after which held-out items are answered; 1, or more where they are many",
    )
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="running average of the weights, such as 0.999"
    )
    loss: Annotated[str, AfterValidator(_loss)] | None = Field(
        default=None,
        description="what is made small, such as 0.5*focal(gamma=2)+margin; the task's if not given",
    )
    smoothing: float = Field(default=0.0, ge=0, lt=1, description="label smoothing")
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: rare classes count more in the loss"
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        default="shuffled", description="balanced: every class is drawn equally often"
    )
    threshold: Annotated[float | str | None, AfterValidator(_threshold)] = Field(
        default=None,
        description="probability from which a label is said, a box or object given, 0.3; auto: chosen on validation items",
    )
    clip: float | None = Field(default=None, gt=0, description="largest norm of the gradient")
    augment: Augmentation = Field(
        default="auto",
        description="random views: crop+flip+rotate:15+color, auto+mixup, see `striate.augment.policy`",
    )
    size: Size | None = Field(default=None, description="pixels the net sees: 28 or 28x32")
    crop: Size | None = Field(
        default=None, description="learn from windows of this size, pictures in their own: 256"
    )
    grid: Grid | None = Field(
        default=None,
        description="voxels the net sees of volumes: 32 or 32x48x48; the set's own if not given",
    )
    patch: Grid | None = Field(
        default=None,
        description="learn masks of volumes from windows of so many voxels: 64 or 32x64x64",
    )
    color: Literal["rgb", "grey", "hsv", "ycbcr", "xyz"] | None = Field(
        default=None, description="channels; the data's if not given"
    )
    seconds: Duration | None = Field(
        default=None,
        description="length of a sound that the net hears; that of most if not given",
    )
    rate: int | None = Field(
        default=None,
        ge=1000,
        le=768_000,
        description="samples a second of sounds; the data's, 22050 at most",
    )
    representation: Literal["mel", "frames", "wave"] | None = Field(
        default=None, description="of sounds: spectra as maps, their bands as channels, or waves"
    )
    mels: int | None = Field(
        default=None,
        ge=2,
        le=1024,
        description="bands of the spectra of sounds; 40 or 64 by the rate",
    )
    win_ms: Numbers | None = Field(
        default=None, description="windows of those, in ms: 25, or 12,25,50 for three channels"
    )
    hop_ms: float | None = Field(
        default=None, gt=0, description="ms from one frame of those to the next; 10 or more"
    )
    weights: str | None = Field(
        default=None,
        description="first weights: published, a run folder, a file, a published name; own: the net brings them",
    )
    linear_probe: Literal["none", "first", "only"] = Field(
        default="none",
        description="fit the last layer to features computed once, before the first epoch; only: nothing else",
    )
    freeze: Words = Field(
        default=(),
        description="layers that stay as they are; features: all but the head; half: the first half",
    )
    freeze_norm: bool = Field(default=False, description="keep all batch normalisation as it is")
    head_epochs: int = Field(default=0, ge=0, description="epochs in which only the head learns")
    lr_decay: float = Field(
        default=1.0, gt=0, le=1, description="factor on the rate for each block below the head"
    )
    width: float = Field(default=1.0, gt=0, description="factor on the net's channels")
    options: dict[str, Any] = Field(default={}, description="options of the net's family")
    val: Share | Part | None = Field(
        default=None, description="share held out, 0.2 if the data hold nothing out; 2of5: a fold"
    )
    split: str = Field(
        default="stratified",
        description="kept together: folder, name:PATTERN, FILE.csv:COLUMN; similar: near duplicates",
    )
    task: str | None = Field(
        default=None, description="what is learned, where the data could be several"
    )
    layout: str | None = Field(
        default=None, description="how files are understood; see striate data"
    )
    ignore: Patterns = Field(default=(), description="file patterns to leave aside")
    max_pixels: int | None = Field(
        default=None, ge=1, description="larger pictures are refused; 50,000,000 if not given"
    )
    levels: Numbers | None = Field(
        default=None, description="values of deep pictures that become 0 and 255: 0,4095; measured"
    )
    history: int | None = Field(
        default=None, ge=1, description="steps of series that are read; 12 if not given"
    )
    horizon: int | None = Field(
        default=None, ge=1, description="steps that are forecast; 12 if not given"
    )
    period: Words | None = Field(
        default=None, description="of series: day, week, year or steps, such as 24,168; measured"
    )
    fixes: str | None = Field(
        default=None,
        description="table of items to relabel, drop or regroup: file,action,value; files stay as they are",
    )
    broken: Literal["stop", "skip"] | float = Field(
        default="stop", description="what broken files do: stop past 1 % and five, skip, or a share"
    )
    on_nan: Annotated[str, AfterValidator(_on_nan)] = Field(
        default="stop",
        description="a loss that is no number: stop, skip:K steps, or rollback to the last checkpoint",
    )
    oom: Literal["stop", "halve"] = Field(
        default="stop", description="out of memory: stop, or halve what is computed at once"
    )
    deterministic: bool = Field(
        default=False, description="bit-equal when repeated, or refused; plan=auto is then default"
    )
    seed: int = Field(default=0, ge=0, description="of everything random")
    split_seed: int | None = Field(
        default=None,
        ge=0,
        description="of what is held out alone, so that trainings of other seeds share it",
    )
    plan: str = Field(
        default="auto", description="auto, default, or words such as channels_last,bf16,compiled"
    )
    health: int = Field(default=50, ge=0, description="steps between looks at every layer; 0: none")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps")
    devices: int | None = Field(
        default=None, ge=1, description="processes on this machine that share a batch, one a GPU"
    )
    sync_norm: bool = Field(
        default=False, description="batch normalisation over the items of all GPUs, not of each"
    )
    cache: str | None = Field(default=None, description="folder of decoded pictures")
    workers: int | None = Field(
        default=None,
        ge=1,
        description="threads that decode streamed pictures; one a core if not given",
    )
    keep: int = Field(default=2, ge=1, description="checkpoints kept beside the best; 1000: all")
    window: int = Field(
        default=16, ge=1, description="shards read at a time; an epoch is shuffled within so many"
    )

    @property
    def most_epochs(self) -> int:
        """Epochs after which it ends at the latest; a budget of time alone never counts them."""
        return self.epochs or (1_000_000 if self.budget else 1)

    def as_yaml(self) -> str:
        """Flat YAML, one setting a line."""
        return yaml.safe_dump(
            self.model_dump(mode="json"),
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=None,  # lists and options stay on the line of their key
            width=1_000_000,
        )

    def explained(self) -> str:
        """The same with what each setting means."""
        lines = self.as_yaml().splitlines()
        about = [field.description for field in type(self).model_fields.values()]
        width = max(map(len, lines)) + 2
        return "\n".join(f"{line:{width}}# {text}" for line, text in zip(lines, about, strict=True))


@dataclass(frozen=True)
class Named:
    """A recipe with its source; `departs` says what of the source is missing or different here.

    goes_on: it makes sense only with weights that have learnt already.
    """

    source: str
    settings: dict[str, Any]
    departs: str = ""
    goes_on: bool = False


NAMED: dict[str, Named] = {
    "quick": Named(
        "ours: what measured best on MNIST and CIFAR-10 per second of CPU; "
        "one-cycle rate of Smith and Topin 2017, arXiv 1708.07120",
        {},
    ),
    "lecture": Named(
        "gradient descent as it is taught: a mini-batch, momentum, L2 on the weights, "
        "the rate x0.999 after every epoch",
        {
            "optimizer": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "schedule": "exponential",
            "gamma": 0.999,
            "augment": "none",
        },
    ),
    "lenet1998": Named(
        "LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition, "
        "section III.B: 20 passes, one picture a step, rates 0.0005 for two passes, 0.0002 for three, "
        "0.0001 for three, 0.00005 for four, then 0.00001",
        {
            "epochs": 20,
            "batch": 1,
            "optimizer": "sgd",
            "lr": 0.0005,
            "momentum": 0.0,
            "weight_decay": 0.0,
            "schedule": "step",
            "milestones": (0.1, 0.25, 0.4, 0.6),
            "gamma": (0.4, 0.5, 0.5, 0.2),
            "augment": "none",
        },
        "there each weight's rate was divided by an estimate of its curvature plus 0.02, so that it could be "
        "50 times larger; here it is not, so more passes or a larger lr= may be needed",
    ),
    "alexnet2012": Named(
        "Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional neural "
        "networks, section 5: batch 128, momentum 0.9, decay 0.0005, rate 0.01 divided by 10 when the "
        "validation error stopped improving, about 90 passes; crops of 224 in 256 with flips, "
        "colour along the principal components, section 4.1",
        {
            "epochs": 90,
            "batch": 128,
            "optimizer": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "decay_all": True,
            "schedule": "plateau",
            "gamma": 0.1,
            "plateau": 5,
            "augment": "crop+flip+pca",
        },
        "the rate was lowered by hand, here after 5 epochs without a smaller held-out loss",
    ),
    "resnet2015": Named(
        "He, Zhang, Ren, Sun 2015, arXiv 1512.03385, section 4.2: batch 128, momentum 0.9, decay 0.0001, "
        "rate 0.1 divided by 10 at 32k and 48k of 64k steps (182 passes over 45k pictures), crops and flips",
        {
            "epochs": 182,
            "batch": 128,
            "optimizer": "sgd",
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "decay_all": True,
            "schedule": "step",
            "milestones": (0.5, 0.75),
            "gamma": 0.1,
            "augment": "crop+flip",
        },
        "the last epoch is not augmented; crops leave an eighth around instead of 4 black pixels",
    ),
    "strong": Named(
        "He, Zhang, Zhang, Zhang, Xie, Li 2019, Bag of tricks, arXiv 1812.01187, sections 3.1 and 5: rate 0.1 "
        "at batch 256, 5 epochs of warm-up, cosine, smoothing 0.1, no decay on biases and normalisation, section "
        "5.4: mix-up of 0.2 and 200 epochs for it; running average of the weights as in Szegedy et al. 2016, arXiv 1512.00567, section 8",
        {
            "epochs": 200,
            "batch": 256,
            "optimizer": "sgd",
            "nesterov": True,
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "schedule": "cosine",
            "warmup": 5 / 200,
            "smoothing": 0.1,
            "ema": 0.999,
            "augment": "auto+mixup:0.2",
        },
        "no distillation; views are those that suit the data; the last epoch is neither augmented nor mixed",
    ),
    "linear_probe": Named(
        "Alain and Bengio 2016, arXiv 1610.01644: the net stays as it is, its features are computed once, and a "
        "logistic regression on them, of the strength that suits the held-out items, becomes its last layer",
        {"linear_probe": "only", "freeze": ("features",)},
        goes_on=True,
    ),
    "finetune": Named(
        "after Kumar et al. 2022, arXiv 2202.10054, section 4: a linear probe first, then all layers together; the "
        "numbers are ours, and that batch normalisation stays as it is, without which the first epoch undoes the probe. "
        "What is scored is a running average of the weights over about the last hundred steps (Polyak and Juditsky 1992). "
        "The probe is kept where no epoch after it is better on what is held out. Give it weights=",
        {
            "linear_probe": "first",
            "freeze_norm": True,
            "optimizer": "adamw",
            "lr": 1e-4,
            "schedule": "cosine",
            "warmup": 0.1,
            "ema": 0.99,
        },
        goes_on=True,
    ),
}
