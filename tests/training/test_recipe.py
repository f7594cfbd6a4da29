"""Recipes: what is taken, and what is said of what is not."""

import pytest

from striate.errors import RecipeError
from striate.text import duration, in_seconds
from striate.training import Recipe, check, read_recipe
from striate.training.recipe import NAMED


def test_text_becomes_the_type_of_its_key():
    recipe = read_recipe(
        "quick", {"epochs": "3", "lr": "1e-2", "size": "28x32", "ignore": "*.tif,b"}
    )
    assert (recipe.epochs, recipe.lr, recipe.size, recipe.ignore) == (
        3,
        0.01,
        (28, 32),
        ("*.tif", "b"),
    )
    assert read_recipe("quick", {"size": 64}).size == (64, 64)
    assert read_recipe("quick", {"clip": "none"}).clip is None


def test_what_a_recipe_prints_can_be_typed():
    settings = {
        "net": "lenet5",
        "milestones": "[0.5, 0.8]",
        "gamma": "[0.1,0.2]",
        "freeze": "[conv1,conv2]",
        "ignore": "[ab]*.png,[0-9]",
        "options": "{act: sigmoid, pool: avg}",
    }
    recipe = read_recipe("quick", settings)
    assert recipe.milestones == (0.5, 0.8)
    assert recipe.gamma == (0.1, 0.2)
    assert recipe.freeze == ("conv1", "conv2")
    assert recipe.ignore == ("[ab]*.png", "[0-9]")
    assert recipe.options == {"act": "sigmoid", "pool": "avg"}
    assert read_recipe("quick", {"freeze": "[]"}).freeze == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"epoch": "3"},
            r"no setting 'epoch': did you mean epochs; also near: head_epochs, patch\?",
        ),
        (
            {"net": "resnet18", "path": "plain"},
            r"resnet18 has no option 'path': it is one of resnet20_cifar, .*highway_fc; those of resnet18: drop_rate",
        ),
        ({"net": "resnet18", "pathh": "plain"}, r"no setting 'pathh': did you mean patch"),
        (
            {"epochs": "three"},
            r"epochs=three: expected a whole number such as epochs=10 \(passes over the data\)",
        ),
        ({"epochs": "0"}, r"epochs='0': input should be greater than or equal to 1 \(passes"),
        (
            {"optimizer": "adam"},
            r"optimizer=adam: did you mean adamw\? There are: adamw, muon, sgd",
        ),
        (
            {"augment": "flipp"},
            r"augment=flipp: 'flipp' is no step; did you mean flip; also near: flip_depth\?",
        ),
        (
            {"options": "act"},
            r"options=act: write each option as a word of its own, such as act=tanh$",
        ),
        (
            {"budget": "abc"},
            r"budget=abc: expected a time such as 90s, 10m, 1\.5h or 1d; a number alone is seconds$",
        ),
        ({"budget": "1h30"}, r"budget=1h30: expected a time such as 90s"),
        ({"budget": "inf"}, r"budget=inf: expected a time such as 90s"),
        ({"seconds": "soon"}, r"seconds=soon: expected a time such as 90s"),
        ({"budget": "-3m"}, r"budget='-3m': input should be greater than 0"),
        ({"lr": "-1"}, r"lr='-1': input should be greater than 0"),
        ({"size": "a"}, r"size=a: expected a whole number|size=\['a', 'a'\]"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe("quick", settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("45sec", 45),
        ("30 seconds", 30),
        ("10m", 600),
        ("30min", 1800),
        ("30 Minutes", 1800),
        ("1.5h", 5400),
        ("2hrs", 7200),
        ("1 hour", 3600),
        ("3hours", 10_800),
        ("1d", 86_400),
        ("2 days", 172_800),
        ("1h30m", 5400),
        ("2\N{NO-BREAK SPACE}h 05\N{NO-BREAK SPACE}min", 7500),
        ("1e3", 1000),
    ],
)
def test_times(words, seconds):
    assert read_recipe("quick", {"budget": words}).budget == seconds
    assert read_recipe("quick", {"seconds": words}).seconds == seconds


def test_a_time_is_written_as_it_is_read():
    for seconds in (6.2, 200, 7500):
        assert in_seconds(duration(seconds)) == seconds
    help_line = Recipe.model_fields["budget"].description or ""
    named = help_line.split(": ")[1].split(";")[0].split(", ")
    assert [in_seconds(word) for word in named] == [90, 600, 5400]


def test_files(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 3\nlr: 0.01\n")
    assert read_recipe(str(path), {"epochs": 5}) == Recipe(epochs=5, lr=0.01)
    for text, message in [
        ("- a\n", "holds list; expected one 'key: value' a line"),
        ("just text", "holds str; expected one 'key: value' a line"),
        ("a: [", "cannot be read as YAML"),
        ("epochs: [1, 2]", r"epochs=\[1, 2\]: expected a whole number"),
        ("!!python/object/apply:os.system ['true']", "cannot be read as YAML"),
    ]:
        path.write_text(text)
        with pytest.raises(RecipeError, match=message):
            read_recipe(str(path))
    with pytest.raises(RecipeError, match="there is no such file"):
        read_recipe(str(tmp_path / "none.yaml"))
    with pytest.raises(RecipeError, match=r"recipe=quik: did you mean quick\?"):
        read_recipe("quik")


def test_what_is_written_is_read_back(tmp_path):
    recipe = read_recipe("quick", {"epochs": 2, "size": "28x30", "options": {"act": "tanh"}})
    path = tmp_path / "args.yaml"
    path.write_text(recipe.as_yaml())
    assert read_recipe(str(path)) == recipe
    assert len(recipe.explained().splitlines()) == len(recipe.as_yaml().splitlines())


def test_python_takes_the_settings_of_the_recipe():
    from striate.workbench.train import Settings

    assert set(Settings.__annotations__) == set(Recipe.model_fields) - {"net"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"nesterov": True, "optimizer": "sgd", "momentum": 0},
            "nesterov=true looks ahead along the momentum, and",
        ),
        ({"nesterov": True, "optimizer": "adamw"}, "optimizer=adamw has none such"),
        (
            {"head_epochs": 3, "epochs": 3},
            "head_epochs=3 of epochs=3 leaves none for the other layers",
        ),
        (
            {"accumulate": 8, "batch": 4},
            "accumulate=8: batch=4 has too few items to be cut so often",
        ),
        ({"devices": 2, "batch": 1}, "devices=2: batch=1 has no item for each process"),
        (
            {"gamma": "0.5,0.1", "schedule": "plateau"},
            "gamma has 2 factors: schedule=plateau takes one",
        ),
        (
            {"gamma": "0.5,0.1", "schedule": "step", "milestones": "0.2,0.4,0.6"},
            "gamma has 2 factors for 3 milestones",
        ),
        (
            {"schedule": "plateau", "plateau": 5, "patience": 5},
            "patience=5 ends the training before schedule=plateau",
        ),
    ],
)
def test_settings_that_cannot_work_together_are_refused_before_data_are_read(
    settings, said, tmp_path
):
    with pytest.raises(RecipeError) as caught:
        check(read_recipe("quick", settings), tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_named_recipes_work_together(name, tmp_path):
    check(read_recipe(name), tmp_path)
