"""What a recipe leaves open is settled from the data."""

import pytest

import striate
from striate.errors import ArgumentError
from striate.inputs import Pictures
from striate.inputs.pictures import stored_size
from striate.runs.config import Config, NetSpec
from striate.training import read_recipe
from striate.training.defaults import with_defaults


def test_digits_get_lenet5():
    done = with_defaults(read_recipe(), striate.open("digits"))
    assert (done.net, done.size, done.color, done.batch, done.epochs) == (
        "lenet5",
        (28, 28),
        "grey",
        64,
        20,
    )
    assert (done.augment, done.lr) == ("shift", pytest.approx(0.004))
    assert with_defaults(done, striate.open("digits")) == done


def test_photos_get_resnet18_crops_and_flips(shared):
    data = striate.open(shared / "data" / "clothing")
    done = with_defaults(read_recipe(), data)
    assert (done.net, done.size, done.color, done.augment) == (
        "resnet18",
        (224, 224),
        "rgb",
        "crop+flip",
    )
    assert stored_size(done) == (256, 256)
    assert stored_size(with_defaults(read_recipe("quick", {"augment": "none"}), data)) == (224, 224)


def test_auto_may_be_one_word_of_several(shapes):
    data = striate.open(shapes)
    assert (
        with_defaults(read_recipe("quick", {"augment": "auto+mixup"}), data).augment
        == "shift+mixup"
    )
    assert read_recipe("strong").augment == "auto+mixup:0.2"
    with pytest.raises(ArgumentError, match=r"shift\+crop: shift moves a batch as one"):
        with_defaults(read_recipe("quick", {"augment": "auto+crop"}), data)


def test_what_is_said_stays(shapes):
    said = {
        "net": "mlp",
        "loss": "cross_entropy",
        "size": 20,
        "color": "rgb",
        "batch": 4,
        "epochs": 3,
        "optimizer": "adamw",
        "lr": 0.1,
        "augment": "none",
        "weight_decay": 0.01,
    }
    recipe = read_recipe("quick", said)
    assert with_defaults(recipe, striate.open(shapes)) == recipe


def test_options_of_a_net_are_settings(shapes, tmp_path):
    recipe = read_recipe("quick", {"net": "lenet5", "act": "sigmoid", "pool": "avg", "epochs": 1})
    assert recipe.options == {"act": "sigmoid", "pool": "avg"}
    run = striate.train(shapes, "lenet5", out=tmp_path, epochs=1, options={"act": "tanh"})
    assert type(striate.Run.load(run.path).net.get_submodule("act1")).__name__ == "Tanh"


def test_light_nets_learn_by_muon_and_what_is_said_wins(shapes):
    data = striate.open(shapes)
    assert with_defaults(read_recipe("quick", {"net": "lenet5"}), data).optimizer == "muon"
    assert with_defaults(read_recipe("quick", {"net": "resnet18"}), data).optimizer == "adamw"
    assert with_defaults(read_recipe("quick", {}), data, own_net=True).optimizer == "adamw"
    assert with_defaults(read_recipe("lecture", {"net": "lenet5"}), data).optimizer == "sgd"


def test_weights_of_a_run_bring_their_net_with_its_width_and_options(shapes, tmp_path):
    data = striate.open(shapes)
    spec = NetSpec("resnet18", width=0.25, options={"drop_rate": 0.2})
    fed = Pictures((28, 28), (28, 28), "grey", (0.5,), (0.5,))
    about = {"origin": {}, "fingerprint": "", "splits": {}}
    Config(spec, "classify", data.classes, fed, about, {}, {}, "now").write(tmp_path)

    def settled(**said):
        done = with_defaults(read_recipe("finetune", {"weights": str(tmp_path), **said}), data)
        return done.net, done.width, done.options

    assert settled() == ("resnet18", 0.25, {"drop_rate": 0.2})
    assert settled(net="resnet18") == ("resnet18", 0.25, {"drop_rate": 0.2})
    assert settled(width=0.5, options={"drop_rate": 0.1}) == ("resnet18", 0.5, {"drop_rate": 0.1})
    assert settled(net="resnet34") == ("resnet34", 1.0, {})
