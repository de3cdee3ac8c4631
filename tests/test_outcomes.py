"""rcnn/scoring/outcomes.py: pairs and videos that are right, against NumPy; bootstrap over groups."""

import made_scores
import numpy as np
import pytest

from rcnn.files import InputError
from rcnn.scoring.outcomes import Outcomes, bootstrap, group_of, outcomes, pooled
from rcnn.scoring.score_files import Scores

CLASSES = ["bend", "jack", "run"]
LABELS = {
    f"v_{name}_g{group:02d}_c{clip:02d}": label
    for label, name in enumerate(CLASSES)
    for group in (1, 2)
    for clip in (1, 2)
}
NAMES = list(LABELS)


def write(path, seed, order=NAMES, lengths=(4, 1, 9, 2), probed=False):
    """Write random scores that favour the right class; return {name: those of all frames}."""
    generator, videos = np.random.default_rng(seed), {}
    for index, name in enumerate(NAMES):
        values = np.exp(generator.normal(0, 1, (lengths[index % len(lengths)], 5, 2, 3)))
        values[..., LABELS[name]] *= 1.7
        videos[name] = (values / values.sum(-1, keepdims=True)).astype(np.float32)
    listed = [(name, LABELS[name], np.arange(len(videos[name])) / 5, videos[name]) for name in order]
    if probed:  # as evaluate.py --previous writes them
        listed = [(name, label, times[1:-1], values[1:-1]) for name, label, times, values in listed if len(times) > 2]
    attributes = {"previous": "same"} if probed else {}
    times = [(name, label, times) for name, label, times, _ in listed]
    with made_scores.writing(path, times, 5, ["low", "high"], CLASSES, attributes) as writer:
        made_scores.fill(writer, [(name, label, values) for name, label, _, values in listed])
    return videos


def logs(values, crops=5, signal=1, both=False):
    """Return the logarithms of a video's pairs, float64."""
    rows = np.log(values.astype(np.float64)[:, :crops, signal].mean(1))
    if len(rows) == 1:
        return rows
    return (rows[:-1] + rows[1:]) / 2 if both else rows[1:]


def expected(rows):
    """Return (pairs, right pairs, right) of {name: logarithms of its pairs}."""
    return (
        [len(rows[name]) for name in rows],
        [int((rows[name].argmax(1) == LABELS[name]).sum()) for name in rows],
        [bool(rows[name].sum(0).argmax() == LABELS[name]) for name in rows],
    )


def found(*files, **options):
    opened = [Scores(file) for file in files]
    if "like" in options:
        options["like"] = Scores(options["like"])
    outcome = outcomes(opened, **options)
    return outcome, (outcome.pairs.tolist(), outcome.right_pairs.tolist(), outcome.right.tolist())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("averaged", [1, 2])
@pytest.mark.parametrize("crops, signal", [(None, "high"), (1, "low")])
def test_pairs_and_videos_are_numpys(averaged, crops, signal):
    videos = write("a.h5", 1)
    outcome, counts = found("a.h5", signal=signal, crops=crops, averaged=averaged)
    place = ["low", "high"].index(signal)
    rows = {name: logs(values, crops or 5, place, averaged == 2) for name, values in videos.items()}
    assert counts == expected(rows) and list(outcome.names) == NAMES
    assert outcome.pairs.tolist()[:4] == [3, 1, 8, 1], "the one frame of a video stands for a pair"
    assert outcome.pair_accuracy == sum(counts[1]) / sum(counts[0]) and outcome.accuracy == np.mean(counts[2])
    assert 0.4 < outcome.pair_accuracy < 1 and 0.4 < outcome.accuracy < 1


def test_both_frames_are_not_one():
    write("a.h5", 1)
    assert found("a.h5")[1] != found("a.h5", averaged=2)[1]


def test_on_the_frames_of_a_probe():
    """Of the CNN averaged over both frames too, which needs frames that the probe does not score."""
    videos = write("a.h5", 1)
    write("probe.h5", 2, order=NAMES[::-1], probed=True)
    long = [name for name in NAMES[::-1] if len(videos[name]) > 2]
    for averaged in (1, 2):
        outcome, counts = found("a.h5", averaged=averaged, like="probe.h5")
        assert list(outcome.names) == long and set(outcome.pairs) == {2, 7}
        assert counts == expected({name: logs(videos[name], both=averaged == 2)[:-1] for name in long})
    probe = write("again.h5", 2, probed=True)
    assert found("again.h5")[1] == expected({name: logs(probe[name])[:-1] for name in NAMES if len(probe[name]) > 2})


@pytest.mark.parametrize("weight", [None, 0.25])
def test_two_files_are_fused_pair_by_pair(weight):
    one, two = write("a.h5", 1), write("b.h5", 2, order=NAMES[::-1])
    share = weight or 0.5
    rows = {name: share * logs(one[name]) + (1 - share) * logs(two[name]) for name in NAMES}
    assert found("a.h5", "b.h5", weight=weight)[1] == expected(rows)
    assert expected(rows) not in (found("a.h5")[1], found("b.h5")[1])


def test_what_does_not_fit_is_one_line():
    write("a.h5", 1)
    write("longer.h5", 1, lengths=(5, 2, 9, 3))
    write("probe.h5", 1, probed=True)
    write("other.h5", 1, order=NAMES[:3])
    with pytest.raises(InputError, match="video v_bend_g01_c01 lacks frames in a.h5 that are in the scores beside it"):
        found("a.h5", like="longer.h5")
    with pytest.raises(InputError, match="probe.h5 was made with --previous and lacks first frames"):
        found("probe.h5", averaged=2)
    with pytest.raises(InputError, match="video v_bend_g02_c02 is in a.h5, but not in other.h5"):
        found("other.h5", like="a.h5")
    with pytest.raises(InputError, match="the two are not of the same videos and frames"):
        found("a.h5")[0].intervals(found("longer.h5")[0])


def test_splits_are_pooled():
    write("a.h5", 1, order=NAMES[:6])
    write("b.h5", 1, order=NAMES[6:])
    write("all.h5", 1)
    parts, whole = [found(name)[0] for name in ("a.h5", "b.h5")], found("all.h5")[0]
    both = pooled(parts)
    assert (list(both.names), list(both.groups)) == (list(whole.names), list(whole.groups))
    assert both.intervals() == whole.intervals()


@pytest.mark.parametrize(
    "name, label, group",
    [
        ("v_Archery_g08_c01", "Archery", "v_Archery_g08"),
        ("daria_bend", "bend", "daria"),
        ("lena_run2", "run", "lena"),
        ("clip_001", "bend", "clip_001"),
        ("alone", "bend", "alone"),
    ],
)
def test_groups(name, label, group):
    assert group_of(name, label) == group


def test_the_interval_is_that_of_a_slow_bootstrap():
    """Groups of unequal size, drawn one by one."""
    generator = np.random.default_rng(3)
    groups = [f"g{index}" for index in generator.integers(0, 12, 80)]
    total = generator.integers(1, 9, 80)
    right = generator.binomial(total, generator.choice([0.3, 0.9], 12)[[int(group[1:]) for group in groups]])
    names, shares = sorted(set(groups)), []
    for _ in range(4000):
        drawn = [index for name in generator.choice(names, len(names)) for index in range(80) if groups[index] == name]
        shares.append(right[drawn].sum() / total[drawn].sum())
    value, low, high = bootstrap(right, total, groups)
    assert value == right.sum() / total.sum() and 0.1 < high - low < 0.5
    assert np.allclose([low, high], np.quantile(shares, [0.025, 0.975]), atol=0.015)
    alone = bootstrap(right, total, list(map(str, range(80))))
    assert alone.high - alone.low < 0.8 * (high - low), "videos of a group are not independent"


def test_bounds_that_are_known():
    """Of 100 videos each by itself, the bounds are those of the binomial distribution; of one group, none."""
    right = np.arange(100) < 50
    value, low, high = bootstrap(right, np.ones(100), list(map(str, range(100))))
    assert (value, low, high) == pytest.approx((0.5, 0.40, 0.60), abs=0.005)
    assert bootstrap(right, np.ones(100), list(map(str, range(100)))) == (value, low, high), "drawn from a seed"
    assert np.isnan(bootstrap(right, np.ones(100), ["g"] * 100)[1:]).all()


def test_a_difference_is_paired():
    """Two nets that differ in few videos have a narrow interval of the difference, whatever that of each is."""
    names = [f"v{index}" for index in range(200)]
    right = np.random.default_rng(1).random(200) < 0.5
    better = right.copy()
    better[np.flatnonzero(~right)[:10]] = True
    one, two = (Outcomes(names, names, np.full(200, 4), 4 * values, values) for values in (better, right))
    pair, video = one.intervals(two)
    assert pair == video and video.value == pytest.approx(0.05)
    assert 0.01 < video.low < video.high < 0.09 and two.intervals(one)[1].value == pytest.approx(-0.05)
    assert one.intervals()[1].high - one.intervals()[1].low > 0.1
