"""One sound: from the bytes of a file to a wave of one channel, one rate and one length. T samples.

WAV (8, 16, 24 and 32 bits, and floating point) and AU are read here; FLAC, Ogg, MP3 and everything else by the package
soundfile. Channels are averaged, other rates are resampled by a polyphase filter (`scipy.signal.resample_poly`), longer
sounds are cut to their middle, shorter ones are laid into the middle of silence.
"""

import hashlib
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from math import gcd
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from striate.data import files
from striate.data.sources import I64, AnyForm, InFileFormat, Look
from striate.errors import DataError, MissingExtraError
from striate.extras import need
from striate.text import some

F32 = npt.NDArray[np.float32]
I16 = npt.NDArray[np.int16]

SUFFIXES = frozenset([".wav", ".wave", ".au", ".snd", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".w64", ".caf"])  # fmt: skip
VERSION = 1  # of the decoding; a change makes cached waves anew
LONGEST = 3 * 3600.0  # seconds of a sound that is read
RATES = (1_000, 768_000)  # Hz that a header may state
_FULL = 32_767.0  # a stored sample of 1.0
_UNKNOWN = (0, 0xFFFFFFFF)  # sizes that programs write which do not know the length yet
_EXTENSIBLE = 0xFFFE
_FIRST = 5  # silent sounds that are named
_NEAREST = 1000  # largest denominator of a ratio of rates: pitch is kept to a millionth


class Sampled(NamedTuple):
    """A sound as its file holds it.

    Attributes:
        values: [T, channels], 1.0 being the largest a file of whole numbers can hold.
        rate: samples a second.
    """

    values: F32
    rate: int


class Wave(NamedTuple):
    """How sounds are stored: samples a second, and how many of them each has."""

    rate: int
    samples: int

    @property
    def words(self) -> str:
        """Its part of the name in the cache."""
        return f"wave {VERSION} {self.rate} {self.samples}"


class Coding(NamedTuple):
    """How samples lie in a file: "int", "uint" or "float", bits, channels, rate, and "<" or ">"."""

    kind: str
    bits: int
    channels: int
    rate: int
    order: str


class Header(NamedTuple):
    """What a header says: the coding, and where the samples begin and end in the file."""

    coding: Coding
    start: int
    stop: int

    @property
    def samples(self) -> int:
        """Of each channel."""
        return (self.stop - self.start) // (self.coding.channels * self.coding.bits // 8)


def is_sound(name: str) -> bool:
    """Whether a file is named like a sound."""
    return name[name.rfind(".") :].lower() in SUFFIXES if "." in name else False


def sampled(data: bytes) -> Sampled:
    """The samples of a file.

    Raises:
        DataError: it is no sound, is damaged, holds no samples or some that are no numbers; with the reason alone.
    """
    head = header(data)
    found = _own(data, head) if head else _by_soundfile(data)
    if not len(found.values):
        raise DataError("it holds no samples")
    strange = int(np.count_nonzero(~np.isfinite(found.values)))
    if strange:
        raise DataError(
            f"{strange:,} of its {found.values.size:,} samples are no finite numbers (NaN or Inf)"
        )
    return found


def seconds(data: bytes) -> tuple[float, int, int]:
    """Seconds, rate and channels of a file, by its header.

    Raises:
        DataError: it cannot be read; with the reason alone.
    """
    head = header(data)
    if head:
        return head.samples / head.coding.rate, head.coding.rate, head.coding.channels
    info = _soundfile_info(data)
    return info.frames / info.samplerate, info.samplerate, info.channels


def header(data: bytes) -> Header | None:
    """What the header of a WAV or AU file says; None of a file of another format.

    Raises:
        DataError: the header is damaged, or does not fit the file; with the reason alone.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        found = _wav(data)
    elif data[:4] == b".snd":
        found = _au(data)
    else:
        return None
    return None if found is None else _checked(found, data)


def _checked(head: Header, data: bytes) -> Header:
    coding = head.coding
    if not 1 <= coding.channels <= 256 or not RATES[0] <= coding.rate <= RATES[1]:
        raise DataError(f"its header says {coding.channels} channels at {coding.rate:,} Hz")
    if head.stop > len(data):
        missing = head.stop - len(data)
        raise DataError(
            f"its header says {head.stop - head.start:,} bytes of samples, {missing:,} of them are missing: it is cut off"
        )
    if head.samples > LONGEST * coding.rate:
        raise DataError(
            f"it lasts {head.samples / coding.rate:,.0f} s, more than {LONGEST:,.0f}: cut it into parts"
        )
    return head


def _wav(data: bytes) -> Header | None:
    """Chunks of a RIFF file: `fmt ` says the coding, `data` holds the samples."""
    at, coding = 12, None
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        start = at + 8
        if name == b"fmt ":
            coding = _wav_coding(data[start : start + size])
            if coding is None:
                return None
        elif name == b"data":
            if coding is None:
                raise DataError("a WAV file whose samples come before their description")
            stop = len(data) if size in _UNKNOWN else start + size
            width = coding.channels * coding.bits // 8
            return Header(coding, start, stop - (stop - start) % width if width else stop)
        at = start + size + size % 2  # chunks begin at even places
    raise DataError("a WAV file without samples: its data chunk is missing")


def _wav_coding(chunk: bytes) -> Coding | None:
    """What a `fmt ` chunk says; None of a compressed one."""
    if len(chunk) < 16:
        raise DataError("a WAV file whose description of the samples is cut off")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = struct.unpack_from("<H", chunk, 24)[0]  # the first two bytes of the format's GUID
    if tag not in (1, 3):
        return None
    if (tag, bits) not in {(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)}:
        raise DataError(
            f"a WAV file of {bits}-bit {'numbers' if tag == 1 else 'floating-point numbers'}, "
            "expected 8, 16, 24 or 32, or 32 or 64 of floating point"
        )
    if block != channels * bits // 8:
        raise DataError(
            f"its header says {block} bytes for {channels} channels of {bits} bits: it is damaged"
        )
    kind = "float" if tag == 3 else "uint" if bits == 8 else "int"
    return Coding(kind, bits, channels, rate, "<")


def _au(data: bytes) -> Header | None:
    """The six numbers of an AU file; None of a compressed one."""
    if len(data) < 24:
        raise DataError("an AU file whose header is cut off")
    start, size, encoding, rate, channels = struct.unpack_from(">5I", data, 4)
    known = {2: ("int", 8), 3: ("int", 16), 4: ("int", 24), 5: ("int", 32), 6: ("float", 32), 7: ("float", 64)}  # fmt: skip
    if encoding not in known:
        return None
    kind, bits = known[encoding]
    if not 24 <= start <= len(data):
        raise DataError(f"an AU file whose samples are to begin at byte {start:,} of {len(data):,}")
    stop = len(data) if size in _UNKNOWN else start + size
    width = max(1, channels * bits // 8)
    return Header(Coding(kind, bits, channels, rate, ">"), start, stop - (stop - start) % width)


def _own(data: bytes, head: Header) -> Sampled:
    """The samples of a WAV or AU file as numbers."""
    coding = head.coding
    raw = memoryview(data)[head.start : head.stop]
    if coding.kind == "float":
        values = np.frombuffer(raw, f"{coding.order}f{coding.bits // 8}").astype(np.float32)
    elif coding.kind == "uint":
        values = (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / 128
    elif coding.bits == 24:
        values = _of_24_bits(raw, coding.order)
    else:
        whole = np.frombuffer(raw, f"{coding.order}i{coding.bits // 8}")
        values = whole.astype(np.float32) / np.float32(2 ** (coding.bits - 1))
    return Sampled(values.reshape(-1, coding.channels), coding.rate)


def _of_24_bits(raw: memoryview, order: str) -> F32:
    """Three bytes a sample, put into the upper ones of four."""
    wide = np.zeros((len(raw) // 3, 4), np.uint8)
    three = np.frombuffer(raw, np.uint8).reshape(-1, 3)
    wide[:, 1:] = three if order == "<" else three[:, ::-1]
    return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)


def _by_soundfile(data: bytes) -> Sampled:
    info = _soundfile_info(data)
    if info.frames > LONGEST * info.samplerate:
        raise DataError(f"it lasts more than {LONGEST:,.0f} s: cut it into parts")
    soundfile: Any = need("soundfile")
    try:
        values, rate = soundfile.read(BytesIO(data), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise DataError(f"it cannot be decoded ({' '.join(str(error).split())})") from error
    return Sampled(values, int(rate))


def _soundfile_info(data: bytes) -> Any:
    """What soundfile says of a file, without decoding it.

    Raises:
        DataError: it knows no such format, or is not installed.
    """
    if not data:
        raise DataError("the file is empty")
    if data.startswith(files.POINTER):
        raise DataError(files.POINTED)
    text = data[:64].lstrip()
    if not text or text[:1] in b"<{#" or data[:256].isascii():
        raise DataError("it is no sound, whatever its name says")
    try:
        soundfile: Any = need("soundfile")
    except MissingExtraError as error:
        raise DataError(str(error)) from error
    try:
        return soundfile.info(BytesIO(data))
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise DataError(f"it is no sound that is known ({' '.join(str(error).split())})") from error


def mono(sound: Sampled, rate: int) -> F32:
    """The mean of all channels [T] at a rate."""
    wave = sound.values.mean(1) if sound.values.shape[1] > 1 else sound.values[:, 0]
    return resampled(wave, sound.rate, rate)


def resampled(wave: F32, rate: int, wanted: int) -> F32:
    """A wave [T] at another rate: a polyphase filter that lets nothing beyond half the lower rate pass."""
    if rate == wanted:
        return wave
    from scipy.signal import resample_poly

    common = gcd(rate, wanted)
    ratio = Fraction(wanted // common, rate // common).limit_denominator(_NEAREST)
    return resample_poly(wave, ratio.numerator, ratio.denominator).astype(np.float32)


def stored(wave: F32) -> I16:
    """A wave as whole numbers; one that goes beyond 1, as floating point may, is made quieter as a whole."""
    peak = float(np.abs(wave).max(initial=0.0))
    return np.rint(wave * (_FULL / max(1.0, peak))).astype(np.int16)


def fitted(wave: I16, samples: int) -> I16:
    """The middle of a longer wave; a shorter one in the middle of silence."""
    spare = samples - len(wave)
    if spare <= 0:
        first = -spare // 2
        return wave[first : first + samples]
    return np.pad(wave, (spare // 2, spare - spare // 2))


class SoundSource(InFileFormat):
    """Sounds in a file format."""

    modality: str = "sound"
    check: ClassVar[AnyForm] = Wave(RATES[0], 1)

    def shape(self, form: AnyForm) -> tuple[int, ...]:
        """[T]."""
        return (form.samples,)

    @property
    def dtype(self) -> np.dtype[Any]:
        """16 bits a sample."""
        return np.dtype(np.int16)

    def look(self, i: int) -> Look:
        """Hash, and what the header says."""
        try:
            data = self.data(i)
        except DataError as error:
            return Look(self._no_content(i, error))
        digest = hashlib.sha256(data).digest()
        try:
            length, rate, channels = seconds(data)
            facts = {"seconds": length, "rate": rate, "channels": channels}
            if header(data):  # others take long to decode
                facts["peak"] = float(np.abs(sampled(data).values).max())
        except DataError:
            return Look(digest)
        return Look(digest, facts=facts)

    def remarks(self, names: Sequence[str], facts: Sequence[Mapping[str, float]]) -> list[str]:
        """Which are silent."""
        silent = [n for n, each in zip(names, facts, strict=True) if each.get("peak") == 0]
        return [f"{len(silent):,} sounds are silent: {some(silent, _FIRST)}"] if silent else []

    def decode(self, i: int, form: AnyForm) -> I16:
        """Its wave [T]; in the form for checking it is read in full and not resampled."""
        sound = sampled(self.data(i))
        if form == self.check:
            return np.zeros(form.samples, np.int16)
        return fitted(stored(mono(sound, form.rate)), form.samples)


@dataclass(frozen=True)
class SoundFiles(SoundSource):
    """Sound files below one folder, by their names relative to it."""

    root: Path
    names: tuple[str, ...]
    modality: str = "sound"

    def __len__(self) -> int:
        return len(self.names)

    def take(self, index: I64) -> "SoundFiles":
        """The same, with only these numbers."""
        return SoundFiles(self.root, tuple(self.names[i] for i in index.tolist()))

    def named(self, i: int) -> str:
        """Its path."""
        return files.shown(self.root / self.names[i])

    def label(self, i: int) -> str:
        """Its name below the folder."""
        return self.names[i]

    def data(self, i: int) -> bytes:
        """Its bytes."""
        return files.read(self.root / self.names[i])

    def weights(self) -> I64:
        """Sizes of the files."""
        root = os.fspath(self.root)
        return np.fromiter((files.size(f"{root}/{name}") for name in self.names), np.int64)
