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


def store(path, seed, split, previous=None, favour=0.25):
    """Write scores of 9 videos of 3 to 6 frames, for a probe without the first and the last; favour: the right ones."""
    generator, videos = np.random.default_rng(seed), []
    for index in range(9):
        values = made_scores.softmax(generator, 3 + index % 4, 5, 3, 3)
        values[..., index % 3] += favour
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


def of(paths, signal="high", crops=5, averaged=1, likes=None):
    """Return the Outcomes of files, or of tuples of files to fuse, one a split."""
    parts = []
    for each, like in zip(paths, likes or [None] * len(paths)):
        opened = [Scores(path) for path in (each if isinstance(each, tuple) else (each,))]
        parts.append(outcomes(opened, signal, crops, averaged, like=like and Scores(like)))
    return pooled(parts)


def both(files, net, end=5, splits=(1, 2)):
    return [files[net, split, end] for split in splits]


def plain(interval):
    return dict(zip(("value", "low", "high"), interval))


def better(measure, *controls):
    """Return the CNN that is better by a measure, the averaged one where they are equal."""
    return max(controls[::-1], key=lambda control: getattr(control, measure))


def check(row, outcome, controls):
    """Hold a row's accuracies and gains against an Outcomes and those of the CNN and the averaged CNN."""
    assert [row["pair"], row["video"]] == list(map(plain, outcome.intervals()))
    by_pair, by_video = better("pair_accuracy", *controls), better("accuracy", *controls)
    same = {id(control): name for control, name in zip(controls, ("single-frame CNN", "CNN averaged over both frames"))}
    for kind, place, best in (("pair_gain", 0, by_pair), ("video_gain", 1, by_video)):
        expected = None if same[id(best)] == row["net"] else plain(outcome.intervals(best)[place])
        assert row[kind] == expected


CNNS = ("single-frame CNN", "CNN averaged over both frames")
FILES = {
    CNNS[0]: ("cnn",),
    CNNS[1]: ("cnn",),
    "RCNN-r": ("rcnn_r",),
    "RCNN-s": ("rcnn_s",),
    "RCNN-r, average": ("rcnn_r average",),
    "CNN + RCNN-r fused": ("cnn", "rcnn_r"),
    "CNN + RCNN-r, average fused": ("cnn", "rcnn_r average"),
    "CNNs of seeds 1 and 2 fused": ("cnn", "cnn 2"),
}


def fused_paths(files, name, splits=(1, 2)):
    return list(zip(*(both(files, net, splits=splits) for net in FILES[name])))


def test_rows_by_the_pair(stored):
    files, _ = stored
    rows = pair_tables.pairs(asked(signals=["low", "high"]), files)
    titles = [*CNNS, "RCNN-r", "RCNN-s", "CNN + RCNN-r fused"]
    assert [(row["signal"], row["net"]) for row in rows] == [
        (each, title) for each in ("low", "high") for title in titles
    ]
    for row in rows:
        controls = [of(both(files, "cnn"), row["signal"], averaged=number) for number in (1, 2)]
        averaged = 2 if row["net"] == CNNS[1] else 1
        check(row, of(fused_paths(files, row["net"]), row["signal"], averaged=averaged), controls)
        assert (row["pairs"], row["videos"]) == (2 * (3 * 2 + 2 * 3 + 2 * 4 + 2 * 5), 18)
    assert len({row["pair"]["value"] for row in rows}) > 5


@pytest.fixture(scope="module")
def more(stored, tmp_path_factory):
    """Return the score files of `stored` with those of a variant, and of a CNN of another seed of the first split."""
    folder, (files, probes) = tmp_path_factory.mktemp("more"), stored
    variant = ("rcnn_r average", 1), ("rcnn_r average", 2)
    files = {
        **files,
        **{(net, split, 5): store(folder / f"a{split}.h5", 70 + split, split) for net, split in variant},
        ("cnn 2", 1, 5): store(folder / "seed.h5", 80, 1),
    }
    shown = {
        (net, split, previous): store(folder / f"{previous}{split}.h5", 90 + split + 2 * place, split, previous)
        for net, split in variant
        for place, previous in enumerate(PROBE)
    }
    return files, {**probes, **shown}


MORE = {"variants": {"average": {"nets": {"combine": "average"}}}, "variants-splits": "all", "seeds": [1, 2]}


def test_variants_and_fused_nets_have_rows_of_their_own_splits(more):
    """Two CNNs of different seeds are a control of the first split, compared with that split's CNN."""
    files, _ = more
    rows = {row["net"]: row for row in pair_tables.pairs(asked(**MORE, signals=["high"]), files)}
    assert list(rows) == [
        *CNNS,
        *("RCNN-r", "RCNN-s", "RCNN-r, average", "CNN + RCNN-r fused", "CNN + RCNN-r, average fused"),
        "CNNs of seeds 1 and 2 fused",
    ]
    for name, row in rows.items():
        splits = [1] if "seeds" in name else [1, 2]
        assert row["splits"] == splits
        controls = [of(both(files, "cnn", splits=splits), averaged=number) for number in (1, 2)]
        check(row, of(fused_paths(files, name, splits), averaged=2 if name == CNNS[1] else 1), controls)
    values = [row["pair"]["value"] for row in rows.values()]
    assert len(set(values)) > 5
    (table,) = pair_tables.tables(asked(**MORE), list(rows.values()), [])
    assert table.head[2:4] == ["splits", "videos"] and table.rows[-1][2:4] == ["1", "9"]
    assert table.rows[0][2:4] == ["1, 2", "18"] and "each row's splits" in table.lead


def test_the_probe_of_fused_nets_and_variants(more):
    """The CNN's part is its own scores at t, whatever the other net is shown."""
    files, probes = more
    rows = {(row["net"], row["previous"]): row for row in pair_tables.motion(asked(**MORE), files, probes)}
    likes = both(probes, "rcnn_r", "same")
    controls = [of(both(files, "cnn"), "high", 1, averaged, likes) for averaged in (1, 2)]
    for name, net in (("RCNN-r, average", "rcnn_r average"), ("CNN + RCNN-r fused", "rcnn_r")):
        true = of(fused_paths(files, name), "high", 1, 1, likes)
        for previous in ("true", *PROBE):
            last = both(files, net) if previous == "true" else both(probes, net, previous)
            paths = list(zip(both(files, "cnn"), last)) if "fused" in name else last
            outcome, row = of(paths, "high", 1, 1, likes), rows[name, previous]
            check(row, outcome, controls)
            changes = [None, None] if previous == "true" else list(map(plain, outcome.intervals(true)))
            assert [row["pair_change"], row["video_change"]] == changes
    assert not any("seeds" in net or net == "CNN + RCNN-s fused" for net, _ in rows)


def test_rows_of_the_probe(stored):
    files, probes = stored
    rows = {(row["net"], row["previous"]): row for row in pair_tables.motion(asked(), files, probes)}
    past = pair_tables.PAST
    assert list(rows) == [
        *(("RCNN-r", previous) for previous in ("true", *PROBE)),
        *(("RCNN-s", previous) for previous in (past, "true", *PROBE)),
        *(("CNN + RCNN-r fused", previous) for previous in ("true", *PROBE)),
        *((net, "–") for net in CNNS),
    ]
    likes = both(probes, "rcnn_r", "same")

    def expected(paths, averaged=1):
        return of(paths, "high", 1, averaged, likes)

    controls = [expected(both(files, "cnn"), averaged) for averaged in (1, 2)]
    true = {"RCNN-r": expected(both(files, "rcnn_r")), "RCNN-s": expected(both(probes, "rcnn_s", "true"))}
    for (name, previous), row in rows.items():
        assert row["pairs"] == 2 * (3 * 1 + 2 * 2 + 2 * 3 + 2 * 4) and row["videos"] == 18
        if "fused" in name:
            continue
        net = FILES[name][0]
        paths = both(probes, net, previous) if (net, 1, previous) in probes else both(files, net)
        outcome = expected(paths, 2 if name == CNNS[1] else 1)
        check(row, outcome, controls)
        change = previous not in ("true", "–")
        assert row["pair_change"] == (plain(outcome.intervals(true[name])[0]) if change else None)


def test_the_tables(stored):
    files, probes = stored
    rows = pair_tables.pairs(asked(), files), pair_tables.motion(asked(), files, probes)
    first, second = pair_tables.tables(asked(), *rows)
    assert json.loads(tables.text([first, second]))["tables"][1]["rows"] == second.rows
    row = rows[0][2]
    shares = [f"{100 * row['pair'][name]:.1f}" for name in ("value", "low", "high")]
    gains = [f"{100 * row['pair_gain'][name]:+.1f}" for name in ("value", "low", "high")]
    assert first.rows[2][:3] == ["RCNN-r", "low", "{} ({} to {})".format(*shares)]
    assert first.rows[2][4] == "{} ({} to {})".format(*gains)
    assert "–" in [first.rows[0][4], first.rows[1][4]] and "splits" not in first.head
    assert "split 1, 2 together, 5 fps, 5 crops; 60 pairs, 18 videos" in first.lead
    assert second.rows[1][:2] == ["RCNN-r", "same"] and second.rows[0][6:] == ["–", "–"]
    assert second.rows[1][6] != "–" and len(second.head) == 8
    assert "high signal, 1 crop, first and last frames left out; 42 pairs, 18 videos" in second.lead
    assert any(note == "same: frame t itself." for note in second.notes)


def test_what_is_missing_is_left_out_split_by_split(stored):
    """Of an unfinished study each row is of the splits that it has, and a gain is over the CNN of the same splits."""
    files, probes = stored
    lacking = {key: path for key, path in files.items() if key != ("cnn", 2, 5)}
    rows = {row["net"]: row for row in pair_tables.pairs(asked(signals=["high"]), lacking)}
    assert {net: row["splits"] for net, row in rows.items()} == {
        **dict.fromkeys(CNNS, [1]),
        **dict.fromkeys(("RCNN-r", "RCNN-s"), [1, 2]),
        "CNN + RCNN-r fused": [1],
    }
    assert rows["RCNN-r"]["pair_gain"] is None and rows["CNN + RCNN-r fused"]["pair_gain"] is not None
    fewer = {key: path for key, path in probes.items() if key != ("rcnn_r", 2, "other")}
    found = {(row["net"], row["previous"]): row["splits"] for row in pair_tables.motion(asked(), files, fewer)}
    assert found["RCNN-r", "true"] == found["RCNN-r", "same"] == found["RCNN-r", "other"] == [1]
    assert found["RCNN-s", "same"] == found[CNNS[0], "–"] == [1, 2]
    assert pair_tables.motion(asked(), files, {}) == [] and pair_tables.pairs(asked(), {}) == []
    assert pair_tables.tables(asked(), [], []) == []


def test_one_group_has_no_interval(tmp_path):
    even = made_scores.softmax(np.random.default_rng(1), 4, 5, 3, 3)
    made_scores.write(tmp_path / "s.h5", [("v_A_g01_c01", 0, even), ("v_A_g01_c02", 0, even)], 5, SIGNALS, CLASSES)
    rows = pair_tables.pairs(asked(splits=[1]), {("cnn", 1, 5): tmp_path / "s.h5"})
    assert rows[0]["pair"]["low"] is None and "NaN" not in json.dumps(rows)
    (table,) = pair_tables.tables(asked(splits=[1]), rows, [])
    assert table.rows[0][2] == f"{100 * rows[0]['pair']['value']:.1f}"
