"""What of an answer a saliency map explains: a fixed weighted sum that every task says in its own words."""

import pytest
import torch

from striate.errors import ArgumentError, ShapeError
from striate.tasks import explained
from striate.tasks.classify import Classify
from striate.tasks.detect import Detect
from striate.tasks.regress import Regress
from striate.tasks.segment import Segment


def scored(task, outputs, wanted=None):
    values = task.explained(outputs, len(outputs))
    found = task.chosen(values, [wanted] * len(outputs))
    return (values * found.weights).flatten(1).sum(1), found


def test_classes_by_name_number_and_answer():
    task, outputs = (
        Classify(("cat", "dog", "owl")),
        torch.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]]),
    )
    value, found = scored(task, outputs)
    assert value.tolist() == [3, 6]
    assert found.words == ("score of dog", "score of owl")
    assert found.shares
    assert scored(task, outputs, "cat")[0].tolist() == [1, 5]
    assert scored(task, outputs, 0)[0].tolist() == [1, 5]
    assert scored(task, outputs, "2")[0].tolist() == [2, 6]
    with pytest.raises(ArgumentError, match="target=owls: no such class; did you mean owl"):
        scored(task, outputs, "owls")
    with pytest.raises(ArgumentError, match="target=-1: the net answers 3, numbered 0 to 2"):
        scored(task, outputs, -1)


def test_a_class_whose_name_is_a_number_goes_before_its_place():
    assert explained.place("7", ("9", "8", "7"), 3) == 2


def test_masks_are_added_up_where_a_class_is_the_likeliest():
    outputs = torch.zeros(1, 3, 2, 2)
    outputs[0, 0] = 1
    outputs[0, 2, 0] = torch.tensor([4.0, 5.0])
    task = Segment(("ground", "tree", "house"))
    value, found = scored(task, outputs)
    assert value.item() == 9
    assert found.words[0] == "score of house, summed over the 2 places where it is the likeliest"
    assert scored(task, outputs, "ground")[0].item() == 2
    value, found = scored(task, outputs, "tree")
    assert value.item() == 0
    assert "all 4 places, since it is the likeliest at none" in found.words[0]


def test_the_surest_box_of_a_detector():
    task = Detect(("cell", "virus"), "grid", 2)
    outputs = torch.randn(2, 12, 3, 4, generator=torch.Generator().manual_seed(0))
    scores = task._composite.decode(outputs, boxes=2)[1]
    value, found = scored(task, outputs)
    assert torch.allclose(value, scores.flatten(1).amax(1))
    assert all(word.startswith("confidence of the surest box of ") for word in found.words)
    assert torch.allclose(scored(task, outputs, "virus")[0], scores[..., 1].amax(1))
    assert not found.shares


def test_numbers_are_explained_in_their_own_unit():
    task = Regress(("age", "size"), (40.0, 2.0), (10.0, 0.5))
    outputs = torch.tensor([[1.0, -2.0]])
    value, found = scored(task, outputs)
    assert (value.item(), found.words[0]) == (50, "value of age")
    assert scored(task, outputs, "size")[0].item() == 1


def test_outputs_without_numbers_are_refused():
    with pytest.raises(ShapeError, match="expected a tensor of numbers with a row an item"):
        explained.numbers_of({"a": torch.zeros(3, dtype=torch.int64)}, 3)
    nested = {"a": [1, (torch.zeros(2, 5), torch.ones(3, 4))]}
    assert explained.numbers_of(nested, 3).shape == (3, 4)


def test_probabilities_stay_and_scores_become_some():
    shares = torch.tensor([[0.2, 0.8]])
    assert torch.equal(explained.probabilities(shares), shares)
    assert torch.allclose(explained.probabilities(shares + 1), shares.softmax(1))
