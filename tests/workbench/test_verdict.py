"""The verdict of a report: each rule on a synthetic training that it is for, and on one that it is not."""

import math
from dataclasses import replace

import pytest

from striate.metrics import Interval
from striate.workbench.report import verdict
from striate.workbench.report.verdict import Began, Evidence, again, judged

# A training against which nothing speaks.
SOUND = Evidence(
    score="accuracy",
    title="accuracy",
    value=Interval(0.9, 0.85, 0.94),
    items=200,
    constant=0.1,
    trained=0.92,
    losses=[1.0, 0.5, 0.4, 0.399],
    held_losses=[1.1, 0.6, 0.5, 0.499],
    command="striate train DATA --net lenet5 epochs=4",
    run="runs/classify/a run",
    rate=0.1,
)
BEGAN = Began("resnet18", 0.7, 0.9, "200 held-out pictures", "its first weights")


def test_a_sound_training_is_to_be_tried():
    found = judged(SOUND)
    assert found.others == []
    assert found.first == (
        (
            "Ready to be tried: accuracy 90.0\xa0% (85.0\xa0% to 94.0\xa0%) on 200 held-out pictures, against 10.0\xa0% for an "
            "answer without a net."
        ),
        "striate predict 'runs/classify/a run' FILE",
        "good",
    )
    assert judged(replace(SOUND, own=True)).first.command.endswith(" --net package.module:factory")
    assert judged(replace(SOUND, onward="striate train x")).first.command == "striate train x"
    assert judged(replace(SOUND, value=Interval(1.0, 0.98, 1.0))).first.words.startswith(
        "No mistake"
    )
    assert judged(replace(SOUND, value=Interval(0.4, 0.3, 0.5), trained=0.4)).first.tone == "open"


# What differs from the sound one; the rule; a word of its sentence; what its command ends with; how it is shown.
CASES = {
    "nothing held out": (
        {"items": 0},
        verdict.unknown,
        "No held-out item tells",
        "--net lenet5 epochs=4 val=0.2",
        "weak",
    ),
    "no value": ({"value": Interval(math.nan)}, verdict.unknown, "not known", "val=0.2", "weak"),
    "nan at the end": (
        {"losses": [1.0, math.nan]},
        verdict.diverged,
        "ended as no number",
        "epochs=4 lr=0.01",
        "weak",
    ),
    "below a constant answer": (
        {"value": Interval(0.08, 0.05, 0.12)},
        verdict.useless,
        "is no better than",
        "--find-lr",
        "weak",
    ),
    "interval reaches a constant answer": (
        {"value": Interval(0.12, 0.09, 0.16)},
        verdict.useless,
        "is not clearly better than",
        "--find-lr",
        "weak",
    ),
    "below it and still falling": (
        {"value": Interval(0.08, 0.05, 0.12), "losses": [1.0, 0.5], "held_losses": [1.0, 0.5]},
        verdict.useless,
        "is no better than",
        "epochs=10",
        "weak",
    ),
    "an error above that of a constant answer": (
        {
            "score": "mae",
            "title": "mean absolute error",
            "lower": True,
            "value": Interval(3.0, 2.5, 3.5),
            "constant": 2.0,
            "trained": None,
        },
        verdict.useless,
        "3.0000 (2.5000 to 3.5000), against 2.0000",
        "--find-lr",
        "weak",
    ),
    "few items": ({"items": 49}, verdict.few, "Only 49 held-out pictures", "val=0.4", "weak"),
    "few test items": ({"items": 49, "split": "test"}, verdict.few, "Only 49 test", "", "weak"),
    "few items of folds": (
        {"items": 49, "command": "striate train x --folds 3"},
        verdict.few,
        "Only 49",
        "",
        "weak",
    ),
    "still falling": (
        {"losses": [1.0, 0.98], "held_losses": [1.0, 0.98]},
        verdict.unfinished,
        "still fell by 2.0\xa0% in the last of 2 epochs",
        "striate train DATA --net lenet5 epochs=10",
        "open",
    ),
    "still falling for long": (
        {"losses": [1.0] * 19 + [0.9], "held_losses": []},
        verdict.unfinished,
        "in the last of 20 epochs",
        "epochs=40",
        "open",
    ),
    "still falling within a budget": (
        {"losses": [1.0, 0.9], "held_losses": [], "budget": 60.0},
        verdict.unfinished,
        "still fell",
        "epochs=4 budget=120s",
        "open",
    ),
    "one epoch": ({"losses": [1.0]}, verdict.unfinished, "One epoch does not", "epochs=10", "open"),
    "learned by heart": (
        {"trained": 1.0},
        verdict.overfitted,
        "accuracy 100.0\xa0% there, 90.0\xa0% here (85.0\xa0% to 94.0\xa0%)",
        "epochs=4 augment=rotate+scale",
        "open",
    ),
    "learned by heart with views": (
        {"trained": 1.0, "augment": "flip+rotate:15"},
        verdict.overfitted,
        "better than new ones",
        "augment=flip+rotate:15+scale",
        "open",
    ),
    "learned by heart from random weights": (
        {"trained": 1.0, "published": "torchvision/resnet18"},
        verdict.overfitted,
        "better than new ones",
        "weights=published",
        "open",
    ),
    "training made it worse": (
        {"began": replace(BEGAN, before=0.95, after=0.9)},
        verdict.fine_tuned,
        (
            "95.0\xa0% before (its first weights), 90.0\xa0% after, both on the same 200 held-out pictures. "
            "The training did harm."
        ),
        "lr=0.01",
        "open",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_speaks_where_it_is_for_and_is_silent_elsewhere(case):
    changes, rule, words, command, tone = CASES[case]
    found = rule(replace(SOUND, **changes))
    assert found is not None
    assert words in found.words
    assert found.command.endswith(command)
    assert bool(found.command) == bool(command)
    assert found.tone == tone
    assert rule(SOUND) is None
    assert judged(replace(SOUND, **changes)).first == found  # nothing else outweighs it


@pytest.mark.parametrize(
    "changes",
    [
        {"items": 50},
        {"constant": None},
        {"losses": [1.0, 0.991], "held_losses": [1.0, 0.5]},  # just under one per cent
        {"losses": [1.0, 0.5], "held_losses": [1.0, 1.1]},  # more epochs would not help
        {"losses": [], "held_losses": []},
        {"losses": [0.0, 0.0], "held_losses": [None, None]},
        {"trained": 0.94},  # the end of the interval itself
        {"trained": None},
        {"trained": 0.99, "value": Interval(0.9)},  # without an interval nothing is beyond it
        {"losses": [math.nan, 1.0, 0.999], "held_losses": []},  # it found back
    ],
)
def test_what_is_within_the_bounds_is_no_finding(changes):
    assert judged(replace(SOUND, **changes)).first.tone == "good"
    assert judged(replace(SOUND, **changes)).others == []


@pytest.mark.parametrize(
    ("began", "words"),
    [
        (
            BEGAN,
            "accuracy 70.0\xa0% before (its first weights), 90.0\xa0% after, both on the same 200",
        ),
        (Began("resnet18"), "how these weights answer alone is not known"),
        (replace(BEGAN, before=0.91, after=0.9), "no more than chance would change"),
    ],
)
def test_a_fine_tuned_net_says_from_where_below_the_verdict(began, words):
    found = judged(replace(SOUND, began=began))
    assert found.first.words.startswith("Ready to be tried")
    assert [words in one.words for one in found.others] == [True]


def test_small_faults_of_a_good_net_are_listed_and_do_not_lead():
    good = replace(
        SOUND,
        value=Interval(0.995, 0.98, 0.998),
        trained=1.0,
        losses=[0.02, 0.01],
        held_losses=[0.03, 0.02],
    )
    found = judged(good)
    assert found.first.tone == "good"
    assert [one.words.split(":")[0] for one in found.others] == [
        "Not trained to its end",
        "It knows its training pictures better than new ones",
    ]


def test_a_net_without_mistakes_is_not_told_to_go_on():
    found = judged(
        replace(
            SOUND, value=Interval(1.0, 0.98, 1.0), trained=1.0, losses=[1.0, 0.5], held_losses=[]
        )
    )
    assert found.first.words.startswith("No mistake")
    assert found.others == []


@pytest.mark.parametrize(
    ("command", "changes", "said"),
    [
        (
            "striate train 'my data' --net x lr=1",
            {"lr": "0.1"},
            "striate train 'my data' --net x lr=0.1",
        ),
        ("striate train d --folds 3", {"epochs": "4"}, "striate train d --folds 3 epochs=4"),
        ("striate train d", {}, "striate train d"),
    ],
)
def test_a_command_is_given_again_with_changes(command, changes, said):
    assert again(command, **changes) == said


def test_every_rule_is_tried_here():
    assert {case[1] for case in CASES.values()} == set(verdict.RULES)
