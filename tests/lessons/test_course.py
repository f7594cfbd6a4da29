"""Every lesson runs, in each language, and its words are true of what it shows."""

import json
import re
import time
from typing import Any

import pytest
from torch import nn

import striate
from lesson_steps import shown
from striate import lessons
from striate.errors import UsageError
from striate.lessons.catalogue import LANGUAGES, TEXTS, Words, read
from striate.lessons.course.receptive_fields import field_of
from striate.lessons.lesson import Lesson, told
from striate.lessons.shown import Grids, Pictures, Table

PLACE = re.compile(r"\{[^}]*\}")
NO_STEPS = {"title", "words"}


def texts(name):
    return {key: entry for key, entry in read(name).items() if key != "words"}


def keys(lesson):
    """Texts that a lesson needs; those after a step may be left out."""
    steps = [step.__name__ for step in lesson.steps]
    return {"title", *steps, *(e.function for e in lesson.exercises)}, {f"{s}_after" for s in steps}


@pytest.mark.parametrize("name", lessons.NAMES)
def test_a_lesson_runs_in_time_and_each_language_fills_its_places(name):
    began = time.process_time()
    steps = shown(name)
    assert time.process_time() - began < 20, "seconds of a processor, however busy it is"
    for language in LANGUAGES:
        words = Words(name, language)
        for step, found in steps.items():
            assert found.worded(words).as_text()
            assert "<" in found.worded(words).as_html()
            if words.has(f"{step}_after"):
                assert "{" not in words.text(f"{step}_after", found.numbers)
    json.dumps([found.as_dict() for found in steps.values()])


@pytest.mark.parametrize("name", ["common", *lessons.NAMES])
def test_every_text_is_there_in_each_language_with_the_same_places(name):
    for key, entry in texts(name).items():
        assert set(entry) == set(LANGUAGES), key
        places = [sorted(PLACE.findall(entry[language])) for language in LANGUAGES]
        assert places[0] == places[1] == places[2], key
        assert all(text.strip() for text in entry.values()), key
    for english, others in read(name).get("words", {}).items():
        assert len(others) == 2, english
        assert all(isinstance(each, str) for each in others), english


@pytest.mark.parametrize("name", lessons.NAMES)
def test_no_text_is_missing_and_none_is_left_over(name):
    needed, may = keys(lessons.find(name))
    assert needed <= set(texts(name))
    assert set(texts(name)) <= needed | may


def test_every_catalogue_is_of_a_lesson():
    assert {path.stem for path in TEXTS.glob("*.yaml")} == {"common", *lessons.NAMES}


def test_every_mistake_has_a_name_in_each_language():
    named = {
        f"mistake_{m.name}" for one in lessons.every() for e in one.exercises for m in e.mistakes
    }
    assert named == {key for key in read("common") if key.startswith("mistake_")}


@pytest.mark.parametrize("name", lessons.NAMES)
def test_every_word_of_a_header_or_below_a_picture_is_translated(name):
    known = read(name).get("words", {}).keys() | read("common")["words"].keys()
    for found in shown(name).values():
        for part in found.parts:
            words = []
            if isinstance(part, Table):
                words = part.header
            elif isinstance(part, Grids):
                words = part.grids
            elif isinstance(part, Pictures):
                words = part.pictures
            for word in words:
                if re.search("[a-z]{4}", word) and not word.startswith("unit "):
                    assert word in known, word


def test_functions_of_exercises_have_names_of_their_own():
    named = [e.function for one in lessons.every() for e in one.exercises]
    assert len(named) == len(set(named))


def test_an_unknown_lesson_names_those_near():
    with pytest.raises(UsageError, match="no lesson 'convolutoin'; did you mean convolution"):
        lessons.find("convolutoin")


def test_a_whole_lesson_as_text_and_as_json():
    whole = told(lessons.find("stride"), "pl")
    assert whole.as_text().startswith("Krok\n====\n")
    assert "def strided_conv(x, w, stride):" in whole.as_text()
    assert [each["step"] for each in whole.as_dict()["steps"]] == list(shown("stride"))


def test_what_one_step_shows_is_given_to_the_words_after_it():
    part = lessons.find("convolution").part(lessons.find("convolution").steps[1])
    assert "make 6 windows" in part.after


# What the words say of the numbers.


def table(name, step, at=-1) -> list[list[Any]]:
    found = shown(name)[step].parts[at]
    assert isinstance(found, Table)
    return [list(row) for row in found.rows]


def share(text):
    return float(str(text).rstrip("%")) / 100


def test_predicted_sizes_are_those_computed():
    for name, step in (("padding", "sizes"), ("dilation", "sizes")):
        assert all(row[-1] == row[-2] for row in table(name, step))
    assert all(row[4] == row[5] for row in table("stride", "sizes"))
    assert all(row[4] == row[5] for row in table("alexnet", "sizes"))


def test_a_changed_pixel_changes_one_window_and_all_of_an_mlp():
    (_, outputs, changed, weights), (_, all_of, every, many) = table("convolution", "one_pixel")
    assert (outputs, changed, all_of, every) == (36, 9, 36, 36)
    assert many == 256 * weights


def test_a_maximum_keeps_a_white_circle_and_loses_a_black_one():
    numbers = shown("max_pooling")["white_circle"].numbers
    assert numbers["kept"] == 1
    assert numbers["dimmed"] < 0.5
    assert numbers["dark"] == 1


def test_rotation_is_robust_and_not_invariant():
    rows = {name: (share(a), share(b)) for name, a, b in table("equivariance", "rotation_measured")}
    assert rows["turned by 5 degrees"][0] > 0.9
    assert rows["turned by 90 degrees"][0] < 0.3
    assert rows["turned by 90 degrees"][1] > 0.8
    assert rows["shift by 1"][0] < rows["turned by 15 degrees"][0]


def test_only_shifts_pass_through_a_convolution():
    shift, *others = (row[1] for row in table("equivariance", "moves_with"))
    assert shift < 1e-4
    assert min(others) > 1


def test_blue_pictures_are_ships():
    assert shown("linear_classifier")["blue_is_a_ship"].numbers["share"] > 0.9
    usual, swapped = (share(row[1]) for row in table("linear_classifier", "blue_is_a_ship"))
    assert swapped < 0.2
    assert usual > 0.9


def test_lenet5_is_counted_as_it_was_printed():
    assert all(row[2] == row[3] and row[4] == row[5] for row in table("lenet5", "by_its_table"))
    numbers = shown("lenet5")["who_reads_whom"].numbers
    assert (numbers["reads"], numbers["params"], numbers["full"]) == (60, 1516, 2416)


def test_shape_comes_back_and_values_do_not():
    assert shown("convolution_matrix")["shape_not_values"].numbers["off"] > 1


def test_the_gradient_is_the_slope():
    numbers = shown("backward")["small_step"].numbers
    assert numbers["slope"] == pytest.approx(numbers["gradient"], rel=1e-3)


def test_an_object_half_covered_has_an_iou_of_a_third():
    rows = {name: value for name, value, _ in table("losses", "one_third")}
    assert rows["moved by half"] == "0.333"
    assert table("losses", "best_constant") == [["L2", "0.30"], ["L1", "0.00"]]


def test_without_batch_norm_the_optimiser_circles():
    rows = {(row[0], row[1]): row for row in table("learning_rates", "on_a_real_surface")}
    assert float(rows["without", 5.0][2]) > 1
    assert float(rows["with batch norm", 5.0][2]) < 0.01
    assert share(rows["without", 5.0][4]) > 0.3


def test_batch_norm_learns_where_the_same_net_without_does_not():
    for _, without, with_it in table("batch_norm", "rates"):
        assert share(without) < 0.2
        assert share(with_it) > 0.5


def test_carried_along_learns_and_plain_does_not():
    plain, highway, residual = (
        share(row[1]) for row in table("vanishing_gradients", "do_they_learn")
    )
    assert plain < 0.2 < min(highway, residual)
    assert table("vanishing_gradients", "first_layer")[-1][1] == "0.0e+00"


def test_early_layers_move_less():
    for _, first, middle, last in table("fine_tuning", "which_layers_move"):
        assert float(first) >= float(middle) >= float(last)
    tuned, scratch = table("fine_tuning", "which_layers_move")
    assert float(tuned[3]) > float(scratch[3])
    assert share(table("fine_tuning", "forgetting")[1][1]) < 0.05
    scratch, tuned, head = (share(cell) for cell in table("fine_tuning", "few_items")[0][1:])
    assert scratch < tuned < head


def test_marks_are_learned_and_the_audit_finds_them():
    for step in ("snow", "crosses"):
        learned, without, swapped = (share(row[1]) for row in table("shortcuts", step))
        assert learned > 0.95
        assert 0.85 > without > swapped
    assert table("shortcuts", "found_by_the_audit")[0][:2] == ["fail", "one cell at the border"]


def test_noise_does_little_and_the_chosen_direction_much():
    _, noise, one, ten = (
        share(each) if i else each
        for i, each in enumerate(table("adversarial", "against_noise")[-1])
    )
    assert noise > 0.9
    assert 0.4 > one >= ten - 0.02
    numbers = shown("adversarial")["one_digit"].numbers
    assert numbers["before"] == numbers["truth"] != numbers["after"]
    plain, hardened = table("adversarial", "learning_from_them")
    assert share(hardened[2]) > share(plain[2])


def test_the_start_decides_what_is_left_after_twenty_layers():
    left = {row[0]: float(row[-1]) for row in table("dropout", "through_twenty_layers")}
    assert left["N(0, 0.01)"] < left["Glorot"] < 0.1 < left["He"] < 2
    assert left["N(0, 0.5)"] > 1e6


def test_units_are_more_of_one_digit_after_training():
    before, after = (share(row[1]) for row in table("deconvnet", "against_untrained"))
    assert before < after


@pytest.mark.parametrize("number", range(4))
def test_fields_are_those_of_the_sheet(number):
    case = lessons.find("receptive_fields").exercises[0].cases(3)[number]
    pairs = zip(case["kernels"], case["strides"], strict=True)
    net = nn.Sequential(*(nn.Conv1d(1, 1, kernel, stride) for kernel, stride in pairs))
    field = striate.measure(net, (1, 512)).layers[-1].field
    assert field is not None
    assert field_of(**case) == field.size[0]


def test_a_lesson_without_exercises_asks_for_nothing():
    assert not list(Lesson("alexnet", ()).asks())
