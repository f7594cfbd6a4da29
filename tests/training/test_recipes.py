"""Named recipes: each is a recipe, says where it comes from, and prints itself as one."""

import pytest
import yaml

from striate.training import NAMED, read_recipe, shown


@pytest.mark.parametrize("name", NAMED)
def test_a_named_recipe_prints_itself_with_its_source(name, tmp_path):
    recipe = read_recipe(name)
    text = shown(name, recipe)
    assert text.startswith(f"# recipe {name}: ")
    head = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    assert max(map(len, head)) < 100
    assert " ".join(map(str.strip, head)).startswith(f"recipe {name}: {NAMED[name].source}")
    path = tmp_path / "again.yaml"
    path.write_text(text)
    assert read_recipe(str(path)) == recipe
    assert set(yaml.safe_load(text)) == set(type(recipe).model_fields)
    for key, value in NAMED[name].settings.items():
        got = getattr(recipe, key)
        assert got in (value, (value,))


def test_there_are_the_named_ones():
    assert list(NAMED) == [
        "quick", "lecture", "lenet1998", "alexnet2012", "resnet2015", "strong", "linear_probe", "finetune",
    ]  # fmt: skip


def test_the_papers_figures():
    """Section 5 of the AlexNet paper, section 4.2 of the ResNet paper."""
    alexnet, resnet = read_recipe("alexnet2012"), read_recipe("resnet2015")
    assert (alexnet.batch, alexnet.momentum, alexnet.weight_decay, alexnet.lr) == (
        128, 0.9, 0.0005, 0.01,
    )  # fmt: skip
    assert (resnet.batch, resnet.momentum, resnet.weight_decay, resnet.lr) == (
        128, 0.9, 0.0001, 0.1,
    )  # fmt: skip
    assert (alexnet.augment, read_recipe("strong").augment) == ("crop+flip+pca", "auto+mixup:0.2")
    # 64k steps of 128 over the 45k pictures that training keeps
    assert resnet.epochs == round(64_000 * 128 / 45_000)
    assert resnet.milestones == (32 / 64, 48 / 64)


def test_a_setting_changes_a_named_recipe():
    recipe = read_recipe("resnet2015", {"epochs": "3", "milestones": "0.2,0.4"})
    assert (recipe.epochs, recipe.milestones, recipe.lr) == (3, (0.2, 0.4), 0.1)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (7, 7)])
def test_a_budget_is_a_time(text, seconds):
    assert read_recipe("quick", {"budget": text}).budget == seconds
