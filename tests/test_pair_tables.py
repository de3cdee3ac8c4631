"""rcnn/experiments/pair_tables.py: rows against rcnn.scoring.outcomes, which has NumPy's in tests/test_outcomes.py."""

import json

import made_scores
import numpy as np
import pytest
from test_description import GIVEN

from rcnn.experiments import description, pair_tables, tables
from rcnn.googlenet import SIGNALS
from rcnn.scoring.outcomes import outcomes, pooled
from rcnn.scoring.score_files import Scores

CLASSES = ["A", "B", "C"]
NETS = ("cnn", "rcnn_r", "rcnn_s")
PROBE = ["same", "other"]


def store(path, seed, split, previous=None):
    """Write scores of 9 videos of 3 to 6 frames, for a probe without the first and the last."""
    generator, videos = np.random.default_rng(seed), []
    for index in range(9):
        values = made_scores.softmax(generator, 3 + index % 4, 5, 3, 3)
        values[..., index % 3] += 0.25
        videos.append((f"v_{CLASSES[index % 3]}_g{split}{index // 3}_c01", index % 3, values))
    listed = made_scores.listed(videos)
    if previous:
        listed = [(name, label, times[1:-1]) for name, label, times in listed]
        videos = [(name, label, values[1:-1]) for name, label, values in videos]
    attributes = {"previous": previous} if previous else {}
    with made_scores.writing(path, listed, 5, SIGNALS, CLASSES, attributes) as writer:
        made_scores.fill(writer, videos)
    return path


def asked(**values):
    return description.parse({**GIVEN, "splits": [1, 2], "fps": [5], "crops": [1, 5], "probe": PROBE, **values})


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return (score files, score files of the probe) as of plan."""
    folder = tmp_path_factory.mktemp("scores")
    files = {
        (net, split, 5): store(folder / f"{net}{split}.h5", 10 * place + split, split)
        for place, net in enumerate(NETS)
        for split in (1, 2)
    }
    shown = [("rcnn_r", each) for each in PROBE] + [("rcnn_s", each) for each in ("true", *PROBE)]
    probes = {
        (net, split, previous): store(folder / f"{net}{previous}{split}.h5", 99 + 10 * place + split, split, previous)
        for place, (net, previous) in enumerate(shown)
        for split in (1, 2)
    }
    return files, probes


def of(paths, signal="high", crops=5, averaged=1, likes=(None, None)):
    return pooled(
        [
            outcomes([Scores(path)], signal, crops, averaged, like=like and Scores(like))
            for path, like in zip(paths, likes)
        ]
    )


def both(files, net, end=5):
    return [files[net, split, end] for split in (1, 2)]


def plain(interval):
    return dict(zip(("value", "low", "high"), interval))


def test_rows_by_the_pair(stored):
    files, _ = stored
    rows = pair_tables.pairs(asked(signals=["low", "high"]), files)
    titles = ["single-frame CNN", "CNN averaged over both frames", "RCNN-r", "RCNN-s"]
    assert [(row["signal"], row["net"]) for row in rows] == [
        (each, title) for each in ("low", "high") for title in titles
    ]
    for row in rows:
        net = dict(zip(titles, ("cnn", "cnn", "rcnn_r", "rcnn_s")))[row["net"]]
        outcome = of(both(files, net), row["signal"], averaged=2 if "averaged" in row["net"] else 1)
        control = of(both(files, "cnn"), row["signal"], averaged=2)
        assert [row["pair"], row["video"]] == list(map(plain, outcome.intervals()))
        gains = [None, None] if "averaged" in row["net"] else list(map(plain, outcome.intervals(control)))
        assert [row["pair_gain"], row["video_gain"]] == gains
        assert (row["pairs"], row["videos"]) == (2 * (3 * 2 + 2 * 3 + 2 * 4 + 2 * 5), 18)
    assert len({row["pair"]["value"] for row in rows}) > 5


def test_rows_of_the_probe(stored):
    files, probes = stored
    rows = {(row["net"], row["previous"]): row for row in pair_tables.motion(asked(), files, probes)}
    past = pair_tables.PAST
    assert list(rows) == [
        *(("RCNN-r", previous) for previous in ("true", *PROBE)),
        *(("RCNN-s", previous) for previous in (past, "true", *PROBE)),
        *((net, "–") for net in ("single-frame CNN", "CNN averaged over both frames")),
    ]
    likes = both(probes, "rcnn_r", "same")

    def expected(paths, averaged=1):
        return of(paths, "high", 1, averaged, likes)

    true = {"RCNN-r": expected(both(files, "rcnn_r")), "RCNN-s": expected(both(probes, "rcnn_s", "true"))}
    for (name, previous), row in rows.items():
        net = {"RCNN-r": "rcnn_r", "RCNN-s": "rcnn_s"}.get(name, "cnn")
        probed = (net, 1, previous) in probes
        paths = both(probes, net, previous) if probed else both(files, net)
        outcome = expected(paths, 2 if "averaged" in name else 1)
        assert [row["pair"], row["video"]] == list(map(plain, outcome.intervals()))
        change = previous not in ("true", "–")
        assert row["pair_gain"] == (plain(outcome.intervals(true[name])[0]) if change else None)
        assert row["pairs"] == 2 * (3 * 1 + 2 * 2 + 2 * 3 + 2 * 4) and row["videos"] == 18


def test_the_tables(stored):
    files, probes = stored
    rows = pair_tables.pairs(asked(), files), pair_tables.motion(asked(), files, probes)
    first, second = pair_tables.tables(asked(), *rows)
    assert json.loads(tables.text([first, second]))["tables"][1]["rows"] == second.rows
    row = rows[0][2]
    shares = [f"{100 * row['pair'][name]:.1f}" for name in ("value", "low", "high")]
    gains = [f"{100 * row['pair_gain'][name]:+.1f}" for name in ("value", "low", "high")]
    assert first.rows[2][:3] == ["RCNN-r", "low", "{} ({} to {})".format(*shares)]
    assert first.rows[2][4] == "{} ({} to {})".format(*gains) and first.rows[1][4] == "–"
    assert "split 1, 2 together, 5 fps, 5 crops; 60 pairs, 18 videos" in first.lead
    assert second.rows[1][:2] == ["RCNN-r", "same"] and second.rows[0][4:] == ["–", "–"]
    assert "high signal, 1 crop, first and last frames left out; 42 pairs, 18 videos" in second.lead
    assert any(note == "same: frame t itself." for note in second.notes)


def test_what_is_missing_has_no_row(stored):
    files, probes = stored
    lacking = {key: path for key, path in files.items() if key != ("cnn", 2, 5)}
    rows = pair_tables.pairs(asked(), lacking)
    assert {row["net"] for row in rows} == {"RCNN-r", "RCNN-s"} and all(row["pair_gain"] is None for row in rows)
    fewer = {key: path for key, path in probes.items() if key != ("rcnn_r", 2, "other")}
    found = [(row["net"], row["previous"]) for row in pair_tables.motion(asked(), lacking, fewer)]
    assert ("RCNN-r", "other") not in found and ("RCNN-r", "same") in found and ("single-frame CNN", "–") not in found
    assert pair_tables.motion(asked(), files, {}) == [] and pair_tables.pairs(asked(), {}) == []
    assert pair_tables.tables(asked(), [], []) == []


def test_one_group_has_no_interval(tmp_path):
    even = made_scores.softmax(np.random.default_rng(1), 4, 5, 3, 3)
    made_scores.write(tmp_path / "s.h5", [("v_A_g01_c01", 0, even), ("v_A_g01_c02", 0, even)], 5, SIGNALS, CLASSES)
    rows = pair_tables.pairs(asked(splits=[1]), {("cnn", 1, 5): tmp_path / "s.h5"})
    assert rows[0]["pair"]["low"] is None and "NaN" not in json.dumps(rows)
    (table,) = pair_tables.tables(asked(splits=[1]), rows, [])
    assert table.rows[0][2] == f"{100 * rows[0]['pair']['value']:.1f}"
