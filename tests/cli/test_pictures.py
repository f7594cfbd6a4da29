"""`striate see NAME` follows from a file of `see/pictures`."""

import json
from pathlib import Path

import click
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import striate
from striate import cli, see
from striate.cli.pictures import FILES, command
from striate.models import catalog

NAMES = sorted(path.stem for path in FILES.glob("[a-z]*.py"))


@pytest.fixture
def status(capsys):
    def run(*words):
        code = cli.main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def files(tmp_path):
    """Two grey pictures, and one that is none."""
    for i in range(2):
        pixels = torch.randint(0, 255, (32, 32), generator=torch.Generator().manual_seed(i))
        Image.fromarray(pixels.byte().numpy()).save(tmp_path / f"{i}.png")
    (tmp_path / "none.png").write_text("no picture")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_its_function_command_and_help(name, status):
    assert getattr(see, name).__module__ == f"striate.see.pictures.{name}"
    made = command(name)
    options = [each for each in made.params if isinstance(each, click.Option)]
    lacking = [option.name for option in options if not option.help]
    assert not lacking, "what the docstring's Args say is the help"
    assert status("see", made.name, "--help")[0] == 0


def test_the_list_has_them_all(status):
    said = status("see", "--help")[1]
    assert all(f"  {name.replace('_', '-')} " in said for name in [*NAMES, "architecture"])


def test_a_picture_is_written_in_every_form(status, files):
    out = [files / f"k{ending}" for ending in (".png", ".html")]
    words = [word for path in out for word in ("--out", path)]
    code, said, err = status("see", "kernels", "lenet5", "--limit", 4, *words, "--json")
    document = json.loads(said)
    assert (code, document["net"], document["what"]) == (0, "lenet5", "kernels")
    assert document["files"] == [str(path) for path in out]
    assert document["shown"] == 4
    assert "random" in err, "a net without learned weights says so"
    with Image.open(out[0]) as picture:
        assert picture.size[0] > 100
    assert out[1].read_text().startswith("<!doctype html>")


def test_files_are_read_as_the_net_takes_them(status, files):
    code, said, _ = status("see", "maps", "lenet5", files / "0.png", files / "1.png", "--json")
    document = json.loads(said)
    assert code == 0
    assert document["items"] == [str(files / "0.png"), str(files / "1.png")]
    assert document["stages"][0]["shape"] == [6, 28, 28]


def test_weights_of_a_file(status, files):
    net = catalog.build("lenet5", generator=torch.Generator().manual_seed(3))
    save_file(net.state_dict(), files / "w.safetensors")
    given = status("see", "kernels", "lenet5", "--weights", files / "w.safetensors", "--json")
    first = json.loads(given[1])
    assert first["max"] == see.kernels(net).high
    assert "random" not in given[2]
    assert "tensors from" in given[2]


@pytest.mark.parametrize("name", ["maximise", "invert"])
def test_weights_of_a_grey_net_read_pictures_of_0_to_1(name, status, files):
    """And are not taken for ImageNet's three channels."""
    net = catalog.build("lenet5", generator=torch.Generator().manual_seed(3))
    save_file(net.state_dict(), files / "w.safetensors")
    words = [files / "0.png"] if name == "invert" else []
    code, _, err = status(
        "see", name, "lenet5", *words, "--weights", files / "w.safetensors", "--steps", 2
    )
    assert code == 0
    assert err.count("read as 0 to 1, since") == 1


def test_weights_in_a_run_leave_how_it_reads_pictures(status, files, tmp_path):
    run = striate.train("digits", net="lenet5", epochs=1, out=tmp_path / "runs", plan="default")
    save_file(run.net.state_dict(), files / "w.safetensors")
    words = ("see", "maps", run.path, files / "0.png")
    plain = json.loads(status(*words, "--json")[1])
    code, said, err = status(*words, "--weights", files / "w.safetensors", "--json")
    assert code == 0
    assert "normalised" not in err
    assert json.loads(said)["stages"] == plain["stages"]


def test_weights_of_the_first_layers_alone(status, files):
    """What a file leaves out at the end is said; what it leaves out in between is refused."""
    net = catalog.build("lenet5", generator=torch.Generator().manual_seed(3))
    first = {k: v for k, v in net.state_dict().items() if k.startswith("conv")}
    save_file(first, files / "first.safetensors")
    code, out, err = status(
        "see", "kernels", "lenet5", "--weights", files / "first.safetensors", "--json"
    )
    assert code == 0
    assert json.loads(out)["max"] == see.kernels(net).high
    assert "fc1.weight on, keep their first weights" in err
    gap = {k: v for k, v in net.state_dict().items() if not k.startswith("conv2")}
    save_file(gap, files / "gap.safetensors")
    code, _, err = status("see", "kernels", "lenet5", "--weights", files / "gap.safetensors")
    assert code == 5
    assert "conv2" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["kernels", "lenet5", "--layer", "cnv1"], "did you mean conv1"),
        (["kernels", "lenet"], "did you mean lenet1"),
        (["kernels", "lenet5", "--limit", "many"], "many"),
        (["kernels", "lenet5", "--out", "a.docx"], "end it in .html or .png"),
        (["maps", "lenet5"], "FILE"),
        (["maps", "lenet5", "none.png"], "none.png"),
        (["kernel", "lenet5"], "kernel"),
        (["kernels", "lenet5", "--weights", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_wrong_words(words, says, status, files, monkeypatch):
    monkeypatch.chdir(files)
    code, _, err = status("see", *words)
    assert code in (2, 3, 5)
    assert says in err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if "random" not in line]) == 1


def test_a_picture_of_an_unknown_name_is_no_file_read(status):
    assert status("see", "../kernels", "lenet5")[0] == 2
    assert not Path("kernels").exists()


@pytest.mark.parametrize(
    ("words", "net", "layer", "items"),
    [
        ("architecture lenet5", "lenet5", None, []),
        ("arithmetic lenet5 0.png --layer conv2 --at 5,0,0", "lenet5", "conv2", ["0.png"]),
        ("arithmetic lenet5 0.png --layer conv2 --at 5,0,0 --walk", "lenet5", "conv2", ["0.png"]),
        ("convolution", [], None, []),
        ("convolution --like lenet5:conv1 --backward", "lenet5", "conv1", []),
        ("history depth", [], None, []),
        ("history cost", [], None, []),
        ("kernels lenet5 --layer conv2", "lenet5", "conv2", []),
        ("maps lenet5 0.png 1.png", "lenet5", None, ["0.png", "1.png"]),
        ("handmade 0.png", [], None, ["0.png"]),
        ("batch digits --items 4", [], None, []),
    ],
)
def test_every_picture_says_what_it_is_of(status, files, monkeypatch, words, net, layer, items):
    monkeypatch.chdir(files)
    typed = words.split()
    code, said, _ = status("see", *typed, "--out", "drawn.html", "--json")
    document = json.loads(said)
    assert (code, document["what"], document["net"]) == (0, typed[0], net)
    assert (document.get("layer"), document["items"]) == (layer, items)
    assert document["files"] == ["drawn.html"]
