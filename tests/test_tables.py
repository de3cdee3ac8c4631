"""rcnn/experiments/tables.py: the figures against NumPy, and how the tables show them."""

import json
import re

import made_scores
import numpy as np
import pytest
from test_description import GIVEN

from rcnn.experiments import description, tables
from rcnn.files import InputError
from rcnn.googlenet import SIGNALS
from rcnn.scoring.score_files import ALL

CLASSES = ["A", "B", "C", "D"]
FLOW = {"streams": ["image", "flow"]}
# Sec. 2.4, of frames x classes
FUSE = {"log-mean": lambda x: np.log(x).mean(0), "mean": lambda x: x.mean(0), "max": lambda x: x.max(0)}


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Return (path of a score file, [(label, scores of one video)]): 40 videos of 1 to 7 frames, 10 crops."""
    generator = np.random.default_rng(7)
    return store(tmp_path_factory.mktemp("scores") / "scores.h5", generator, generator.integers(4, size=40), range(40))


def store(path, generator, labels, order):
    """Make a score file of videos named by their number, stored in an order; return it and [(label, scores)]."""
    videos = []
    for label in labels:
        values = np.exp(generator.normal(0, 1.5, (generator.integers(1, 8), 10, 3, 4)))
        values[..., label] *= 1.5
        videos.append((int(label), (values / values.sum(-1, keepdims=True)).astype(np.float32)))
    made_scores.write(path, [(f"v{index}", *videos[index]) for index in order], 10, SIGNALS, CLASSES)
    return path, videos


def expected(videos, crops, signal, fusion):
    """Return the accuracy by NumPy alone, in float64."""
    places = [0, 1, 2] if signal == ALL else [SIGNALS.index(signal)]
    frames = [(label, values.astype(np.float64)[:, :crops, places].mean((1, 2))) for label, values in videos]
    return sum(int(FUSE[fusion](values).argmax() == label) for label, values in frames) / len(videos)


def test_accuracies_are_numpys(scored):
    path, videos = scored
    wanted = [(crops, signal) for crops in (1, 5, 10) for signal in (*SIGNALS, ALL)]
    result = tables.accuracies(path, wanted)
    assert set(result) == set(wanted)
    for (crops, signal), fusions in result.items():
        assert fusions == {fusion: expected(videos, crops, signal, fusion) for fusion in ("mean", "max", "log-mean")}
    assert (
        len({tuple(fusions.values()) for fusions in result.values()}) > 8
    )  # they differ, so mixing them up would show


def test_what_a_file_does_not_have_is_left_out(tmp_path):
    even = np.full((1, 5, 1, 4), 0.25, np.float32)
    made_scores.write(tmp_path / "scores.h5", [("v", 1, even)], 5, ["high"], CLASSES)
    result = tables.accuracies(tmp_path / "scores.h5", [(5, "high"), (10, "high"), (5, "low")])
    assert result == {(5, "high"): {"mean": 0.0, "max": 0.0, "log-mean": 0.0}}


def test_two_streams_are_numpys(scored, tmp_path):
    """Videos are matched by name, as the second file has them in another order and of other lengths."""
    path, image = scored
    generator = np.random.default_rng(8)
    other, flow = store(tmp_path / "flow.h5", generator, [label for label, _ in image], generator.permutation(40))
    right, alone = 0, 0
    for (label, one), (_, two) in zip(image, flow):
        logs = [np.log(values.astype(np.float64)[:, :5, 2].mean(axis=1)).mean(0) for values in (one, two)]
        right += int(np.argmax(logs[0] + logs[1]) == label)
        alone += int(np.argmax(logs[1]) == label)
    result = tables.two_streams(path, other, 5)
    assert result[5, "high"]["log-mean"] == right / 40 and set(result[5, "high"]) == set(tables.FUSIONS)
    assert right / 40 not in (alone / 40, expected(image, 5, "high", "log-mean"))


def test_figures_of_all_streams(scored, tmp_path):
    path, image = scored
    other, _ = store(tmp_path / "flow.h5", np.random.default_rng(8), [label for label, _ in image], range(40))
    fewer, _ = store(tmp_path / "fewer.h5", np.random.default_rng(8), [label for label, _ in image][:39], range(39))
    files = {
        ("cnn", 1, 5): path,
        ("cnn", 2, 5): path,
        ("rcnn_r", 1, 5): path,
        ("cnn_flow", 1, 5): other,
        ("rcnn_r_flow", 1, 5): fewer,
        ("rcnn_r_flow", 2, 5): other,
    }
    accuracies, problems = tables.figures(files, described(**FLOW))
    assert set(accuracies) == {*files, ("cnn_two_stream", 1, 5)}
    assert accuracies["cnn_two_stream", 1, 5] == tables.two_streams(path, other, 5)
    assert accuracies["cnn_flow", 1, 5] == tables.accuracies(other, [(5, "high")])
    assert len(problems) == 1 and problems[0].startswith("two streams of rcnn_r, split 1: video v39 is in ")


def described(**values):
    return description.parse({**GIVEN, "name": "toys | <b>", "splits": [1, 2], "seed": 3, **values})


def figures(which):
    """Return {(net, split, fps): figures}, each figure another one."""
    accuracies, share = {}, 0.0
    for net, split, fps in which:
        for crops, signal in tables.wanted((net, split, fps), described()):
            for fusion in tables.FUSIONS:
                share += 0.001
                accuracies.setdefault((net, split, fps), {}).setdefault((crops, signal), {})[fusion] = share
    return accuracies


KEYS = [*((net, split, 5) for split in (1, 2) for net in ("cnn", "rcnn_r", "rcnn_s")), ("rcnn_r", 1, 25)]


def test_all_cells_of_table_2_come_from_their_files():
    accuracies = figures(KEYS)
    rows = tables.table_2(described(), accuracies)
    sources = [("rcnn_r", 1, 25), *[("rcnn_r", 1, 5)] * 6, ("rcnn_s", 1, 5)]
    crops, signals = (5, 1, 5, 10, 5, 5, 5, 5), ("high", "high", "high", "high", "medium", "low", ALL, "high")
    assert [row["row"] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    for row, source, *cell in zip(rows, sources, crops, signals):
        assert row["ours"] == {fusion: 100 * share for fusion, share in accuracies[source][tuple(cell)].items()}
        assert (row["fps"], row["patches"], row["signal"]) == (source[2], *cell)
        assert row["sampling"] == ("sequential" if row["row"] == 8 else "random")


def test_the_papers_figures():
    """As printed in Table 2 and 3."""
    rows = {row["row"]: list(row["paper"].values()) for row in tables.table_2(described(), {})}
    assert rows == {
        1: [79.5, 79.6, 79.7],
        2: [79.4, 79.1, 79.6],
        3: [79.8, 79.0, 80.0],
        4: [79.7, 78.7, 79.6],
        5: [78.0, 78.1, 78.1],
        6: [74.0, 73.6, 73.4],
        7: [78.8, 78.6, 78.2],
        8: [71.6, 73.4, 72.9],
    }
    rows = {row["net"]: list(row["paper"].values()) for row in tables.table_3(described(), {})}
    assert rows == {"cnn": [73.0, 83.7, 88.0], "rcnn_s": [74.1, None, None], "rcnn_r": [81.0, 76.4, 86.3]}


def test_table_3_is_the_mean_over_the_splits():
    accuracies = figures(KEYS)
    for row in tables.table_3(described(), accuracies):
        shares = [100 * accuracies[row["net"], split, 5][5, "high"]["log-mean"] for split in (1, 2)]
        assert list(row["splits"]["image"].values()) == shares
        assert row["ours"] == {"image": sum(shares) / 2, "optical flow": None, "two-stream": None}


def test_all_streams_of_table_3():
    names = ["cnn", "rcnn_r", "rcnn_s", "cnn_flow", "rcnn_r_flow", "cnn_two_stream", "rcnn_r_two_stream"]
    accuracies = figures([(name, split, 5) for split in (1, 2) for name in names])
    del accuracies["rcnn_r_two_stream", 2, 5]
    for row in tables.table_3(described(**FLOW), accuracies):
        for stream, end in (("image", ""), ("optical flow", "_flow"), ("two-stream", "_two_stream")):
            shares = {split: accuracies.get((row["net"] + end, split, 5)) for split in (1, 2)}
            shares = {split: of and 100 * of[5, "high"]["log-mean"] for split, of in shares.items()}
            assert row["splits"][stream] == shares
            assert row["ours"][stream] == (None if None in shares.values() else sum(shares.values()) / 2)
        missing = [stream for stream, mean in row["ours"].items() if mean is None]
        assert missing == {"cnn": [], "rcnn_r": ["two-stream"], "rcnn_s": ["optical flow", "two-stream"]}[row["net"]]
    asked = described(**FLOW, flow={"method": "dis"})
    second = tables.both(asked, tables.table_2(asked, accuracies), tables.table_3(asked, accuracies))[1]
    row = dict(zip(second.head[1::2], second.rows[0][1::2]))
    shares = [accuracies["cnn_flow", split, 5][5, "high"]["log-mean"] for split in (1, 2)]
    assert row["optical flow"] == f"{50 * sum(shares):.1f}"
    assert "Optical flow by the method dis; two-stream: the mean of the logarithms" in second.notes[1]
    assert "by the method" not in str(
        tables.both(described(), tables.table_2(asked, accuracies), tables.table_3(asked, accuracies))
    )


def test_what_is_missing_is_none_and_nothing_else():
    accuracies = figures(KEYS)
    del accuracies["rcnn_r", 2, 5], accuracies["rcnn_s", 1, 5], accuracies["rcnn_r", 1, 25]
    rows = tables.table_2(described(), accuracies)
    assert [row["row"] for row in rows if None in row["ours"].values()] == [1, 8]
    third = {row["net"]: row for row in tables.table_3(described(), accuracies)}
    there = {
        net: [row["ours"]["image"] is not None, *(value is not None for value in row["splits"]["image"].values())]
        for net, row in third.items()
    }
    assert there == {"cnn": [True, True, True], "rcnn_r": [False, True, False], "rcnn_s": [False, False, True]}


@pytest.mark.parametrize(
    "values, missing",
    [
        ({"crops": [1, 5]}, [4]),
        ({"crops": [1]}, [1, 3, 4, 5, 6, 7, 8]),
        ({"signals": ["high"]}, [5, 6]),
        ({"samplings": ["sequential"]}, [1, 2, 3, 4, 5, 6, 7]),
        ({"fps": [5]}, [1]),
    ],
)
def test_rows_that_were_not_asked_for_are_dashes(values, missing):
    asked = described(**values)
    nets = [tables.NET_OF[sampling] for sampling in asked.samplings]
    accuracies = {
        key: dict.fromkeys(tables.wanted(key, asked), dict.fromkeys(tables.FUSIONS, 0.5))
        for key in KEYS
        if key[0] in ("cnn", *nets) and key[2] in asked.fps
    }
    rows = tables.table_2(asked, accuracies)
    assert [row["row"] for row in rows if None in row["ours"].values()] == missing
    assert tables.table_3(asked, accuracies)[0]["ours"]["image"] == 50


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown():
    accuracies = figures(KEYS)
    del accuracies["rcnn_r", 1, 25]
    asked = described()
    first, second = tables.both(asked, tables.table_2(asked, accuracies), tables.table_3(asked, accuracies))
    lines = tables.markdown(first).splitlines()
    assert lines[0] == "## Table 2: settings" and "ours on toys | <b>, the paper's on UCF-101" in lines[2]
    grid = [cells(line) for line in lines if line.startswith("|")]
    assert {len(row) for row in grid} == {11} and len(grid) == 10
    assert grid[0] == "no. fps patches signal sampling mean paper max paper log-mean paper".split()
    assert grid[2] == ["1", "25", "5", "high", "random", "–", "79.5", "–", "79.6", "–", "79.7"]
    ours = 100 * accuracies["rcnn_r", 1, 5][5, "high"]["log-mean"]
    assert grid[4][-2:] == [f"{ours:.1f}", "80.0"] and grid[9][0] == "8 [a]" and grid[8][3] == "fusion of three"
    assert "[a] In the text at hand it is not certain which" in lines[-2]
    lines = tables.markdown(second).splitlines()
    grid = [cells(line) for line in lines if line.startswith("|")]
    assert grid[0][-2:] == ["split 1", "split 2"] and grid[2][0] == "single-frame CNN [b]"
    image = [100 * accuracies["rcnn_s", split, 5][5, "high"]["log-mean"] for split in (1, 2)]
    assert grid[3] == ["RCNN-s", f"{sum(image) / 2:.1f}", "74.1", "–", "–", "–", "–", *(f"{x:.1f}" for x in image)]
    assert any("CNN + SVM of its reference [12], another network" in line for line in lines)


def test_a_file_of_tables(tmp_path):
    asked, accuracies = described(), figures(KEYS)
    both = tables.both(asked, tables.table_2(asked, accuracies), tables.table_3(asked, accuracies))
    (tmp_path / "tables.json").write_text(tables.text(both, ["a: it fails"]), encoding="utf-8")
    read, problems = tables.read(tmp_path / "tables.json")
    assert problems == ["a: it fails"] and read == both and len(both) == 2
    least = {"tables": [{"title": "T", "head": ["a"], "rows": [["1"]]}]}
    (tmp_path / "tables.json").write_text(json.dumps(least))
    assert tables.read(tmp_path / "tables.json") == ([tables.Table("T", ["a"], [["1"]])], [])


def table(row):
    return f'{{"tables": [{{"title": "T", "head": ["a"], "rows": [{row}]}}]}}'


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "t.json is not JSON of the form"),
        ("[]", "t.json is not JSON of the form"),
        ('{"tables": [{"title": "T"}]}', "t.json is not JSON of the form"),
        (table('["1", "2"]'), "t.json: table T: row 1 has 2 cells, the head 1"),
        (table("[1]"), "t.json: table T: not all its cells are"),
        (table('"b"'), "t.json: table T: b is no list of cells"),
        (None, "tables: no such file: .*t.json"),
    ],
)
def test_what_is_no_file_of_tables_is_one_line(tmp_path, text, message):
    if text is not None:
        (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        tables.read(tmp_path / "t.json")
    assert "\n" not in str(error.value)


def test_markdown_is_no_file_of_tables(tmp_path):
    (tmp_path / "t.md").write_text("| a |")
    with pytest.raises(InputError, match="t.md is Markdown; give the tables.json that tools/reproduce.py writes"):
        tables.read(tmp_path / "t.md")
