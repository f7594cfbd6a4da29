"""Series: files read, put on a clock, cut into windows that share one memory, split by time; and what is refused."""

# pyright: reportOptionalIterable=false, reportOptionalOperand=false, reportOptionalMemberAccess=false, reportMissingImports=false

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate import data
from striate.data.series import Clock, Windows
from striate.data.series.clock import channels, guessed, read_stamps, spaced
from striate.data.series.graph import Links, graph_of
from striate.errors import ArgumentError, DataError

H5PY = pytest.mark.skipif(not find_spec("h5py"), reason="the extra series is not installed")


def table(path, values, *, header="a,b,c", stamps=None, minutes=60):
    """A CSV file of values [T, N], with time stamps from a Monday on."""
    start = np.datetime64("2024-03-04T00:00")
    lines = [f"time,{header}"] if stamps is not False else [header]
    for i, row in enumerate(values):
        cells = [str(cell) for cell in row]
        if stamps is not False:
            stamp = stamps[i] if stamps else str(start + np.timedelta64(i * minutes, "m"))
            cells.insert(0, stamp.replace("T", " "))
        lines.append(",".join(cells))
    path.write_text("\n".join(line for line in lines if line) + "\n")
    return path


def waves(steps=200, nodes=3):
    hours = np.arange(steps)[:, None]
    return np.round(10 + 3 * np.sin(2 * np.pi * (hours / 24 + np.arange(nodes) / nodes)), 3)


def assert_links(opened):
    """The graph is that of `LINE`."""
    found = cut(opened).series.adjacency
    assert found is not None
    assert np.array_equal(found, LINE)


def cut(opened, split="train"):
    source = opened.splits[split].source
    assert isinstance(source, Windows)
    return source.cut


# ------------------------------------------------------------------------------------------- windows


def test_windows_are_views_of_one_table_and_none_crosses_a_border(tmp_path):
    opened = data.open(table(tmp_path / "s.csv", waves()), history=6, horizon=3)
    assert (opened.task, opened.kind, opened.modality) == ("forecast", "ahead", "window")
    spans = {}
    for split, held in opened.splits.items():
        arrays = opened.arrays(split)
        memory = cut(opened, split).table
        assert np.shares_memory(arrays.inputs, memory)
        assert np.shares_memory(arrays.targets, memory)
        for i in (0, len(held) - 1):
            first = cut(opened, split).first + i
            values = cut(opened, split).series.values
            assert np.array_equal(arrays.inputs[i, :, :3], values[first : first + 6])
            assert np.array_equal(arrays.targets[i], values[first + 6 : first + 9])
        spans[split] = (cut(opened, split).first, cut(opened, split).first + len(held) + 8)
    assert spans["train"][1] <= spans["val"][0]
    assert spans["val"][1] <= spans["test"][0]
    assert [spans[name] for name in ("train", "val", "test")] == [(0, 140), (140, 160), (160, 200)]


def test_a_share_of_what_is_before_the_test_is_held_out_and_folds_roll_on(tmp_path):
    path = table(tmp_path / "s.csv", waves())
    opened = data.open(path, history=6, horizon=3, val=0.25)
    assert cut(opened, "val").first == 120  # a quarter of 160
    ends = []
    for k in (1, 2, 3):
        fold = data.open(path, history=6, horizon=3, val=f"{k}of3")
        train, val = cut(fold), cut(fold, "val")
        assert train.first == 0
        assert train.count + 8 == val.first == 50 * k
        ends.append(val.first + val.count + 8)
    assert ends == [100, 150, 200]
    assert set(data.open(path, history=6, horizon=3, val=0).splits) == {"all"}
    with pytest.raises(ArgumentError, match="split=folder: series are split in the order of time"):
        data.open(path, split="folder")


def test_equal_windows_at_other_times_are_no_copies(tmp_path):
    opened = data.open(table(tmp_path / "s.csv", np.ones((100, 3))), history=2, horizon=2)
    assert opened.duplicates == opened.leaks == ()
    assert any("never change: a, b, c" in line for line in opened.warnings)


def test_what_settles_windows_is_kept_for_opening_again(tmp_path):
    opened = data.open(table(tmp_path / "s.csv", waves()), history=6, horizon=3, period="12")
    again = data.again(opened.origin)
    assert cut(again).series.periods == ("12",)
    assert again.fingerprint == opened.fingerprint
    other = data.open(opened.origin["path"], history=7, horizon=3)
    assert other.fingerprint != opened.fingerprint


@pytest.mark.parametrize("key", ["history", "horizon"])
def test_fewer_steps_than_one_is_refused(tmp_path, key):
    wrong: dict[str, Any] = {key: 0}
    with pytest.raises(ArgumentError, match=f"{key}: got 0"):
        data.open(table(tmp_path / "s.csv", waves()), **wrong)


def test_a_horizon_longer_than_the_data_is_refused(tmp_path):
    path = table(tmp_path / "s.csv", waves(100))
    with pytest.raises(
        DataError, match=r"100 steps, and one window takes 212 \(history=12 \+ horizon=200\)"
    ):
        data.open(path, horizon=200)
    with pytest.raises(DataError, match="val has 18 of 60 steps, and one window takes 24"):
        data.open(table(tmp_path / "t.csv", waves(60)))
    short = data.open(path)  # of short series more is held out, so that a window fits
    assert {name: len(split) for name, split in short.splits.items()} == {
        "train": 17,
        "val": 7,
        "test": 7,
    }


# --------------------------------------------------------------------------------------------- clock


def test_stamps_of_several_forms_are_read_and_written_back():
    for words in (
        ["2024-03-04 00:00", "2024-03-04 01:00"],
        ["2024-03-04T00:00:00", "2024-03-04T01:00:00"],
        ["04.03.2024 00:00", "04.03.2024 01:00"],
        ["03/14/2024 00:00", "03/14/2024 01:00"],  # no month has the number 14
    ):
        seconds, form = read_stamps(words, "f") or (np.empty(0), "")
        assert np.diff(seconds).tolist() == [3600]
        clock = Clock(int(seconds[0]), 3600, "s", form)
        assert [clock.stamp(i) for i in range(2)] == words
    zones = ["2024-03-31T01:30:00+01:00", "2024-03-31T03:00:00+02:00"]
    seconds, form = read_stamps(zones, "f") or (np.empty(0), "")
    assert np.diff(seconds).tolist() == [1800]
    assert Clock(int(seconds[0]), 1800, "s", form).stamp(1) == "2024-03-31 01:00:00+00:00"


@pytest.mark.parametrize(
    "form", ["%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%d/%m/%Y %I:%M %p"]
)
def test_day_and_month_stand_where_the_times_are_even(tmp_path, form):
    start = datetime(2012, 3, 5, tzinfo=UTC)  # all of both orders can be read
    stamps = [(start + timedelta(hours=i)).strftime(form) for i in range(168)]
    opened = data.open(table(tmp_path / "s.csv", waves(168), stamps=stamps))
    clock = cut(opened).series.clock
    assert (clock.first, clock.step, clock.stamp(30)) == (
        round(start.timestamp()),
        3600,
        stamps[30],
    )
    assert "nothing tells them apart" not in opened.note
    short = data.open(
        table(tmp_path / "t.csv", waves(24), stamps=stamps[:24]), history=2, horizon=1
    )
    assert "are read as day/month; nothing tells them apart" in short.note


@pytest.mark.parametrize(
    ("write", "label"),
    [
        (str, "2012-03-05 01:00:00"),
        (lambda at: str(at * 1000), "2012-03-05 01:00:00"),
        (
            lambda at: datetime.fromtimestamp(at, timezone(timedelta(hours=-8))).isoformat(" "),
            "2012-03-04 17:00:00-08:00",
        ),
    ],
    ids=["seconds", "milliseconds", "zone"],
)
def test_times_are_written_back_as_they_were(tmp_path, write, label):
    start = 1_330_905_600  # 2012-03-05 00:00 UTC
    stamps = [write(start + 3600 * i) for i in range(168)]
    clock = cut(data.open(table(tmp_path / "s.csv", waves(168), stamps=stamps))).series.clock
    assert [clock.stamp(i) for i in range(168)] == stamps
    assert clock.label(1) == label
    assert Clock.from_dict(vars(clock)) == clock
    midnight = clock.period("day").place(np.array([0]))
    assert midnight == pytest.approx(2 / 3 if "-08" in stamps[0] else 0)


def test_days_that_are_not_trained_on_are_said(tmp_path):
    week = data.open(table(tmp_path / "s.csv", waves(168)), history=2, horizon=1)
    assert any(
        "nothing of Saturday, Sunday is trained on, and val and test lie there" in line
        for line in week.warnings
    )
    assert not any(
        "trained on" in line for line in data.open(table(tmp_path / "t.csv", waves(600))).warnings
    )


def test_clocks_that_were_set_back_are_told_from_rows_in_disorder(tmp_path):
    hours = [*range(3), 2, *range(3, 20)]
    stamps = [f"2024-10-27 {hour:02d}:00" for hour in hours]
    stamps[3] = "2024-10-27 01:00"
    with pytest.raises(DataError, match="write times with their offset from UTC"):
        data.open(table(tmp_path / "s.csv", waves(21), stamps=stamps))
    wild = [f"2024-10-27 {(7 * i) % 24:02d}:00" for i in range(21)]
    with pytest.raises(DataError, match=r"sort the rows by time$"):
        data.open(table(tmp_path / "t.csv", waves(21), stamps=wild))


def test_months_are_steps_of_one_length():
    times = np.array(["2023-11-01", "2023-12-01", "2024-01-01", "2024-03-01"], "M8[s]").astype(int)
    found = spaced(times, Clock(0, 1, "s", "%Y-%m"), "f")
    assert (found.clock.unit, found.place.tolist()) == ("M", [0, 1, 2, 4])
    assert found.clock.stamp(3) == "2024-02"
    assert found.clock.period("year").steps == 12


def test_periods_by_the_clock_begin_at_midnight_and_monday():
    clock = Clock(4 * 86_400 + 3600, 3600, "s", "%Y-%m-%d %H:%M")  # Monday 1970-01-05, one o'clock
    day, week = clock.period("day"), clock.period("week")
    assert (day.steps, week.steps) == (24, 168)
    assert day.place(np.array([0, 23])).tolist() == pytest.approx([1 / 24, 0])
    assert week.place(np.array([0])).tolist() == pytest.approx([1 / 168])
    assert channels([day], np.array([5])) == pytest.approx(
        np.array([[1, 0]]), abs=1e-6
    )  # six o'clock
    assert clock.usual(100) == ("day",)
    assert clock.usual(400) == ("day", "week")
    with pytest.raises(ArgumentError, match="period=decade: expected day, week, year, or a number"):
        clock.period("decade")
    with pytest.raises(ArgumentError, match="period=day: expected a number of steps"):
        Clock().period("day")


def test_a_period_is_guessed_from_values_with_a_shorter_one_in_it(tmp_path):
    hours = np.arange(800)
    weekly = np.where(hours // 24 % 7 < 5, 3.0, 1.0)
    values = (weekly * (2 + np.sin(2 * np.pi * hours / 24)))[:, None].astype(np.float32)
    assert set(guessed(values)) == {"24", "168"}
    assert guessed(np.random.default_rng(0).normal(size=(800, 1)).astype(np.float32)) == {}
    assert guessed(np.ones((800, 1), np.float32)) == {}
    np.savez(tmp_path / "s.npz", values=np.repeat(values, 2, 1))
    opened = data.open(tmp_path / "s.npz")
    assert "guessed from the values" in opened.note
    assert cut(opened).table.shape == (800, 2 + 4)
    assert cut(data.open(tmp_path / "s.npz", period="none")).table.shape == (800, 2)


# ----------------------------------------------------------------------------------------- bad input


def test_a_slow_series_has_no_period_because_it_is_slow():
    at = np.arange(420)[:, None]
    rng = np.random.default_rng(0)
    slow = 60 + 5 * np.sin(at / 45) + rng.normal(0, 0.3, (420, 6))
    assert guessed(slow.astype(np.float32)) == {}
    daily = 60 + 5 * np.sin(2 * np.pi * at / 24) + rng.normal(0, 0.3, (420, 6))
    assert set(guessed(daily.astype(np.float32))) == {"24"}


def test_a_time_that_goes_back_is_refused(tmp_path):
    stamps = [f"2024-03-04 {hour:02d}:00" for hour in (0, 1, 2, 1, 4)]
    path = table(tmp_path / "s.csv", waves(5), stamps=stamps)
    with pytest.raises(
        DataError,
        match=r"goes back from 2024-03-04 02:00 to 2024-03-04 01:00 in row 4: sort the rows",
    ):
        data.open(path, history=1, horizon=1)


def test_rows_that_all_run_backwards_are_turned_round_and_said(tmp_path):
    values = waves(60)
    start = np.datetime64("2024-03-04T00:00")
    stamps = [str(start + np.timedelta64(60 - i, "h")) for i in range(60)]
    opened = data.open(table(tmp_path / "s.csv", values, stamps=stamps), history=2, horizon=1)
    assert "run backwards" in opened.note
    assert np.array_equal(cut(opened).series.values, values[::-1].astype(np.float32))


def test_times_that_repeat_and_times_that_no_row_has_are_counted(tmp_path):
    hours = [*range(20), 19, *range(20, 60), 63, 64]
    start = np.datetime64("2024-03-04T00:00")
    stamps = [str(start + np.timedelta64(hour, "h")) for hour in hours]
    opened = data.open(table(tmp_path / "s.csv", waves(63), stamps=stamps), history=2, horizon=1)
    found = {fault.kind: fault for fault in opened.faults}
    assert (found["times that repeat"].count, found["times that no row has"].count) == (1, 3)
    assert found["times that repeat"].places == ("2024-03-04 19:00 in row 21",)
    series = cut(opened).series
    assert len(series) == 65
    assert np.isnan(series.values[60:63]).all()
    assert not np.isnan(series.values[63]).any()
    assert "times that repeat" in opened.as_text()


def test_a_row_a_sensor_is_refused(tmp_path):
    start = np.datetime64("2024-03-04T00:00")
    stamps = [str(start + np.timedelta64(i // 3, "h")) for i in range(60)]
    with pytest.raises(DataError, match="expected one row a time and one column a series"):
        data.open(table(tmp_path / "s.csv", waves(60), stamps=stamps))


def test_uneven_times_are_refused(tmp_path):
    start = np.datetime64("2024-03-04T00:00")
    minutes = np.arange(60) * 60
    minutes[30] += 25
    stamps = [str(start + np.timedelta64(int(m), "m")) for m in minutes]
    with pytest.raises(DataError, match="not evenly spaced: most are hour apart"):
        data.open(table(tmp_path / "s.csv", waves(60), stamps=stamps))


def test_text_is_named_or_taken_as_missing_where_that_was_asked_for(tmp_path):
    values = waves(60).astype(object)
    values[7, 1] = "sensor down"
    values[8, 1], values[9, 1] = "", "NaN"
    path = table(tmp_path / "s.csv", values)
    with pytest.raises(DataError, match=r"s.csv line 9, column b: 'sensor down' is no number"):
        data.open(path, history=2, horizon=1)
    opened = data.open(path, history=2, horizon=1, broken="skip")
    assert [(fault.kind, fault.count) for fault in opened.faults] == [
        ("text in the place of numbers", 1)
    ]
    assert np.isnan(cut(opened).series.values).sum() == 3
    assert any("3 of 180 values (1.7%) are missing" in line for line in opened.warnings)


def test_a_column_of_words_is_left_out_and_said(tmp_path):
    values = np.concatenate([waves(60).astype(object), np.full((60, 1), "dry", object)], 1)
    opened = data.open(
        table(tmp_path / "s.csv", values, header="a,b,c,weather"), history=2, horizon=1
    )
    assert cut(opened).series.nodes == ("a", "b", "c")
    assert "the column weather holds words and is left out" in opened.note


def test_infinite_values_are_missing_and_said(tmp_path):
    values = waves(60)
    values[3, 2] = np.inf
    opened = data.open(table(tmp_path / "s.csv", values), history=2, horizon=1)
    assert [(f.kind, f.places) for f in opened.faults] == [("infinite values", ("c, row 4",))]


def test_series_without_a_value_are_refused(tmp_path):
    with pytest.raises(DataError, match="all of its values are missing"):
        data.open(table(tmp_path / "s.csv", np.full((60, 3), np.nan)), history=2, horizon=1)


def test_zeros_far_from_all_other_values_are_missing_and_said(tmp_path):
    values = waves(200) + 40
    values[10:20, 0] = 0
    path = table(tmp_path / "s.csv", values)
    opened = data.open(path)
    assert np.isnan(cut(opened).series.values[10:20, 0]).all()
    assert any("0 is taken for a missing value" in line for line in opened.warnings)
    assert opened.origin["layout"] == "series:missing=0"  # for the files of predict, and other data
    assert data.again(opened.origin).fingerprint == opened.fingerprint
    for said, missing in (("0", True), ("none", False)):
        asked = data.open(path, layout=f"series:missing={said}")
        assert np.isnan(cut(asked).series.values[10:20, 0]).all() == missing
        assert not any("0 is taken" in line or "say layout" in line for line in asked.warnings)
    with pytest.raises(ArgumentError, match="missing= and feature= take numbers"):
        data.open(path, layout="series:missing=zero")


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        (lambda x, hour: np.where(hour % 24 < 5, 0, x), True),  # closed at night
        (lambda x, hour: np.where(hour % 37 == 0, 0, x - 39), False),  # small values are there too
        (lambda x, hour: np.where(hour % 37 == 0, 0, np.round(x - 7)), False),  # few
        (lambda x, hour: np.where(hour % 7 == 0, 0, np.round(x) % 3 + 1), False),  # counts
    ],
    ids=["closed", "small", "passing", "counts"],
)
def test_zeros_that_are_values_stay(tmp_path, change, warned):
    hours = np.arange(400)[:, None]
    values = change(waves(400) + 30, hours)
    if not warned:
        values = values * np.linspace(0.01, 1, 400)[:, None] ** (values.max() > 10)
    opened = data.open(table(tmp_path / "s.csv", values))
    assert not np.isnan(cut(opened).series.values).any()
    assert any("say layout=series:missing=0" in line for line in opened.warnings) == warned


# --------------------------------------------------------------------------------------------- graph


NODES = ("a", "b", "c")


def test_weights_and_links_by_name_and_number_give_the_same_graph():
    square = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float64)
    by_table = graph_of(Links("g", square), NODES)
    by_name = graph_of(Links("g", None, [("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")]), NODES)
    by_number = graph_of(Links("g", None, [("0", "1"), ("1", "0"), ("1", "2"), ("2", "1")]), NODES)
    from_one = graph_of(Links("g", None, [("1", "2"), ("2", "1"), ("2", "3"), ("3", "2")]), NODES)
    for found in (by_table, by_name, by_number, from_one):
        assert np.array_equal(found.adjacency, square)
        assert found.warnings == ()
    assert "counts nodes from 1" in from_one.notes[0]


def test_links_of_a_larger_network_are_left_out_and_counted():
    links = [("7", "8"), ("8", "7"), ("8", "99"), ("99", "7"), ("9", "8"), ("8", "9")]
    found = graph_of(Links("g", None, links, np.arange(1.0, 7)), ("7", "8", "9"))
    assert found.notes == (
        "g: 2 of 6 links have a node that is none of the series and are left out",
    )
    assert found.adjacency.tolist() == [[0, 2, 0], [2, 0, 6], [0, 6, 0]]


def test_a_directed_graph_is_said_and_made_symmetric():
    found = graph_of(Links("g", None, [("a", "b"), ("b", "c")], np.array([2.0, 3.0])), NODES)
    assert found.adjacency.tolist() == [[0, 2, 0], [2, 0, 3], [0, 3, 0]]
    assert "g is directed: 2 of 2 links have no equal one back" in found.warnings[0]


@pytest.mark.parametrize(
    ("links", "message"),
    [
        (Links("g", np.ones((4, 4))), "the adjacency is 4 x 4, but there are 3 series"),
        (Links("g", np.ones((3, 2))), "the adjacency is 3 x 2"),
        (Links("g", -np.ones((3, 3))), "row 1, column 1 is below 0"),
        (Links("g", np.full((3, 3), np.nan)), "row 1, column 1 is missing"),
        (Links("g", None, [("a", "z")]), "a link has the node 'z', which is none of the 3 series"),
        (Links("g", None, [("0", "7")]), "a link has the node '7'"),
        (Links("g", None, [("0", "1")], np.array([np.nan])), "link 1 has the weight nan"),
    ],
)
def test_a_graph_of_other_nodes_or_without_weights_is_refused(links, message):
    with pytest.raises(DataError, match=message):
        graph_of(links, NODES)


def test_distances_become_weights_that_fall_with_them():
    far = np.array([[0, 100, 400], [100, 0, 300], [400, 300, 0]], np.float64)
    found = graph_of(Links("g", far), NODES)
    weights = found.adjacency
    assert weights[0, 1] > weights[1, 2] >= weights[0, 2]
    spread = far[~np.eye(3, dtype=bool)].std()
    assert weights[0, 1] == pytest.approx(np.exp(-((100 / spread) ** 2)), rel=1e-6)
    assert "g holds distances, since few are 0" in found.notes[0]
    assert graph_of(Links("g", far, distances=False), NODES).adjacency[0, 2] == 400


def test_a_graph_without_a_link_is_said():
    assert "no link" in graph_of(Links("g", np.eye(3)), NODES).warnings[0]


@pytest.mark.parametrize(
    "text",
    [
        "from,to,cost\na,b,10\nb,c,20\nc,a,30\n",
        "0,1,0\n1,0,1\n0,1,0\n",
        ",a,b,c\na,0,1,0\nb,1,0,1\nc,0,1,0\n",
    ],
)
def test_a_graph_lies_beside_the_series(tmp_path, text):
    table(tmp_path / "speeds.csv", waves())
    (tmp_path / "adjacency.csv").write_text(text)
    opened = data.open(tmp_path)
    assert "graph: adjacency.csv" in opened.note
    assert (cut(opened).series.adjacency > 0).sum() >= 4
    assert data.open(tmp_path / "speeds.csv").splits.keys() == opened.splits.keys()


# a - b = c - d
LINE = np.array([[0, 1, 0, 0], [1, 0, 5, 0], [0, 5, 0, 1], [0, 0, 1, 0]], np.float64)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (",c,a,d,b\nc,0,0,1,5\na,0,0,0,1\nd,1,0,0,0\nb,5,1,0,0\n", "in the order of the series"),
        ("c,a,d,b\n0,0,1,5\n0,0,0,1\n1,0,0,0\n5,1,0,0\n", "in the order of the series"),
        ("c,0,0,1,5\na,0,0,0,1\nd,1,0,0,0\nb,5,1,0,0\n", "in the order of the series"),
        (
            ",a,b,c,d,e\na,0,1,0,0,9\nb,1,0,5,0,9\nc,0,5,0,1,9\nd,0,0,1,0,9\ne,9,9,9,9,0\n",
            "1 of its 5 nodes are none",
        ),
        (",0,1,2,3\n0,0,1,0,0\n1,1,0,5,0\n2,0,5,0,1\n3,0,0,1,0\n", ""),
        ("0,1,2,3\n0,1,0,0\n1,0,5,0\n0,5,0,1\n0,0,1,0\n", ""),
        (
            ",from,to,weight\n0,a,b,1\n1,b,a,1\n2,b,c,5\n3,c,b,5\n4,c,d,1\n5,d,c,1\n",
            "",
        ),
    ],
)
def test_a_square_table_is_read_by_the_names_along_its_sides(tmp_path, text, said):
    table(tmp_path / "speeds.csv", waves(nodes=4), header="a,b,c,d")
    (tmp_path / "adjacency.csv").write_text(text)
    opened = data.open(tmp_path)
    assert_links(opened)
    assert said in opened.note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",a,b,x\na,0,1,0\nb,1,0,1\nx,0,1,0\n", "has no node 'c', which is one of the series"),
        (",a,b,c\na,0,1,0\nc,1,0,1\nb,0,1,0\n", "column 3 is of 'b', row 3 of 'c'"),
        (",a,b,b\na,0,1,0\nb,1,0,1\nb,0,1,0\n", "has the node 'b' twice"),
        ("0,1,0,0,0\n1,0,1,0,0\n0,1,0,1,0\n0,0,1,0,1\n", "the adjacency is 4 x 5"),
    ],
)
def test_a_square_table_of_other_names_is_refused(tmp_path, text, message):
    table(tmp_path / "speeds.csv", waves())
    (tmp_path / "adjacency.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        data.open(tmp_path)


def test_sensor_ids_that_are_numbers_are_names(tmp_path):
    table(tmp_path / "speeds.csv", waves(nodes=4), header="773869,767541,767542,718141")
    square = ",767542,773869,718141,767541\n767542,0,0,1,5\n773869,0,0,0,1\n718141,1,0,0,0\n767541,5,1,0,0\n"
    (tmp_path / "adj_mx.csv").write_text(square)
    assert_links(data.open(tmp_path))
    (tmp_path / "adj_mx.csv").unlink()
    pairs = (("773869", "767541", 1), ("767541", "767542", 5), ("767542", "718141", 1))
    links = [f"{a},{b},{w}\n{b},{a},{w}" for a, b, w in pairs]
    # A list of links by its header, whatever its name.
    (tmp_path / "roads.csv").write_text("\n".join(["from,to,weight", *links]))
    assert_links(data.open(tmp_path))


def test_links_counted_from_0_of_series_counted_from_1():
    found = graph_of(Links("g", None, [("0", "1"), ("1", "0"), ("1", "2")]), ("1", "2", "3"))
    assert (found.adjacency > 0).tolist() == [
        [False, True, False],
        [True, False, True],
        [False, True, False],
    ]
    assert found.notes == ("g counts nodes from 0, the series from 1",)


@pytest.mark.parametrize(
    "links",
    [
        np.array([[0, 1], [1, 2], [2, 3]]),
        np.array([[0, 1, 2], [1, 2, 3]]),
        np.array([[0, 1, 2.5], [1, 2, 4], [3, 2, 1], [2, 1, 4]]),
        LINE,
    ],
)
def test_an_array_of_links_or_a_square_one_is_a_graph(tmp_path, links):
    table(tmp_path / "speeds.csv", waves(nodes=4), header="a,b,c,d")
    np.save(tmp_path / "edges.npy", links)
    graph = cut(data.open(tmp_path)).series.adjacency
    assert (graph > 0).tolist() == (LINE > 0).tolist()


def test_of_several_graphs_the_one_of_these_series_is_taken(tmp_path):
    table(tmp_path / "speeds.csv", waves())
    (tmp_path / "sensor_graph").mkdir()
    (tmp_path / "sensor_graph" / "distances_bay.csv").write_text("from,to,cost\nx,y,10\ny,z,20\n")
    (tmp_path / "sensor_graph" / "distances_la.csv").write_text("from,to,cost\na,b,10\nb,c,20\n")
    opened = data.open(tmp_path)
    assert "graph: sensor_graph/distances_la.csv" in opened.note
    assert any("distances_bay.csv" in line and "left aside" in line for line in opened.warnings)
    (tmp_path / "sensor_graph" / "distances_la.csv").unlink()
    none = data.open(tmp_path)  # a file in a folder may be of other series
    assert cut(none).series.adjacency is None
    assert any("left aside" in line for line in none.warnings)


def test_a_pickled_graph_beside_the_series_is_said_not_to_be_read(tmp_path):
    table(tmp_path / "speeds.csv", waves())
    (tmp_path / "adj_mx.pkl").write_bytes(b"\x80\x04N.")
    opened = data.open(tmp_path)
    assert any("adj_mx.pkl is pickled and never read" in line for line in opened.warnings)
    (tmp_path / "adj_mx.csv").write_text("0,1,0\n1,0,1\n0,1,0\n")
    assert not any("pickled" in line for line in data.open(tmp_path).warnings)


def test_a_graph_that_was_named_and_is_not_there_is_refused(tmp_path):
    path = table(tmp_path / "s.csv", waves())
    with pytest.raises(DataError, match=r"there is no graph g\.csv"):
        data.open(path, layout="series:graph=g.csv")


def test_a_pickled_graph_is_never_read(tmp_path):
    path = table(tmp_path / "s.csv", waves())
    (tmp_path / "adj.pkl").write_bytes(b"\x80\x04N.")
    with pytest.raises(DataError, match="pickled ones are never read"):
        data.open(path, layout="series:graph=adj.pkl")


# --------------------------------------------------------------------------------------------- files


def test_npz_json_and_a_table_without_a_header_give_the_same_values(tmp_path):
    values = waves().astype(np.float32)
    np.savez(
        tmp_path / "a.npz", flow=values, edges=np.array([[0, 1], [1, 2]]), road_metres=[5.0, 9.0]
    )
    content = {
        "FX": values.tolist(),
        "edges": [[0, 1], [1, 2]],
        "node_ids": {"x": 0, "y": 1, "z": 2},
    }
    (tmp_path / "b.json").write_text(json.dumps(content))
    table(tmp_path / "c.csv", values, header="", stamps=False)
    for name in ("a.npz", "b.json", "c.csv"):
        series = cut(data.open(tmp_path / name)).series
        assert np.array_equal(series.values, values)
        assert (series.adjacency is None) == (name == "c.csv")
    assert cut(data.open(tmp_path / "b.json")).series.nodes == ("x", "y", "z")
    with pytest.raises(DataError, match="holds several files of series"):
        data.open(tmp_path)


def test_features_of_pems_and_its_links(tmp_path):
    np.savez(tmp_path / "PEMS04.npz", data=np.stack([waves(), 2 * waves()], 2))
    (tmp_path / "PEMS04_edges.csv").write_text("from,to,cost\n0,1,310.6\n1,2,330.9\n")
    opened = data.open(tmp_path)
    assert "feature 0 of 2 is taken" in opened.note
    assert np.allclose(cut(opened).series.values, waves())
    second = data.open(tmp_path, layout="series:feature=1")
    assert np.allclose(cut(second).series.values, 2 * waves())
    with pytest.raises(DataError, match="there is no feature 5"):
        data.open(tmp_path, layout="series:feature=5")


@H5PY
def test_a_data_frame_in_hdf5_has_names_and_times(tmp_path):
    import h5py

    values = waves()
    start = np.datetime64("2012-03-01T00:00", "ns")
    times = (start + np.arange(len(values)) * np.timedelta64(5, "m")).astype("i8")
    with h5py.File(tmp_path / "metr.h5", "w") as file:
        group = file.create_group("df")
        group["block0_values"], group["axis0"], group["axis1"] = (
            values,
            [b"s1", b"s2", b"s3"],
            times,
        )
        group["axis1"].attrs["kind"] = b"datetime64"
    series = cut(data.open(tmp_path / "metr.h5")).series
    assert np.allclose(series.values, values)
    assert series.nodes == ("s1", "s2", "s3")
    assert (series.clock.words(), series.clock.stamp(1)) == (
        "every 5 minutes",
        "2012-03-01 00:05:00",
    )
    (tmp_path / "broken.h5").write_bytes(b"no hdf")
    with pytest.raises(DataError, match="no sound HDF5 file"):
        data.open(tmp_path / "broken.h5")


def test_tables_of_pictures_stay_tables_of_pictures(tmp_path):
    from PIL import Image

    for i in range(12):
        Image.new("L", (8, 8), 20 * i).save(tmp_path / f"{i}.png")
    rows = [f"{i}.png,{'a' if i % 2 else 'b'}" for i in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    assert data.open(tmp_path).task == "classify"


def test_real_series():
    folder = Path(os.environ.get("STRIATE_SHARED", "")) / "data" / "graph_series"
    if not folder.exists():
        pytest.skip("no shared data")
    bus = data.open(folder / "montevideo_bus.npz")
    assert (len(cut(bus).series.nodes), len(cut(bus).series)) == (675, 744)
    assert cut(bus).series.periods == ("24", "168")
    assert any("690 of 690 links" in line for line in bus.warnings)
    pox = data.open(folder / "chickenpox.json")
    assert (cut(pox).series.nodes[0], cut(pox).series.adjacency.shape) == ("BACS", (20, 20))
