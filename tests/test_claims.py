"""rcnn/experiments/claims.py: figures against NumPy and Caffe, verdicts against Student's table."""

import json
from dataclasses import replace
from pathlib import Path

import caffe
import frames
import numpy as np
import pytest
from made_scores import softmax, write
from nets import Tiny, recipe
from test_tables import FUSE

from rcnn.data.synthetic import scenes
from rcnn.experiments import claim_figures, claims, description, plan
from rcnn.files import InputError
from rcnn.googlenet import SIGNALS
from rcnn.nets import prototxt as net

NETS = {
    "width": 0.0625,
    "size": 33,
    "batch": 4,
    "scale": 0.015625,
    "combine": "sum",
    "filler": "msra",
    "temporal-filler": "constant",
    "bias": 0,
    "cnn-iterations": 2,
    "stage1-iterations": 2,
    "iterations": 8,
    "clip-gradients": 2,
    "display": 1,
    "test-iterations": 1,
    "test-interval": 100,
    "snapshot": 8,
}
TINY = {
    "name": "tiny scenes",
    "make": {"set": "scenes", "groups": 2, "clips": 1, "seconds": [1, 1.2]},
    "splits": [1],
    "fps": [25, 5],
    "size": 36,
    "nets": NETS,
    "unhalved": True,
    "streams": ["image", "flow"],
    "flow": {"method": "dis", "bound": 3},
    "variants": {
        "one stage": {"stages": 1},
        "nothing": {"start": "nothing", "stages": 1},
        "xavier": {"start": "nothing", "stages": 1, "nets": {"filler": "xavier", "temporal-filler": "xavier"}},
        "average": {"unhalved": False, "nets": {"combine": "average", "temporal-filler": "msra"}},
        "halved sum": {"unhalved": False, "nets": {"temporal-filler": "msra"}},
        "previous loss": {"nets": {"previous-loss": "yes"}},
        "uncut gradient": {"nets": {"cut-gradient": "no"}},
        "two crops": {"nets": {"together": "no"}},
    },
    "recurrent-test": True,
    "motion-energy": True,
    "test-batch": 40,
}
STUDENT = {3: 2.920, 5: 2.132}  # 95 % points of Student's distribution, by the number of seeds
BATCH = NETS["batch"]


def judge(differences, **more):
    """Return the verdict on figures that differ so."""
    measured = [{"a": 0.25 + difference, "b": 0.25} for difference in differences]
    return claims.judge(claims.Comparison("a beats b", "a", "b", **more), measured)


@pytest.mark.parametrize(
    "differences, verdict",
    [
        ([0.1, 0.2, 0.3], "holds"),
        ([-0.1, -0.2, -0.3], "the opposite holds"),
        ([0.05, 0.2, 0.35], "not decided"),
        ([-0.05, -0.2, -0.35], "not decided"),
        ([0.0, 0.0, 0.0], "not decided"),
        ([0.1, 0.1, 0.1], "holds"),
        ([0.2, 0.1, 0.3, 0.05, 0.02], "holds"),
        ([0.2, 0.1, 0.3, 0.05, -0.1], "not decided"),
    ],
)
def test_a_verdict(differences, verdict):
    result, number = judge(differences), len(differences)
    mean = sum(differences) / number
    deviation = (sum((value - mean) ** 2 for value in differences) / (number - 1)) ** 0.5
    half = STUDENT[number] * deviation / number**0.5
    assert result["verdict"] == verdict and result["differences"] == pytest.approx(differences)
    assert (result["mean"], result["deviation"]) == pytest.approx((mean, deviation), abs=1e-12)
    assert (result["low"], result["high"]) == pytest.approx((mean - half, mean + half), rel=1e-3, abs=1e-12)
    assert (result["text"], result["better"], result["worse"]) == ("a beats b", "a", "b")
    json.dumps(result, allow_nan=False)


def test_of_a_loss_less_is_better():
    result = judge([-0.1, -0.2, -0.3], lower=True)
    assert result["verdict"] == claims.HOLDS and result["differences"] == pytest.approx([0.1, 0.2, 0.3])
    assert judge([0.1, 0.2, 0.3], lower=True)["verdict"] == claims.OPPOSITE


def test_one_seed_decides_nothing():
    result = judge([0.9])
    assert (result["verdict"], result["mean"]) == (claims.OPEN, pytest.approx(0.9))
    assert result["deviation"] is result["low"] is result["high"] is None


def test_a_figure_against_nothing():
    result = claims.judge(claims.Comparison("there are jumps", "a"), [{"a": 0.5}, {"a": 0.25}])
    assert result["differences"] == [0.5, 0.25] and result["worse"] is None


@pytest.mark.parametrize(
    "text, better, worse",
    [
        (
            "its loss is lower at the end (last tenth of stage 2)",
            "loss, RCNN-r, end of stage 2",
            "loss, RCNN-s, end of stage 2",
        ),
        ("RCNN-r beats RCNN-s", "RCNN-r, 5 crops", "RCNN-s, 5 crops"),
        ("high beats medium", "RCNN-r, 5 crops", "RCNN-r, 5 crops, medium"),
        ("medium beats low", "RCNN-r, 5 crops, medium", "RCNN-r, 5 crops, low"),
        ("5 crops beat 10", "RCNN-r, 5 crops", "RCNN-r, 10 crops"),
        ("log-mean beats maximum", "RCNN-r, 5 crops", "RCNN-r, 5 crops, max"),
        ("5 fps beats 25 fps", "RCNN-r, 5 crops", "RCNN-r at 25 fps, 5 crops"),
        ("RCNN-r's flow stream beats the CNN's", "RCNN-r flow, 5 crops", "CNN flow, 5 crops"),
        ("RCNN-r's image stream alone beats the CNN's two", "RCNN-r, 5 crops", "CNN two-stream, 5 crops"),
        ("the average beats a sum with halved W", "average, 1 crop", "halved sum, 1 crop"),
        ("no loss at t-1 beats one", "RCNN-r, 1 crop", "previous loss, 1 crop"),
    ],
)
def test_what_the_paper_says_is_better(text, better, worse):
    (row,) = [row for claim in claims.CLAIMS for row in claim.comparisons if row.text == text]
    assert (row.better, row.worse, row.lower) == (better, worse, better.startswith("loss"))


def test_names():
    assert claim_figures.name("RCNN-r", 5) == "RCNN-r, 5 crops" and claim_figures.name("CNN", 1) == "CNN, 1 crop"
    assert claim_figures.name("CNN", 10, "low", "max", "motion") == "CNN, 10 crops, low, max, classes told by movement"
    assert claim_figures.name("CNN", 5, "all") == "CNN, 5 crops, three signals"
    assert claim_figures.energy("without motion", "sum") == "conv1, sum, without motion"
    titles = [claim.title for claim in claims.CLAIMS]
    assert len(set(titles)) == len(titles) and {claims.LOSSES, claims.NETS} < set(titles)


@pytest.mark.parametrize("number", [1, 30, 450])
def test_the_trend_is_the_mean_of_the_neighbours(number):
    values = np.random.default_rng(number).normal(size=number)
    expected = [values[max(0, place - 100) : place + 101].mean() for place in range(number)]
    assert claim_figures.trend(values) == pytest.approx(np.array(expected), abs=1e-12)


def test_the_jump_of_a_made_series():
    """Without noise it is what was put in, with noise and a loss that falls near it; the first half is left out."""
    generator = np.random.default_rng(5)
    begun = generator.binomial(8, 0.2, 3000)
    assert claim_figures.jump(2 + 0.75 * begun / 8, begun, 8) == pytest.approx(0.75, abs=1e-9)
    raw = 2 * np.exp(-np.arange(3000) / 1500) + generator.normal(0, 0.05, 3000) + 0.75 * begun / 8
    raw[:1300] += begun[:1300]
    assert claim_figures.jump(raw, begun, 8) == pytest.approx(0.75, abs=0.03)
    assert claim_figures.jump(raw, np.zeros(3000, np.int64), 8) == 0


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Return (Description, folder of its run) with the frames, lists and logs of an RCNN-s of few videos."""
    monkeypatch.chdir(tmp_path)
    asked, out = replace(description.parse(TINY), seed=7), Path("out")
    classes = list(scenes.CLASSES)[:3]
    videos = {
        f"v_{name}_g{group:02d}_c01": (label, 2 + (3 * label + group) % 5)
        for group in (1, 2)
        for label, name in enumerate(classes)
    }
    listed = frames.write(plan.frames(asked, out), videos, classes).with_suffix(".txt")
    lists = description.lists(asked, out)
    lists.folder.mkdir(parents=True)
    lists.train(1).write_text(listed.read_text())
    lists.classes.write_text("".join(f"{number} {name}\n" for number, name in enumerate(classes, 1)))
    claim_figures.snapshots(asked, out).mkdir(parents=True)
    interrupted(asked, out)
    return asked, out


def interrupted(asked, out, *places):
    """Write what caffe prints of RCNN-s where it goes on from snapshots of these iterations."""
    lines = ["I1123 15:06:31.1 20113 caffe.cpp:197] Use CPU."]
    lines += [
        f"I1123 15:06:31.2 20113 caffe.cpp:254] Resuming from {claim_figures.snapshots(asked, out)}/"
        f"rcnn_s_iter_{place}.solverstate"
        for place in places
    ]
    (claim_figures.snapshots(asked, out) / "rcnn_s.caffe.log").write_text(
        "\n".join([*lines, "Optimization Done."]) + "\n"
    )


def marks(asked, out, updates):
    """Return how many rows SequentialFrames marks as a video's first in each of its first passes in Caffe."""
    message = net.rcnn_s(
        recipe(Tiny(size=9, classes=3), batch=BATCH, seed=asked.seed),
        plan.frames(asked, out),
        description.lists(asked, out).train(1),
        net.TRAIN,
    )
    del message.layer[1:]
    Path("net.prototxt").write_text(str(message))
    made = caffe.Net("net.prototxt", caffe.TRAIN)
    return [int(made.forward()["first"].sum()) for _ in range(updates)]


def test_videos_begin_where_the_layer_says(trained):
    expected = marks(*trained, 25)
    assert claim_figures.beginnings(*trained, 25).tolist() == expected and expected[0] == BATCH and 0 in expected
    other = replace(trained[0], seed=8), trained[1]
    assert claim_figures.beginnings(*other, 25).tolist() == marks(*other, 25) != expected


def test_a_training_that_goes_on_begins_its_videos_anew(trained):
    whole = marks(*trained, 25)
    interrupted(*trained, 12)
    assert claim_figures.beginnings(*trained, 25).tolist() == whole[:12] + whole[:13]
    interrupted(*trained, 12, 18, 6)
    assert claim_figures.beginnings(*trained, 25).tolist() == whole[:6] + whole[:19]
    interrupted(*trained, 40)
    assert claim_figures.beginnings(*trained, 25).tolist() == whole


def log_of(path, raw):
    """Write a training log of these losses of each update, and of one more that was only displayed."""
    record = {"phase": "train", "average_loss": 40, "outputs": {}, "seconds": 1}
    records = [{**record, "iteration": place, "loss": value**2, "raw": value} for place, value in enumerate(raw)]
    last = {**record, "iteration": len(raw), "loss": 9, "raw": None}
    path.write_text("\n".join(map(json.dumps, [*records, last])))


def test_losses_of_stage_2(trained):
    asked, out = trained
    generator = np.random.default_rng(2)
    raw = {name: generator.uniform(1, 3, 600) for name in ("rcnn_r", "rcnn_s")}
    raw["rcnn_s"] += 2.5 * claim_figures.beginnings(asked, out, 600) / BATCH
    for name, values in raw.items():
        log_of(claim_figures.snapshots(asked, out) / f"{name}.jsonl", values)
    result = claim_figures.losses(asked, out)
    for title, name in (("RCNN-r", "rcnn_r"), ("RCNN-s", "rcnn_s")):
        averaged = raw[name] ** 2
        around = [averaged[place] - averaged[place - 100 : place + 101].mean() for place in range(300, 600)]
        assert result[f"loss, {title}, mean of stage 2"] == pytest.approx(raw[name].mean())
        assert result[f"loss, {title}, end of stage 2"] == pytest.approx(raw[name][540:].mean())
        assert result[f"unsteadiness, {title}"] == pytest.approx(np.std(around))
    assert result["jump, RCNN-s"] == pytest.approx(2.5, abs=0.5) and len(result) == 7


def test_accuracies_by_kind(tmp_path):
    """Every figure of a score file, of each video's own loop in float64; no figure is of more crops than the file."""
    generator, classes = np.random.default_rng(4), list(scenes.CLASSES)
    labels = [*range(12), 0, 0, 4, 5, 8, 8, 8]
    videos = [softmax(generator, frames, 5, 3, 12) for frames in generator.integers(1, 6, len(labels))]
    for label, values in zip(labels, videos):
        values[..., label] *= {"appearance": 2.5, "motion": 1.2, "both": 1.7}[scenes.CLASSES[classes[label]].kind]
    listed = [(f"v_{index}", label, values) for index, (label, values) in enumerate(zip(labels, videos))]
    write(tmp_path / "s.h5", listed, 5, SIGNALS, classes)
    result = claim_figures.accuracies("CNN", tmp_path / "s.h5", (1, 5, 10))
    expected = {}
    for crops in (1, 5):
        for signal, places in {**{name: [place] for place, name in enumerate(SIGNALS)}, "all": [0, 1, 2]}.items():
            for fusion, fuse in FUSE.items():
                right = {}
                for label, values in zip(labels, videos):
                    best = fuse(values[:, :crops, places].astype(np.float64).mean((1, 2))).argmax()
                    for kind in ("all", scenes.CLASSES[classes[label]].kind):
                        right.setdefault(kind, []).append(best == label)
                for kind, values in right.items():
                    expected[claim_figures.name("CNN", crops, signal, fusion, kind)] = np.mean(values)
    assert result == pytest.approx(expected) and len(result) == 2 * 4 * 3 * 4
    kinds = [result[claim_figures.name("CNN", 5, kind=kind)] for kind in scenes.KINDS]
    assert kinds[0] > kinds[2] > kinds[1]


def without(key):
    """Return TINY without a variant."""
    return {"variants": {name: variant for name, variant in TINY["variants"].items() if name != key}}


def test_a_description_that_has_all():
    for path in (None, "claims_small", "claims_large"):
        root = Path(__file__).resolve().parent.parent
        claims.check(description.read(root / "data" / f"{path}.json") if path else description.parse(TINY))


@pytest.mark.parametrize(
    "change, said",
    [
        ({"samplings": ["random"]}, "samplings: the claims need sequential too"),
        ({"crops": [5]}, "crops: the claims need 1, 10 too"),
        ({"signals": ["high", "low"]}, "signals: the claims need medium too"),
        ({"streams": ["image"], "flow": None}, "streams: the claims need flow too"),
        (without("one stage"), "variants: the claims need one stage too"),
        ({"engine": "torch"}, "engine: the claims need caffe"),
        ({"recurrent-test": False}, "recurrent-test and motion-energy: the claims need both"),
        ({"motion-energy": False}, "recurrent-test and motion-energy: the claims need both"),
        ({"fps": [5]}, "fps and make: the claims need fps 25 and 5"),
        ({"fps": [10, 5]}, "fps and make: the claims need fps 25 and 5"),
        (
            {"make": {"appearances": ["Flowers"], "movements": ["Up"], "seconds": 1, "groups": 4, "clips": 1}},
            "videos of the set scenes",
        ),
        ({"nets": {**NETS, "display": 2}}, "the loss of every batch: display 1 and iter-size 1"),
        ({"nets": {**NETS, "iter-size": 2}}, "display 1 and iter-size 1"),
        ({"nets": {key: value for key, value in NETS.items() if key != "display"}}, "display 1"),
    ],
)
def test_a_description_that_lacks_something(change, said):
    with pytest.raises(InputError, match=f"^description: .*{said}") as error:
        claims.check(description.parse({**TINY, **change}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ahead, met", [((0.55, 0.40, 0.9), True), ((0.55, 0.35, 0.9), False), ((-0.5,), False)])
def test_the_lead_on_motion_classes(ahead, met):
    names = [f"{net}, 5 crops, classes told by movement" for net in ("RCNN-r", "CNN")]
    measured = [dict(zip(names, (0.0625 + value, 0.0625))) for value in ahead]
    points, every = claims.lead(measured)
    assert points == pytest.approx([100 * value for value in ahead]) and every is met
