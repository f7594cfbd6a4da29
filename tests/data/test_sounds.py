"""Sounds: what files of every width hold, what is wrong with others, and the folders and tables they come in."""

import io
import struct
import sys
import types
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate import data
from striate.data import sounds
from striate.errors import ArgumentError, DataError

RATE = 8000
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE // 4) / RATE)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def described(tag: int, bits: int, channels: int = 1, rate: int = RATE, block: int | None = None):
    width = channels * bits // 8 if block is None else block
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits))


def samples(values: np.ndarray, bits: int) -> bytes:
    if bits == 8:
        return np.rint(values * 127 + 128).astype(np.uint8).tobytes()
    whole = np.rint(values * (2 ** (bits - 1) - 1)).astype(np.int64)
    return b"".join(int(v).to_bytes(bits // 8, "little", signed=True) for v in whole.ravel())


def wav(values: np.ndarray = TONE, bits: int = 16, rate: int = RATE) -> bytes:
    channels = 1 if values.ndim == 1 else values.shape[1]
    return riff(described(1, bits, channels, rate), chunk(b"data", samples(values, bits)))


def written(root: Path, names: dict[str, bytes]) -> Path:
    for name, content in names.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def tone(pitch: float, seconds: float = 0.25, rate: int = RATE, seed: int = 0) -> np.ndarray:
    at = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.01, len(at))
    return 0.4 * np.sin(2 * np.pi * pitch * at + seed) + noise


@pytest.mark.parametrize(("bits", "off"), [(8, 0.01), (16, 1e-4), (24, 1e-6), (32, 1e-6)])
def test_whole_numbers_of_every_width(bits, off):
    found = sounds.sampled(wav(bits=bits))
    assert found.rate == RATE
    np.testing.assert_allclose(found.values[:, 0], TONE, atol=off)


@pytest.mark.parametrize("bits", [32, 64])
def test_floating_point(bits):
    content = TONE.astype(f"<f{bits // 8}").tobytes()
    found = sounds.sampled(riff(described(3, bits), chunk(b"data", content)))
    np.testing.assert_allclose(found.values[:, 0], TONE, atol=1e-7)


def test_the_standard_library_writes_the_same():
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setparams((2, 3, 44100, 0, "NONE", ""))
        file.writeframes(samples(np.stack([TONE, -TONE], 1), 24))
    found = sounds.sampled(held.getvalue())
    assert found.rate == 44100
    np.testing.assert_allclose(found.values[:, 1], -TONE, atol=1e-6)


def test_an_extensible_header_names_its_format_in_its_id():
    block = struct.pack("<HHIIHHHHI", 0xFFFE, 1, RATE, RATE * 2, 2, 16, 22, 16, 4)
    guid = struct.pack("<H", 1) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    found = sounds.sampled(riff(chunk(b"fmt ", block + guid), chunk(b"data", samples(TONE, 16))))
    np.testing.assert_allclose(found.values[:, 0], TONE, atol=1e-4)


def test_other_chunks_are_passed_over_and_odd_ones_are_padded():
    extra = chunk(b"LIST", b"abc")
    found = sounds.sampled(
        riff(extra, described(1, 16), extra, chunk(b"data", samples(TONE, 16)), extra)
    )
    assert len(found.values) == len(TONE)


@pytest.mark.parametrize(("encoding", "kind"), [(2, ">i1"), (3, ">i2"), (5, ">i4"), (6, ">f4")])
def test_au(encoding, kind):
    scale = 1 if "f" in kind else 2 ** (8 * int(kind[-1]) - 1) - 1
    content = (TONE * scale).astype(kind).tobytes()
    head = struct.pack(">4s5I", b".snd", 28, len(content), encoding, RATE, 1) + b"note"
    found = sounds.sampled(head + content)
    np.testing.assert_allclose(found.values[:, 0], TONE, atol=0.02 if kind == ">i1" else 1e-4)


def test_a_stream_that_does_not_know_its_length_goes_to_the_end():
    whole = bytearray(wav())
    at = whole.index(b"data") + 4
    whole[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    assert len(sounds.sampled(bytes(whole)).values) == len(TONE)


def changed(at_chunk: bytes, offset: int, value: bytes) -> bytes:
    whole = bytearray(wav())
    at = whole.index(at_chunk) + 8 + offset
    whole[at : at + len(value)] = value
    return bytes(whole)


NAN = np.where(np.arange(100) == 7, np.nan, 0.1).astype("<f4")
WRONG = {
    "no wav": (b"<html>not found</html>", "it is no sound, whatever its name says"),
    "text": (b"some words\n" * 9, "it is no sound, whatever its name says"),
    "empty": (b"", "the file is empty"),
    "a length that lies": (wav()[:-100], "of samples, 100 of them are missing: it is cut off"),
    "a length beyond all": (changed(b"data", -4, struct.pack("<I", 10**9)), "are missing: it is cut off"),
    "no samples": (riff(described(1, 16), chunk(b"data", b"")), "it holds no samples"),
    "no data": (riff(described(1, 16)), "its data chunk is missing"),
    "data first": (riff(chunk(b"data", b"1234"), described(1, 16)), "samples come before their description"),
    "NaN": (riff(described(3, 32), chunk(b"data", NAN.tobytes())), "1 of its 100 samples are no finite numbers"),
    "Inf": (riff(described(3, 32), chunk(b"data", (NAN * np.inf).tobytes())), "100 of its 100 samples are no finite"),
    "12 bits": (riff(described(1, 12), chunk(b"data", b"12")), "a WAV file of 12-bit numbers"),
    "no channels": (riff(described(1, 16, 0), chunk(b"data", b"12")), "its header says 0 channels at 8,000 Hz"),
    "no rate": (riff(described(1, 16, 1, 0), chunk(b"data", b"12")), "its header says 1 channels at 0 Hz"),
    "a block that lies": (riff(described(1, 16, block=7), chunk(b"data", b"1" * 14)), "7 bytes for 1 channels of 16 bits"),
    "a short description": (riff(chunk(b"fmt ", b"12"), chunk(b"data", b"12")), "description of the samples is cut off"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
    "au cut off": (b".snd\0\0", "an AU file whose header is cut off"),
    "au beyond its end": (struct.pack(">4s5I", b".snd", 999, 4, 3, RATE, 1), "are to begin at byte 999 of 24"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_line(name):
    content, words = WRONG[name]
    with pytest.raises(DataError) as caught:
        sounds.sampled(content)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_compressed_file_without_its_package_says_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(
        DataError, match=r"this needs the package soundfile: pip install 'striate\[audio\]'"
    ):
        sounds.sampled(b"fLaC\0\x80\xff\xfe" + bytes(range(256)) * 2)
    mulaw = riff(described(7, 8), chunk(b"data", b"\xff" * 100))
    with pytest.raises(DataError, match="soundfile"):
        sounds.sampled(mulaw)


def test_a_compressed_file_is_read_by_its_package(monkeypatch):
    fake: Any = types.ModuleType("soundfile")
    fake.LibsndfileError = RuntimeError
    fake.info = lambda _file: types.SimpleNamespace(frames=4, samplerate=RATE, channels=2)
    fake.read = lambda _file, **_how: (np.full((4, 2), 0.5, np.float32), RATE)
    monkeypatch.setitem(sys.modules, "soundfile", fake)
    content = b"fLaC\0\x80\xff\xfe" + bytes(range(256))
    assert sounds.sampled(content).values.shape == (4, 2)
    assert sounds.seconds(content) == (4 / RATE, RATE, 2)

    def broken(*_args, **_more):
        raise RuntimeError("bad\nstream")

    fake.read = broken
    with pytest.raises(DataError, match=r"^it cannot be decoded \(bad stream\)$"):
        sounds.sampled(content)


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 22050, 44100, 48000])
def test_another_rate_is_the_same_tone(rate):
    low = sounds.resampled(tone(300, 1.0, rate).astype(np.float32), rate, RATE)
    assert len(low) == pytest.approx(RATE, abs=2)
    spectrum = np.abs(np.fft.rfft(low[: RATE - 2]))
    assert int(spectrum.argmax()) == pytest.approx(300, abs=1)


def test_nothing_beyond_half_the_lower_rate_folds_back():
    high = tone(7000, 1.0, 16000).astype(np.float32)
    low = sounds.resampled(high, 16000, RATE)
    assert np.abs(low[100:-100]).max() < 0.1 * np.abs(high).max()


def test_two_channels_are_their_mean():
    values = np.stack([TONE, np.zeros_like(TONE)], 1)
    heard = sounds.mono(sounds.sampled(wav(values)), RATE)
    np.testing.assert_allclose(heard, TONE / 2, atol=1e-4)


def test_a_wave_beyond_one_is_made_quieter_not_cut():
    held = sounds.stored(4 * TONE.astype(np.float32))
    assert np.abs(held).max() == 32767
    np.testing.assert_allclose(held / 32767, TONE / TONE.max(), atol=1e-4)


@pytest.mark.parametrize(("have", "want"), [(5, 9), (5, 8), (9, 5), (8, 5), (5, 5), (0, 3)])
def test_the_middle_is_kept_and_the_rest_is_silence(have, want):
    wave = np.arange(1, have + 1, dtype=np.int16)
    got = sounds.fitted(wave, want)
    assert len(got) == want
    inside = got[got > 0]
    assert len(inside) == min(have, want)
    if len(inside):
        before = int(inside[0]) - 1 if want < have else int(np.flatnonzero(got)[0])
        assert before == pytest.approx(abs(have - want) / 2, abs=0.5)


def folder(root: Path, per: int = 6, labels: tuple[str, ...] = ("low", "high")) -> Path:
    return written(
        root,
        {
            f"{label}/{label}.{i:05d}.wav": wav(tone(300 * (k + 1), seed=i))
            for k, label in enumerate(labels)
            for i in range(per)
        },
    )


def test_class_folders(tmp_path):
    root = folder(tmp_path / "genres")
    (root / "low" / "notes.txt").write_text("x")
    opened = data.open(root, val=0)
    assert (opened.modality, opened.noun, opened.pictures) == ("sound", "sounds", False)
    assert opened.read_as[0] == "sound_folders"
    assert opened.classes == ("high", "low")
    got = opened.as_dict()
    assert (got["inputs"], got["items"], got["ignored"]) == ("sound", 12, {".txt": 1})
    assert got["sizes"]["seconds"] == {"min": 0.25, "median": 0.25, "max": 0.25}
    assert "12 sounds in 2 classes" in opened.as_text()
    assert "seconds 0.25; rate 8000; channels 1" in opened.as_text()
    arrays = opened.arrays("all", form=sounds.Wave(RATE, RATE // 2))
    assert (arrays.inputs.shape, arrays.inputs.dtype) == ((12, RATE // 2), np.int16)
    again = data.open(root, val=0).arrays("all", form=sounds.Wave(RATE, RATE // 2))
    assert isinstance(again.inputs, np.memmap)
    assert np.array_equal(again.inputs, arrays.inputs)
    other = opened.arrays("all", form=sounds.Wave(RATE // 2, RATE // 4))
    assert other.inputs.shape == (12, RATE // 4)


def test_split_folders(tmp_path):
    folder(tmp_path / "d" / "train")
    folder(tmp_path / "d" / "test", 2)
    opened = data.open(tmp_path / "d")
    assert {name: len(split) for name, split in opened.splits.items()} == {"train": 12, "test": 4}
    folder(tmp_path / "d" / "test", 1, ("other",))
    with pytest.raises(DataError, match="the class other has no sounds in train"):
        data.open(tmp_path / "d")


def commands(root: Path) -> Path:
    """Speech Commands: a folder a word, six speakers who say each word twice, and recordings of noise."""
    return written(
        root,
        {
            f"{word}/{who:08x}_nohash_{take}.wav": wav(
                tone(300 * k + 100 * who, seed=9 * take + who)
            )
            for k, word in enumerate(("yes", "no"), 1)
            for who in range(6)
            for take in range(2)
        }
        | {"_background_noise_/pink.wav": wav(tone(50, 1.0))},
    )


def test_lists_beside_class_folders_are_the_splits(tmp_path):
    root = commands(tmp_path / "speech")
    for name, who in (("validation_list.txt", 1), ("testing_list.txt", 2)):
        lines = [f"{word}/{who:08x}_nohash_{take}.wav" for word in ("yes", "no") for take in (0, 1)]
        (root / name).write_text("\n".join(lines) + "\n")
    opened = data.open(root)
    assert opened.classes == ("no", "yes")
    assert {name: len(split) for name, split in opened.splits.items()} == {
        "train": 16,
        "val": 4,
        "test": 4,
    }
    assert all("00000002_" in name for name in opened.splits["test"].names)
    assert "validation_list.txt, testing_list.txt say what is held out" in opened.note
    assert opened.ignored["sounds in _background_noise_"] == 1
    (root / "testing_list.txt").write_text("yes/00000003_nohash_0.wav\n")
    with pytest.raises(DataError, match=r"testing_list\.txt changed since the run was trained"):
        data.again(opened.origin)


def test_without_lists_a_speaker_stays_on_one_side(tmp_path):
    opened = data.open(commands(tmp_path / "speech"))
    who = {
        name: {file.split("/")[1][:8] for file in split.names}
        for name, split in opened.splits.items()
    }
    assert all(who.values())
    assert not who["train"] & who["val"]
    assert "one speaker" in opened.note


def test_broken_sounds_are_named_counted_and_skipped(tmp_path):
    root = folder(tmp_path / "d", 8)
    for i, name in enumerate(("no wav", "no samples", "NaN", "a length that lies")):
        (root / "low" / f"bad{i}.wav").write_bytes(WRONG[name][0])
    opened = data.open(root, val=0)
    problems = {p.file: p.reason for p in opened.problems}
    assert len(problems) == 4
    assert "no finite numbers" in problems["low/bad2.wav"]
    assert len(opened.arrays("all", form=sounds.Wave(RATE, 100))) == 16
    many = folder(tmp_path / "e", 8)
    for i in range(7):
        (many / "low" / f"bad{i}.wav").write_bytes(b"no wav")
    with pytest.raises(DataError, match="it is no sound"):
        data.open(many, val=0).check()


def named_files(root: Path, speakers: int = 3, takes: int = 8) -> Path:
    names = {
        f"recordings/{digit}_{chr(97 + s)}man_{take}.wav": wav(
            tone(300 * (digit + 1), seed=take + 9 * s)
        )
        for digit in range(2)
        for s in range(speakers)
        for take in range(takes)
    }
    return written(root, names)


def test_the_class_in_the_names_is_guessed_and_said(tmp_path):
    opened = data.open(named_files(tmp_path / "d"), val=0)
    assert opened.read_as[0] == "sound_names"
    assert opened.classes == ("0", "1")
    assert "names are read as {label}_{part2}_{part3}: 2 classes (0, 1)" in opened.note
    assert "sound_names:pattern={x}_{label}_{part3}" in opened.note


def test_a_pattern_says_the_class_and_who_speaks(tmp_path):
    root = named_files(tmp_path / "d")
    (root / "recordings" / "odd.wav").write_bytes(wav())
    layout = "sound_names:pattern={digit}_{label}_{take}"
    opened = data.open(root, val=0, layout=layout)
    assert opened.classes == ("aman", "bman", "cman")
    assert opened.ignored == {"sounds of other names": 1}
    layout = "sound_names:pattern={label}_{speaker}_{take}"
    split = data.open(root, val="1of3", layout=layout)
    held = {name.split("_")[1] for name in split.splits["val"].names}
    known = {name.split("_")[1] for name in split.splits["train"].names}
    assert len(held) == 1
    assert not held & known
    rule = "name:_([a-z]+)_"
    by_rule = data.open(root, val="1of3", split=rule)
    assert not {n.split("_")[1] for n in by_rule.splits["val"].names} & {
        n.split("_")[1] for n in by_rule.splits["train"].names
    }


@pytest.mark.parametrize("pattern", ["{speaker}_{take}", "{label}_{label}", "{label}_{take", ""])
def test_a_pattern_that_cannot_be_is_refused(tmp_path, pattern):
    root = named_files(tmp_path / "d", 1, 3)
    if not pattern:
        written(tmp_path / "e", {f"{k}.wav": wav() for k in ("kick", "snare", "hat")})
        with pytest.raises(DataError, match=r"pattern=\{label\}_\{speaker\}_\{take\}"):
            data.open(tmp_path / "e")
        return
    with pytest.raises(ArgumentError, match="expected parts in braces"):
        data.open(root, layout=f"sound_names:pattern={pattern}")


def test_a_pattern_that_fits_nothing_names_an_example(tmp_path):
    with pytest.raises(DataError, match=r"none of 6 sounds .* such as recordings/0_aman_0.wav"):
        data.open(named_files(tmp_path / "d", 1, 3), layout="sound_names:pattern={label}-{take}")


def table(root: Path, name: str, header: str, rows: list[str]) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join([header, *rows]) + "\n")


def test_esc50(tmp_path):
    root, rows = tmp_path / "ESC-50-master", list[str]()
    for fold in range(1, 6):
        for take in range(3):
            for target, name in ((0, "dog"), (36, "vacuum_cleaner")):
                file = f"{fold}-100{take}32-A-{target}.wav"
                written(root, {f"audio/{file}": wav(tone(200 + target, seed=fold * 9 + take))})
                rows.append(f"{file},{fold},{target},{name},True,100032,A")
    table(root, "meta/esc50.csv", "filename,fold,target,category,esc10,src_file,take", rows)
    opened = data.open(root, val="2of5")
    assert opened.read_as[0] == "sound_table"
    assert opened.classes == ("dog", "vacuum_cleaner")
    assert "--folds 5 holds out each once" in opened.note
    assert {n.split("/")[1][0] for n in opened.splits["val"].names} & {
        n.split("/")[1][0] for n in opened.splits["train"].names
    } == set()
    folds = [
        {n.split("/")[1][0] for n in data.open(root, val=f"{k}of5").splits["val"].names}
        for k in range(1, 6)
    ]
    assert folds == [{"1"}, {"2"}, {"3"}, {"4"}, {"5"}]  # as published, in their order


@pytest.mark.parametrize(("header", "counts"), [("src_file", 6), ("take_of", None)])
def test_clips_of_a_fold_are_independent_but_for_what_they_were_cut_from(tmp_path, header, counts):
    root, rows = tmp_path / "esc", list[str]()
    for i in range(24):
        file, fold = f"{i}.wav", i % 2 + 1
        written(root, {f"audio/{file}": wav(tone(200 + 20 * i, seed=i))})
        rows.append(f"{file},{fold},{('dog', 'rain')[i // 2 % 2]},{fold}0{i // 4}")
    table(root, "meta/esc50.csv", f"filename,fold,category,{header}", rows)
    groups = data.open(root, val="2of2").splits["val"].part.groups
    assert (None if groups is None else len(np.unique(groups))) == counts


def test_urbansound(tmp_path):
    root, rows = tmp_path / "UrbanSound8K", list[str]()
    for fold in range(1, 4):
        for take in range(4):
            label = ("siren", "drilling")[take % 2]
            file = f"{take}-0-0-1.wav"  # the same names in every fold
            written(root, {f"audio/fold{fold}/{file}": wav(tone(100 * take + 50, seed=fold))})
            rows.append(f"{file},{take},0.0,4.0,1,{fold},{take % 2},{label}")
    rows.append("gone.wav,9,0,4,1,1,0,siren")
    table(
        root,
        "metadata/UrbanSound8K.csv",
        "slice_file_name,fsID,start,end,salience,fold,classID,class",
        rows,
    )
    opened = data.open(root, val="1of3")
    assert opened.classes == ("drilling", "siren")
    assert sum(len(split) for split in opened.splits.values()) == 12
    assert len({n.split("/")[1] for n in opened.splits["val"].names}) == 1
    assert [f.kind for f in opened.faults] == ["rows whose sound is not there"]


@pytest.mark.parametrize(
    ("more", "fault", "left"),
    [
        ("1-1-A-0.wav,,0,dog", "rows without a fold", 8),
        ("1-0-A-0.wav,2,0,dog", "rows that say otherwise of a sound that an earlier one names", 8),
        ("1-0-A-0.wav,1,1,rain", "rows that say otherwise of a sound that an earlier one names", 8),
        ("1-0-A-0.wav,1,0,dog", "rows that repeat another", 8),
        ("gone.wav,1,0,dog", "rows whose sound is not there", 8),
    ],
)
def test_rows_that_are_no_item_are_named(tmp_path, more, fault, left):
    root, rows = tmp_path / "esc", list[str]()
    for i in range(8):
        file = f"{i // 2 + 1}-0-A-{i % 2}.wav"
        written(root, {f"audio/{file}": wav(tone(200 + 50 * i, seed=i))})
        rows.append(f"{file},{i // 2 + 1},{i % 2},{('dog', 'rain')[i % 2]}")
    written(root, {"audio/1-1-A-0.wav": wav(tone(900))})
    table(root, "meta/esc50.csv", "filename,fold,target,category", [*rows, more])
    opened = data.open(root, val="1of4")
    assert sum(len(split) for split in opened.splits.values()) == left
    assert [(f.kind, f.count, f.places) for f in opened.faults] == [
        (fault, 1, ("meta/esc50.csv line 10",))
    ]


def test_tables_named_by_splits_are_the_splits(tmp_path):
    root = tmp_path / "FSD50K"
    for name, count in (("dev", 6), ("eval", 4)):
        for i in range(count):
            pitch = 100 + 40 * i + 700 * (name == "eval")
            written(root, {f"{name}_audio/{name}{i}.wav": wav(tone(pitch, seed=i))})
    labels = ("Bark,Dog", "Guitar")
    dev = [f'dev{i},"{labels[i % 2]}",{"val" if i > 3 else "train"}' for i in range(6)]
    table(root, "ground_truth/dev.csv", "fname,labels,split", dev)
    held = [f'eval{i},"{labels[i % 2]}"' for i in range(4)]
    table(root, "ground_truth/eval.csv", "fname,labels", held)
    opened = data.open(root)
    assert (opened.task, opened.classes) == ("multilabel", ("Bark", "Dog", "Guitar"))
    sizes = {name: len(split) for name, split in opened.splits.items()}
    assert sizes == {"train": 4, "val": 2, "test": 4}
    assert all(name.startswith("eval_audio") for name in opened.splits["test"].names)
    assert "ground_truth/eval.csv is the test split" in opened.note
    assert set(opened.origin["tables"]) == {"ground_truth/dev.csv", "ground_truth/eval.csv"}


def test_a_table_with_splits_and_one_with_numbers(tmp_path):
    root = written(tmp_path / "d", {f"{i}.wav": wav(tone(100 + i, seed=i)) for i in range(12)})
    rows = [
        f"{i}.wav,{'ab'[i % 2]},{('train', 'val', 'test')[i // 4]},{100.5 + i}" for i in range(12)
    ]
    table(root, "t.csv", "file,label,split,pitch", rows)
    opened = data.open(root)
    assert {name: len(split) for name, split in opened.splits.items()} == {
        "train": 4,
        "val": 4,
        "test": 4,
    }
    numbers = data.open(root, layout="sound_table:label=pitch", task="regress")
    assert (numbers.task, numbers.outputs, numbers.kind) == ("regress", ("pitch",), "values")
    with pytest.raises(DataError, match="has no column 'nothing'"):
        data.open(root, layout="sound_table:table=t.csv,label=nothing")


def test_the_spoken_digits(shared):
    opened = data.open(shared / "data" / "free_spoken_digits")
    assert (len(opened), opened.classes) == (3000, tuple("0123456789"))
    assert opened.facts["rate"] == [8000] * 3000
