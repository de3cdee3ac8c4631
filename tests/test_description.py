"""rcnn/experiments/description.py: what a description may say, and the one line that answers what it may not."""

import copy
import json

import numpy as np
import pytest
from runs import ROOT

from rcnn import recipe
from rcnn.experiments import description
from rcnn.files import InputError
from rcnn.nets import prototxt_set

GIVEN = {
    "name": "two",
    "videos": "videos",
    "lists": "lists",
    "fps": [25, 5],
    "size": 72,
    "splits": [1],
    "nets": {"batch": 4, "size": 64, "cnn-iterations": 2, "stage1-iterations": 3, "iterations": 4, "snapshot": 2},
}
MAKE = {"appearances": ["Flowers"], "movements": ["Up", "Down"], "seconds": 1, "groups": 8, "clips": 3}


def changed(**values):
    """Return GIVEN with values set; None takes a key away."""
    asked = copy.deepcopy(GIVEN)
    for key, value in values.items():
        asked[key.replace("_", "-")] = value
    return {key: value for key, value in asked.items() if value is not None}


def pretrained(**values):
    """Return GIVEN from a file's weights, whose CNN has the updates of the RCNN."""
    nets = {key: value for key, value in GIVEN["nets"].items() if key != "cnn-iterations"}
    return {**changed(nets=nets), "pretrained": "bvlc.caffemodel", **values}


def nets(**values):
    return changed(nets={key: value for key, value in {**GIVEN["nets"], **values}.items() if value is not None})


def flow(**values):
    return changed(streams=["image", "flow"], flow=values)


def made(**values):
    return {**changed(videos=None, lists=None), "make": {**MAKE, **values}}


def scenes(**values):
    return {**made(), "make": {"set": "scenes", "seconds": [1, 10], "groups": 8, "clips": 3, **values}}


def variant(**values):
    return changed(variants={"other one": values})


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Two classes with a video each in training and test of split 1."""
    monkeypatch.chdir(tmp_path)
    for folder in ("lists", "videos/A", "videos/B"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("A/v_A_g01_c01.avi", "B/v_B_g01_c01.avi", "A/v_A_g02_c01.avi"):
        (tmp_path / "videos" / name).touch()
    (tmp_path / "lists/classInd.txt").write_text("1 A\n2 B\n")
    (tmp_path / "lists/trainlist01.txt").write_text("A/v_A_g01_c01.avi 1\nB/v_B_g01_c01.avi 2\n")
    (tmp_path / "lists/testlist01.txt").write_text("A/v_A_g02_c01.avi\n")


def test_what_is_given_and_what_is_not():
    read = description.parse(GIVEN)
    assert (read.name, read.fps, read.size, read.splits, read.nets["batch"]) == ("two", (25, 5), 72, (1,), 4)
    assert (read.crops, read.signals, read.samplings) == (
        (1, 5, 10),
        ("low", "medium", "high"),
        ("random", "sequential"),
    )
    assert read.pretrained is None and read.seed == 1 and not read.unhalved and read.test_pairs_per_video == 1
    assert description.parse({**GIVEN, "test-pairs-per-video": None}).test_pairs_per_video is None
    assert repr(read.fps) == "(25, 5)", "as spelled: it names files"
    assert description.parse({**GIVEN, "pretrained": None, "make": None}) == read


def test_the_flow_stream():
    assert description.parse(GIVEN).flow is None
    read = description.parse(flow())
    assert (read.flow.method, read.flow.between, read.flow.bound, read.flow.nets) == ("brox", "neighbours", 20, {})
    assert description.parse(changed(streams=["image", "flow"])) == read
    read = description.parse(flow(method="dis", between="samples", bound=3, nets={"iterations": 7, "rate": 0.1}))
    assert (read.flow.method, read.flow.between, read.flow.bound) == ("dis", "samples", 3)
    assert read.flow_nets == {"batch": 4, "size": 64, "iterations": 7, "snapshot": 2, "rate": 0.1}
    mean = {**GIVEN["nets"], "mean": [1, 2, 3], "scale": 0.5}
    assert "mean" not in description.parse({**flow(), "nets": mean}).flow_nets
    assert description.parse({**flow(nets={"mean": [127, 127]}), "nets": mean}).flow_nets["mean"] == [127, 127]
    assert description.check(read, "out").videos == 3


def test_a_flow_method_that_is_not_there(monkeypatch):
    monkeypatch.setattr("rcnn.data.flow.available", lambda: ["dis"])
    with pytest.raises(InputError, match="^flow method tvl1 .*install"):
        description.check(description.parse(flow(method="tvl1")), "out")


def test_counts_of_files():
    counts = description.check(description.parse(changed(mean_seconds=3)), "out")
    assert counts == description.Counts(2, 3, {1: (2, 1)}, 3)


def test_counts_of_made_videos():
    read = description.parse(made() | {"splits": [1, 3]})
    assert description.check(read, "out") == description.Counts(2, 48, {1: (36, 12), 3: (36, 12)}, 1)
    where = description.lists(read, "out")
    assert str(where.train(3)) == "out/videos/lists/trainlist03.txt" and str(where.videos) == "out/videos"


def test_counts_of_scenes():
    """Lengths are log-uniform; groups of 12 classes."""
    counts = description.check(description.parse(scenes()), "out")
    lengths = np.exp(np.random.default_rng(1).uniform(0, np.log(10), 100000))
    assert (counts.classes, counts.videos, counts.splits) == (12, 288, {1: (216, 72)})
    assert counts.seconds == pytest.approx(lengths.mean(), rel=0.01)
    assert description.check(description.parse(scenes(seconds=[2, 2])), "out").seconds == 2


def test_variants():
    asked = variant(nets={"combine": "sum", "iterations": 9}, unhalved=True)
    read = description.parse(asked)
    other = read.variants["other one"]
    assert other == description.Variant(nets={"combine": "sum", "iterations": 9}, unhalved=True)
    assert read.variant_nets(other) == {**GIVEN["nets"], "combine": "sum", "iterations": 9}
    assert description.parse(GIVEN).variants == {}
    assert description.parse(variant()).variants == {"other one": description.Variant()}
    of = [description.parse({**variant(), "splits": [2, 1], "variants-splits": of}) for of in ("first", "all")]
    assert [read.splits_of_variants for read in of] == [(2,), (2, 1)]
    assert description.parse(variant()).variants_splits == "first"
    for values, iterations in (
        ({}, 4),
        ({"stages": 1}, 3 + 4),
        ({"stages": 1, "nets": {"iterations": 5}}, 5),
        ({"stages": 1, "start": "nothing", "nets": {"rate": 0.1}}, 7),
    ):
        read = description.parse(variant(**values))
        assert read.variant_nets(read.variants["other one"])["iterations"] == iterations
    assert read.nets["iterations"] == 4
    assert not description.parse(GIVEN).recurrent_test and not description.parse(GIVEN).motion_energy
    read = description.parse(changed(recurrent_test=True, motion_energy=True))
    assert read.recurrent_test and read.motion_energy


def test_the_two_in_the_repository():
    motion, ucf101 = (description.read(ROOT / "data" / f"{name}.json") for name in ("motion", "ucf101"))
    assert description.check(motion, "out").splits == {split: (864, 288) for split in (1, 2, 3)}
    assert motion.flow.method == "dis" and ucf101.flow == description.Flow()
    paper = recipe.settings(recipe.Recipe())
    assert {key: paper[key] for key in ucf101.nets} == {**ucf101.nets, "snapshot": 1000}  # fewer, for their size
    assert ucf101.lists in prototxt_set.PATHS.train_list and ucf101.size == 256
    with pytest.raises(
        InputError, match="^pretrained: no such file: bvlc_googlenet.caffemodel; data/README.md says where to get it$"
    ):
        description.check(ucf101, "out")


def test_some_classes_and_missing_videos(tmp_path):
    assert description.check(description.parse(changed(only_classes=["A"])), "out").splits == {1: (1, 1)}
    with pytest.raises(InputError, match="^only-classes: C is not in the class list"):
        description.check(description.parse(changed(only_classes=["A", "C"])), "out")
    with pytest.raises(InputError, match="^split 1: it has 1 videos to train on and 0 to test on"):
        description.check(description.parse(changed(only_classes=["B"])), "out")
    (tmp_path / "videos/B/v_B_g01_c01.avi").unlink()
    with pytest.raises(InputError, match="lacks 1 of the 3 listed videos, the first is B/v_B_g01_c01.avi"):
        description.check(description.parse(GIVEN), "out")
    counts = description.check(description.parse(changed(missing="skip")), "out")
    assert (counts.classes, counts.videos, counts.splits, counts.missing) == (2, 2, {1: (1, 1)}, 1)


FOLDS = {"group": "_g([0-9]+)_", "hold_out_next": 1}


def test_folds_and_what_is_held_out(tmp_path):
    (tmp_path / "videos/A/v_A_g03_c01.avi").touch()
    read = description.parse(changed(lists=None, splits=[1, 3], **FOLDS))
    assert description.check(read, "out").splits == {1: (2, 2), 3: (3, 1)}
    assert description.lists(read, "out").train(3) == tmp_path.relative_to(tmp_path) / "out/lists/trainlist03.txt"
    held = description.adapt(read, {"validate": True})
    assert description.check(held, "out").splits == {1: (1, 1), 3: (1, 2)}
    assert (held.name, read.name) == ("two, groups held out of training", "two")
    official = description.parse(changed(group="_g([0-9]+)_", hold_out=["01"]))
    assert not official.own_lists and description.check(official, "out").splits == {1: (2, 1)}
    with pytest.raises(InputError, match="^split 1: holding out 1 of 1 groups leaves none to train on"):
        description.check(description.adapt(official, {"validate": True}), "out")
    assert not (tmp_path / "out").exists()


def test_other_folders_than_the_descriptions(tmp_path):
    read = description.parse(changed(classes="old/classInd.txt"))
    other = description.adapt(
        read, {"videos": "my videos", "lists": "mine", "pretrained": "w", "splits": [2], "start": "cnn"}
    )
    assert (other.videos, other.lists, other.pretrained, other.splits) == ("my videos", "mine", "w", (2,))
    assert str(description.lists(other, "out").classes) == "mine/classInd.txt"
    assert description.adapt(read, {}) == read
    for base, change, message in (
        (GIVEN, {"splits": [1, 1]}, "^splits: .*each once"),
        (GIVEN, {"validate": True}, "^validate: it needs hold-out"),
        (made(), {"videos": "v"}, "^videos and make do not go together"),
    ):
        with pytest.raises(InputError, match=message):
            description.adapt(description.parse(base), change)


def test_the_real_sets_of_the_repository(real_data):
    """Held-out groups of UCF-101 are of none of its official test lists; persons never are on both sides."""
    where = {"videos": str(real_data / "UCF-101"), "lists": str(real_data / "ucfTrainTestlist")}
    weights = {"pretrained": str(real_data / "weights/bvlc_googlenet_deploy.caffemodel")}
    clips = description.adapt(description.read(ROOT / "data/ucf101_16.json"), {**where, **weights})
    counts = description.check(clips, "out")
    assert counts[:2] == (16, 400) and counts.missing == 2122 - 400
    assert counts.splits == {split: (288, 112) for split in (1, 2, 3)}
    held = description.check(description.adapt(clips, {"validate": True}), "out")
    assert held.splits == {split: (224, 64) for split in (1, 2, 3)} and held.videos == 400
    everything = description.adapt(description.read(ROOT / "data/ucf101_16_gpu.json"), {**where, **weights})
    assert everything.only_classes == clips.only_classes
    with pytest.raises(InputError, match="lacks 1722 of the 2122 listed videos, the first is "):
        description.check(everything, "out")
    persons = {"videos": str(real_data / "Weizmann"), **weights}
    weizmann = description.adapt(description.read(ROOT / "data/weizmann.json"), persons)
    assert description.check(weizmann, "out").splits == {split: (80, 10) for split in range(1, 10)}
    held = description.check(description.adapt(weizmann, {"validate": True}), "out")
    assert held.splits == {split: (70, 10) for split in range(1, 10)}


@pytest.mark.parametrize(
    "asked, message",
    [
        ([], "it is not an object"),
        (changed(colour="red"), "unknown key colour; the keys are name"),
        (changed(fps=None), "fps is missing"),
        (changed(name=""), 'name: "" is not one line of text'),
        (changed(name="a\nb"), "is not one line of text"),
        (changed(fps=[25, 5, 1]), r"fps: \[25, 5, 1\]: it should have at most 2 items, not 3"),
        (changed(fps=[5, 5]), "fps: "),
        (changed(size="72"), 'size: "72": it should be a whole number'),
        (changed(size=48), "size: frames of 48 pixels are smaller than the nets' input of 64"),
        (changed(splits=[1, 1]), "splits: "),
        (changed(splits=[]), "splits: "),
        (changed(splits=[100]), "splits: "),
        (changed(crops=[2]), "crops: 2 is not one of 1, 5, 10"),
        (changed(signals=["top"]), "signals: "),
        (changed(samplings=["none"]), "samplings: "),
        (changed(streams=["sound"]), "streams: \"sound\": it should be 'image' or 'flow'"),
        (changed(streams=["flow"]), 'streams: "image" is always one of them'),
        (changed(flow={}, streams=["image"]), 'flow is given, and streams lacks "flow"'),
        (changed(flow="dis", streams=["image", "flow"]), 'flow: "dis": it should be an object'),
        (flow(size=3), "flow: unknown key size; the keys are method, between, bound, nets"),
        (flow(method="best"), "flow: method: \"best\": it should be 'brox', 'dis', 'farneback' or 'tvl1'"),
        (flow(bound=0), "flow: bound: 0 is not a number above 0"),
        (flow(nets={"iterations": 0}), "flow: nets: iterations: 0: it should be at least 1"),
        (flow(nets={"stage1-iterations": 1}), "flow: nets: stage1-iterations: flow has no stage 1"),
        (flow(nets={"channels": 3}), "flow: nets: channels follows from the rest"),
        (flow(nets={"size": 96}), r"size: frames of 72 pixels are smaller than the nets' input of 96 \(flow: nets\)"),
        (changed(seed=-1), "seed: -1: it should be at least 0"),
        (changed(unhalved=1), "unhalved: 1: it should be true or false"),
        (nets(batch=None), "nets: batch is missing"),
        (nets(iterations=2.5), "nets: iterations: 2.5: it should be a whole number"),
        (nets(classes=3), "nets: classes follows from the rest; leave it out"),
        (nets(mean=[1, 2]), "nets: mean: frames of 3 channels take 3 numbers, not 2"),
        (nets(colour="red"), "nets: unknown setting colour; the settings are classes, width, size"),
        (nets(dropout=False), "nets: dropout is of trainings in PyTorch; leave it out"),
        (changed(nets={**GIVEN["nets"], "scale": None}), "nets: scale is null; leave it out"),
        ({**GIVEN, "test-pairs-per-video": 0}, "test-pairs-per-video: 0: it should be at least 1"),
        (changed(only_classes=["A", "A"]), "only-classes: "),
        (changed(missing="ignore"), "missing: \"ignore\": it should be 'error' or 'skip'"),
        (changed(hold_out=["01"]), "hold-out: it needs group, by which a video's group is found"),
        (changed(group="g(.)", hold_out=["01"], hold_out_next=1), "hold-out names the groups, and hold-out-next"),
        (changed(group="g(.)", hold_out=[1]), "hold-out: 1: it should be a string"),
        (changed(group="g(.)", validate=True), "validate: it needs hold-out or hold-out-next"),
        ({**made(), "only-classes": ["A"]}, "only-classes and make do not go together"),
        (changed(videos=None), "videos is missing"),
        (changed(lists=None), "lists is missing"),
        ({**GIVEN, "make": MAKE}, "videos and make do not go together"),
        (made(seed=3), "make: seed follows from the rest"),
        (made(movements="Up"), "make: movements is missing, or no list of names"),
        (made(clips=0), "make: clips is missing"),
        (made(seconds=float("inf")), "make: seconds is missing"),
        (made(set="films"), 'make: set: "films" is neither motion nor scenes'),
        (scenes(seconds=3), "make: seconds is missing, or no such number"),
        (scenes(seconds=[3, 2]), "make: seconds is missing"),
        (scenes(seconds=[1]), "make: seconds is missing"),
        (scenes(seconds=[0, 2]), "make: seconds is missing"),
        (changed(variants={"A/b": {}}), "variants: A/b: a name is of small letters, digits, blanks and -"),
        (
            variant(net={}),
            "variants: other one: unknown key net; the keys are nets, unhalved, difference, stages, start",
        ),
        (changed(variants_splits="some"), "variants-splits: \"some\": it should be 'first' or 'all'"),
        (variant(unhalved=0), "variants: other one: unhalved: 0: it should be true or false"),
        (variant(stages=3), "variants: other one: stages: 3: it should be at most 2"),
        (
            variant(start="zero", stages=1),
            "variants: other one: start: \"zero\": it should be 'pretrained' or 'nothing'",
        ),
        (variant(start="nothing"), "variants: other one: from nothing there is one stage: say stages 1"),
        (
            variant(stages=1, nets={"stage1-iterations": 3}),
            "nets: stage1-iterations: with stages 1 there is no stage 1",
        ),
        (variant(nets={"size": 96}), r"smaller than the nets' input of 96 \(variants: other one: nets\)"),
        (variant(nets={"seed": 2}), "variants: other one: nets: seed follows from the rest"),
        ({**variant(), "samplings": ["sequential"]}, 'variants: it needs the sampling "random"'),
        (changed(samplings=["sequential"], recurrent_test=True), 'recurrent-test: it needs the sampling "random"'),
        (changed(samplings=["sequential"], motion_energy=True), 'motion-energy: it needs the sampling "random"'),
        (changed(probe=[]), "probe: .* is not a list of some, each once"),
        (changed(probe=["same", "same"]), "probe: .* is not a list of some, each once"),
        (changed(probe=["true"]), "probe: .*it should be 'same', 'far', 'reversed', 'none' or 'other'"),
        (changed(recurrent_test="yes"), 'recurrent-test: "yes": it should be true or false'),
    ],
)
def test_what_is_no_description(asked, message):
    with pytest.raises(InputError, match=message) as raised:
        description.parse(asked)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_none(tmp_path):
    path = tmp_path / "given.json"
    for data, message in (
        (b"{", "is not JSON"),
        (b"\xff\xfe{}", "is not a text file"),
        (b"{}", "name is missing"),
        (json.dumps(changed(size=0)).encode(), "given.json: size: 0: it should be at least 1"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=f"^description: .*{message}") as raised:
            description.read(path)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="^description: no such file: .*absent.json$"):
        description.read(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "file, text, message",
    [
        (
            "lists/testlist01.txt",
            "A/v_A_g07_c01.avi\n",
            "videos lacks 1 of the 3 listed videos, the first is A/v_A_g07",
        ),
        (
            "lists/testlist01.txt",
            "A/v_A_g01_c01.avi\n",
            "split 1: 1 videos are in .*trainlist01.txt and in .*testlist01",
        ),
        (
            "lists/testlist01.txt",
            "B/v_B_g01_c09.avi 1\n",
            "line 1: number 1 disagrees with the class list, where B is 2",
        ),
        ("lists/testlist01.txt", "C/v_C_g01_c01.avi\n", "class C is not in the class list"),
        ("lists/testlist01.txt", None, "video list: no such file: lists/testlist01.txt"),
        ("lists/classInd.txt", "", "class list: .* is empty"),
    ],
)
def test_lists_that_do_not_hold(tmp_path, file, text, message):
    if text is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=message):
        description.check(description.parse(GIVEN), "out")
