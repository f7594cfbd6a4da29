"""The course of the learning rate: every schedule at its corners, by hand."""

import pytest

import striate
from striate.training import optimizers, read_recipe
from striate.training.schedules import Course, Place, curve, rate


def recipe(**settings):
    return read_recipe("quick", {"lr": 1.0, **settings})


def at(settings, step, steps=100, epoch=0, course=None):
    return rate(recipe(**settings), Place(step, steps, epoch), course)


def test_onecycle_and_cosine_rise_and_fall():
    rates = [at({"warmup": 0.2}, step) for step in range(100)]
    assert max(rates) == rates[20] == 1.0
    assert rates[0] == pytest.approx(1 / 21)
    assert rates[60] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(1 / 80)
    cosine = {"warmup": 0.2, "schedule": "cosine"}
    assert at(cosine, 60) == pytest.approx(0.5)
    assert at(cosine, 40) == pytest.approx(0.8536, abs=1e-4)
    assert at({}, 0, steps=1) > 0


def test_constant_stays():
    assert {at({"schedule": "constant"}, step) for step in range(100)} == {1.0}


def test_exponential_takes_a_factor_every_epoch():
    assert at({"schedule": "exponential"}, 30, epoch=3) == 0.999**3
    assert at({"schedule": "exponential", "gamma": "0.9"}, 30, epoch=2) == 0.9**2
    assert at({"schedule": "exponential"}, 0) == 1.0


def test_step_takes_one_after_each_milestone():
    step = {"schedule": "step"}
    assert [at(step, s) for s in (0, 49, 50, 74, 75, 99)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    own = {"schedule": "step", "milestones": "0.1,0.5", "gamma": "0.4,0.5"}
    assert [at(own, s) for s in (9, 10, 50)] == pytest.approx([1, 0.4, 0.2])


def test_the_rates_of_1998_are_those_of_the_paper():
    """Section III.B: two passes, three, three, four, and the rest of twenty."""
    lenet = read_recipe("lenet1998")
    rates = [rate(lenet, Place(epoch, 20)) for epoch in range(20)]
    assert rates == pytest.approx([5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8)


def test_plateau_waits_for_a_new_minimum():
    settings = {"schedule": "plateau", "plateau": 3}
    course, chosen = Course(), recipe(**settings)
    seen = []
    for loss in (3, 2, 2, 2.5, 1.9, 2, 2, 2, 2, 2, 2):
        course.judge(loss, chosen)
        seen.append(at(settings, 0, course=course))
    # a new minimum at 1.9; three epochs without another lower the rate, three more lower it again
    assert seen == pytest.approx([1] * 7 + [0.1] * 3 + [0.01])
    assert not course.over(chosen)
    assert course.over(recipe(patience=6))
    assert not course.over(recipe(patience=7))


def test_the_clock_takes_the_place_of_steps():
    half = Place.by_clock(0.5, 7)
    assert (half.share, half.epoch) == (0.5, 7)
    assert rate(recipe(warmup=0), half) == pytest.approx(0.5, abs=1e-3)
    assert rate(recipe(warmup=0), Place.by_clock(1.3, 7)) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"schedule": "cosine", "warmup": 0.3},
        {"schedule": "exponential", "gamma": 0.5},
        {"schedule": "step"},
        {"schedule": "constant"},
        {"schedule": "plateau", "plateau": 1},
        {"head_epochs": 1, "lr_decay": 0.5},
        {"budget": "600s"},
    ],
)
def test_the_curve_of_a_run_is_the_rate_of_every_step(shapes, tmp_path, monkeypatch, settings):
    taken = []

    def recorded(opt, value):
        taken.append(value)
        return set_rate(opt, value)

    set_rate = optimizers.set_rate
    monkeypatch.setattr(optimizers, "set_rate", recorded)
    run = striate.train(
        shapes, "linear", out=tmp_path, epochs=4, batch=4, size=8, lr=0.1, **settings
    )
    summary, rows = run.summary, run.history()
    chosen = read_recipe(str(run.path / "args.yaml"))
    assert summary["steps"] * 4 == len(taken)
    points = curve(chosen, summary["steps"], rows)
    assert len(points) == len(taken)
    assert [x * summary["steps"] for x, _ in points] == pytest.approx(
        list(range(1, len(taken) + 1))
    )
    assert [rate for _, rate in points] == pytest.approx(
        taken, rel=1e-4, abs=2e-3 * ("budget" in settings)
    )
    page = (run.path / "report.html").read_text()
    assert page.count('class="line rate"') == 1
    drawn = page.partition('class="line rate"')[0].rpartition('points="')[2].split()
    assert len(drawn) == len(taken)


def test_the_curve_is_cut_to_so_many_points_and_keeps_to_what_was_written_down():
    rows = [{"lr": at({}, step, steps=2000), "seconds": 1.0} for step in (999, 1999)]
    points = curve(recipe(epochs=2), 1000, rows, most=100)
    assert (len(points), points[0][0], points[-1][0]) == (100, 0.001, 2.0)
    rows[0]["lr"] = 0.03  # at half the rate, since it was allowed to change
    points = curve(recipe(epochs=2), 1000, rows, most=100)
    assert points[0] == (1.0, 0.03)
    assert len(points) == 51
    assert curve(recipe(epochs=2), 1000, []) == []
