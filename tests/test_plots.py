"""The pictures: they are there, and what they show is in them."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from runs import ROOT

from rcnn.experiments import plots
from rcnn.files import InputError


def rows(path, colour):
    """Return the row of each pixel of a PNG that has a colour, "#RRGGBB"."""
    wanted = np.array([int(colour[place : place + 2], 16) for place in (5, 3, 1)])
    return np.nonzero(np.abs(cv2.imread(str(path)).astype(int) - wanted).max(axis=2) <= 2)[0]


def pixels(path, colour):
    return len(rows(path, colour))


def test_loss_curves_of_several_trainings(tmp_path):
    iterations = np.arange(0, 400, 4)
    raw = 4 + np.sin(iterations)
    plots.loss_curves(
        tmp_path / "out" / "loss.png", {"RCNN-r": (iterations, raw, raw / 2), "CNN": (iterations, raw, raw / 4)}
    )
    assert cv2.imread(str(tmp_path / "out" / "loss.png")).shape[2] == 3
    assert all(pixels(tmp_path / "out" / "loss.png", colour) > 300 for colour in plots.COLOURS[:2])
    assert pixels(tmp_path / "out" / "loss.png", plots.COLOURS[2]) == 0


def test_one_record_is_seen(tmp_path):
    plots.loss_curves(tmp_path / "loss.png", {"a": ([0], [1.0], [1.0])})
    assert pixels(tmp_path / "loss.png", plots.COLOURS[0]) > 20


def test_nothing_to_draw(tmp_path):
    with pytest.raises(InputError, match="no training record"):
        plots.loss_curves(tmp_path / "loss.png", {"a": ([], [], [])})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [2, 30])
def test_confusion_matrix(tmp_path, count):
    matrix = np.eye(count, dtype=np.int64) * 3
    plots.confusion_matrix(tmp_path / "c.png", matrix, [f"ClassWithALongName{index}" for index in range(count)])
    diagonal = pixels(tmp_path / "c.png", "#08306B")  # the darkest shade: every video of the class
    plots.confusion_matrix(tmp_path / "none.png", matrix * 0, [str(index) for index in range(count)])
    assert diagonal > pixels(tmp_path / "none.png", "#08306B") + 50 * count


def test_a_confusion_matrix_of_other_classes(tmp_path):
    with pytest.raises(InputError, match="3 class names"):
        plots.confusion_matrix(tmp_path / "c.png", np.eye(2, dtype=int), ["a", "b", "c"])


def test_scores_over_time(tmp_path):
    times = np.arange(0, 60, 0.2)
    curves = {
        name: (0.5 + 0.4 * np.sin(times + index), np.full(len(times), 0.2 + index / 4))
        for index, name in enumerate(["a", "$\\b$", "c"])
    }
    plots.scores_over_time(tmp_path / "out" / "s.png", times, curves, "$\\film$.avi", stride=4)
    assert all(pixels(tmp_path / "out" / "s.png", colour) > 300 for colour in plots.COLOURS[:3])
    assert pixels(tmp_path / "out" / "s.png", plots.COLOURS[3]) == 0


def test_the_score_of_one_frame_is_seen(tmp_path):
    plots.scores_over_time(tmp_path / "s.png", [0.0], {"a": ([0.5], [0.5])})
    once = pixels(tmp_path / "s.png", plots.COLOURS[0])
    plots.scores_over_time(tmp_path / "s.png", [0.0], {"a": ([0.5], [2.0])})  # out of sight: the legend alone
    assert once > pixels(tmp_path / "s.png", plots.COLOURS[0]) + 10


def test_no_scores_to_draw(tmp_path):
    with pytest.raises(InputError, match="no scores to draw"):
        plots.scores_over_time(tmp_path / "s.png", [], {"a": ([], [])})
    assert not list(tmp_path.iterdir())


def test_names_are_no_formulas(tmp_path):
    name = r"a$\frac$"
    plots.confusion_matrix(tmp_path / "c.png", [[1, 0], [0, 1]], [name, "b"], name)
    plots.loss_curves(tmp_path / "l.png", {name: ([0, 1], [2.0, 1.0], [2.0, 1.0])}, title=name)
    plots.film_strips(tmp_path / "f.png", {name: [np.zeros((8, 8, 3), np.uint8)]}, name)
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.parametrize(
    "settings",
    ["text.usetex: True", "axes.prop_cycle: cycler(color=['red'])\naxes.facecolor: black\nsavefig.dpi: 20", "nonsense"],
)
@pytest.mark.parametrize("backend", ["nonsense", "pdf"])
def test_pictures_do_not_depend_on_the_users_settings(tmp_path, settings, backend):
    """Nor do charts: their files are the same, byte for byte."""
    code = (
        "import sys\nfrom rcnn.experiments import charts, plots\n"
        "plots.loss_curves(sys.argv[1], {'a': ([0, 1], [2.0, 1.0], [2.0, 1.0])})\n"
        "print(charts.line_chart([charts.Line(0, [0, 1], [1, 2], charts.THICK)], 'a', 'x', 'y').light)"
    )
    (tmp_path / "matplotlibrc").write_text(settings)
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = [
        subprocess.run([sys.executable, "-c", code, tmp_path / name], env=env, check=True, capture_output=True).stdout
        for name, env in [
            ("own.png", variables),
            ("theirs.png", {**variables, "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "MPLBACKEND": backend}),
        ]
    ]
    assert said[0] == said[1] and len(said[0]) > 1000
    assert (tmp_path / "own.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()


@pytest.mark.parametrize("name", ["_background", "_"])
def test_a_name_that_begins_with_an_underscore_is_in_the_legend(tmp_path, name):
    """The legend has a line of each curve, as those of other names have."""
    for file, names in {"named.png": [name, "_other"], "wanted.png": ["Xbackground", "Xother"]}.items():
        plots.scores_over_time(tmp_path / file, [0.0, 1.0], {each: ([2, 2], [2, 2]) for each in names})  # out of sight
    for colour in plots.COLOURS[:2]:
        assert pixels(tmp_path / "named.png", colour) == pixels(tmp_path / "wanted.png", colour) > 20
    plots.grouped_bars(tmp_path / "bars.png", {name: {"g": [50]}, "x": {"g": [50]}}, "t")
    plots.grouped_bars(tmp_path / "unnamed.png", {" ": {"g": [50]}, "x": {"g": [50]}}, "t")
    assert (cv2.imread(str(tmp_path / "bars.png")) != cv2.imread(str(tmp_path / "unnamed.png"))).any()


def test_names_in_a_script_that_the_font_lacks(tmp_path, monkeypatch, capfd):
    """They are drawn by a font that has them; where there is none, one line says so, once, and no warning."""
    plots._say_once.cache_clear()
    manager = plots.font_manager.fontManager
    own, other = (plots._characters(plots.font_manager.findfont(name)) for name in ("DejaVu Sans", "STIXGeneral"))
    shown = "".join(sorted(each for each in other - own if "\u2e00" > each > "\u2100")[:8])
    assert shown  # as tick labels, which are made when the picture is drawn
    plots.confusion_matrix(tmp_path / "shown.png", [[1, 0], [0, 1]], [shown, "b"])
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(manager, "ttflist", [font for font in manager.ttflist if font.name == "DejaVu Sans"])
    plots.confusion_matrix(tmp_path / "boxes.png", [[1, 0], [0, 1]], [shown, "b"])
    assert (tmp_path / "boxes.png").read_bytes() != (tmp_path / "shown.png").read_bytes()
    assert capfd.readouterr().err.startswith(f"pictures: no font of this machine has {' '.join(shown)}")
    for _ in range(2):
        plots.loss_curves(tmp_path / "l.png", {"走路": ([0, 1], [2.0, 1.0], [2.0, 1.0])}, title="跑步")
    said = capfd.readouterr().err
    assert (
        said == f"pictures: no font of this machine has {' '.join(sorted('走路跑步'))}: drawn as boxes; install one\n"
    )


def test_intervals(tmp_path):
    """A wider interval is drawn wider, and a row without one has its mean and values; the first row is on top."""
    narrow, wide, alone = ("n $", 0, -1, 1, [-5, 5]), ("w", 0, -4, 4, [-5, 5]), ("a", 0, None, None, [-5, 5])
    length = {}
    for row in (narrow, wide, alone):
        plots.intervals(tmp_path / "out" / "i.png", [row, ("last", 3, None, None, [3])], "t $")
        length[row[0]] = pixels(tmp_path / "out" / "i.png", plots.COLOURS[0])
        assert pixels(tmp_path / "out" / "i.png", plots.COLOURS[1]) > 20
    assert length["a"] > 40 and length["n $"] > length["a"] + 50 and length["w"] > length["n $"] + 300
    tops = []
    for lines in ([wide, *[("r", 0, None, None, [])] * 8], [*[("r", 0, None, None, [])] * 8, wide]):
        plots.intervals(tmp_path / "i.png", lines, "t")
        tops.append(rows(tmp_path / "i.png", plots.COLOURS[1]).min())
    assert tops[0] + 100 < tops[1]


def test_grouped_bars(tmp_path):
    """A bar is as high as the mean of its values; each value is a dot."""

    def heights(value):
        series = {"one": {"a": [value], "b": [value - 10, value + 10]}, "two": {"a": [1], "b": [1]}}
        plots.grouped_bars(tmp_path / "out" / "g.png", series, "t $")
        image = cv2.imread(str(tmp_path / "out" / "g.png")).astype(int)
        shade = 0.6 * np.array([0xB2, 0x72, 0x00]) + 0.4 * 255
        return int((np.abs(image - shade).max(axis=2) <= 3).sum())

    low, high = heights(20), heights(80)
    assert low > 1000 and high == pytest.approx(4 * low, rel=0.2)
