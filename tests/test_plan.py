"""The steps of a description, what they hang on, and what they cost: rcnn/experiments/plan.py and estimates.py."""

from fnmatch import fnmatch
from pathlib import Path

import in_process
import numpy as np
import pytest
from nets import build
from runs import ROOT
from test_description import GIVEN, made, pretrained, scenes

from rcnn.experiments import description, plan
from rcnn.experiments.estimates import Costs
from rcnn.nets import prototxt as net

OUT = Path("out")
FLOW = {"streams": ["image", "flow"], "flow": {"method": "dis", "bound": 2.5, "nets": {"iterations": 6}}}
MOTION = description.read(ROOT / "data" / "motion.json")


FIRST = ["start_cnn.nets", "start_cnn.cnn"]  # the CNN that all nets of a split start from


def planned(asked, **options):
    """Return {name: Step} of a Description."""
    counts = description.Counts(12, 40, {split: (30, 10) for split in asked.splits}, 3.0)
    steps = plan.steps(asked, counts, OUT, **options)
    assert len({step.name for step in steps}) == len(steps)
    return {step.name: step for step in steps}


def needs(steps, name):
    """Return the names of the steps that make what a step needs, theirs included."""
    others = set()
    for other in steps.values():
        if set(other.outputs) & set(steps[name].inputs):
            others |= {other.name} | needs(steps, other.name)
    return others


def words(step, option):
    """Return the words that follow an option of a step's command."""
    start = step.command.index(option) + 1
    end = next((index for index in range(start, len(step.command)) if step.command[index].startswith("--")), None)
    return step.command[start:end]


def without_weights(step):
    """Return the words after a step's program, but for its weights, which need not be there."""
    given = step.command.index("--weights") if "--weights" in step.command else len(step.command)
    return (*step.command[1:given], *step.command[given + 2 :])


def test_all_steps_of_three_splits():
    image = ["pairs_train", "pairs_test", "nets", "rcnn_r_stage1", "rcnn_r", "scores_rcnn_r"]
    whole = [*image, "cnn", "start", "scores_cnn", "rcnn_s_stage1", "rcnn_s", "scores_rcnn_s"]
    flow = [
        name + "_flow" for name in ("pairs_train", "pairs_test", "nets", "cnn", "rcnn_r", "scores_cnn", "scores_rcnn_r")
    ]
    assert set(planned(MOTION)) == {
        *("videos", "frames_5fps", "frames_25fps", "frames_5fps_flow"),
        *(f"split01_25fps.{name}" for name in image),
        *(f"split{split:02d}_5fps.{name}" for split in (1, 2, 3) for name in [*whole, *flow, *FIRST]),
    }


def test_each_step_comes_after_what_it_needs():
    lists = {Path("lists") / f"{name}.txt" for name in ("classInd", "trainlist01", "testlist01")}
    more = {**GIVEN, "variants": VARIANTS, "recurrent-test": True, "motion-energy": True}
    for asked in (MOTION, *map(description.parse, (GIVEN, pretrained(), more, {**more, "engine": "torch"}))):
        there = set() if asked.make else {Path("videos"), Path("bvlc.caffemodel"), *lists}
        for step in planned(asked).values():
            assert set(step.inputs) <= there, step.name
            assert not set(step.outputs) & there, f"{step.name} makes what another one makes"
            assert (ROOT / "tools" / step.command[0]).is_file()
            there.update(step.outputs)


def test_the_nets_are_what_make_prototxt_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = planned(description.parse({**GIVEN, **FLOW, "variants": VARIANTS}))
    for name in ("nets", "nets_flow", "other.nets"):
        step = steps[f"split01_5fps.{name}"]
        assert in_process.run("make_prototxt", *without_weights(step)) == 0
        made = set(Path(words(step, "--out")[0]).glob("*.prototxt"))
        assert set(step.outputs) == {path for path in made if path.stem.endswith("_flow") == name.endswith("_flow")}


@pytest.mark.parametrize(
    "values, pairs", [({}, ("1",)), ({"test-pairs-per-video": 3}, ("3",)), ({"test-pairs-per-video": None}, None)]
)
def test_pairs_that_trainings_are_watched_by(values, pairs):
    steps = planned(description.parse({**GIVEN, **values}))
    assert "--pairs-per-video" not in steps["split01_5fps.pairs_train"].command
    test = steps["split01_5fps.pairs_test"]
    assert words(test, "--pairs-per-video") == pairs if pairs else "--pairs-per-video" not in test.command


def test_lists_of_their_own_come_first():
    """And what nobody asked for is in no command, so that older steps stay done."""
    folds = {**GIVEN, "lists": None, "group": "^(.)_", "hold-out-next": 2, "only-classes": ["B", "A"]}
    steps = planned(description.parse({**folds, "missing": "skip"}))
    lists = steps["lists"]
    assert lists.command == (
        *("make_lists.py", "--videos", "videos", "--group", "^(.)_"),
        *("--splits", "1", "--out", "out/lists"),
    )
    assert lists.inputs == (Path("videos"),) and "lists" in needs(steps, "split01_5fps.cnn")
    for name in ("frames_5fps", "split01_5fps.pairs_test", "split01_5fps.scores_cnn"):
        assert words(steps[name], "--only-classes") == ("B", "A")
        assert words(steps[name], "--classes") == ("out/lists/classInd.txt",)
    assert words(steps["frames_5fps"], "--missing") == ("skip",)
    held = planned(description.parse({**GIVEN, "group": "^(.)_", "hold-out": ["x", "y"], "validate": True}))
    assert held["lists"].command == (
        *("make_lists.py", "--lists", "lists", "--group", "^(.)_", "--hold-out", "x", "y"),
        *("--splits", "1", "--out", "out/lists"),
    )
    assert held["lists"].inputs == (Path("lists"),)
    plain = planned(description.parse({**GIVEN, "group": "^(.)_", "hold-out": ["x"]}))
    assert plain == planned(description.parse(GIVEN))


def test_what_hangs_on_what():
    steps = planned(MOTION)
    assert needs(steps, "split02_5fps.rcnn_r") == {
        "videos",
        "frames_5fps",
        *(f"split02_5fps.{name}" for name in ("pairs_train", "pairs_test", "nets", "start", "rcnn_r_stage1", *FIRST)),
    }
    sequential = needs(steps, "split02_5fps.rcnn_s")
    assert "split02_5fps.rcnn_s_stage1" in sequential and "split02_5fps.rcnn_r_stage1" not in sequential
    # row 1 of Table 2 starts from the CNN of the other frame rate, and from nothing else of it
    row_1 = needs(steps, "split01_25fps.scores_rcnn_r")
    assert {"frames_25fps", "split01_25fps.pairs_train", "split01_5fps.start_cnn.cnn", "split01_5fps.start"} <= row_1
    assert not {"split01_5fps.rcnn_r", "split01_5fps.cnn", "split02_5fps.start_cnn.cnn"} & row_1
    assert words(steps["split01_25fps.rcnn_r_stage1"], "--weights") == words(steps["split01_5fps.start"], "--out")


def test_pretrained_weights_start_every_training():
    steps = planned(description.parse(pretrained(unhalved=True)))
    assert words(steps["split01_5fps.start"], "--weights") == ("bvlc.caffemodel",)
    assert words(steps["split01_5fps.start_cnn"], "--weights") == ("bvlc.caffemodel",)
    unhalved = ["--unhalved" in steps[f"split01_5fps.{name}"].command for name in ("start", "start_cnn")]
    assert unhalved == [True, False]  # the CNN has no temporal part
    assert words(steps["split01_5fps.cnn_stage1"], "--weights") == words(steps["split01_5fps.start_cnn"], "--out")
    assert not any(".cnn" in name for name in needs(steps, "split01_5fps.rcnn_r"))
    assert "--weights" not in planned(MOTION)["split01_5fps.start_cnn.cnn"].command


def test_flow_leaves_the_image_stream_as_it_is():
    """So its steps stay done where flow is added to a description."""
    for asked in (GIVEN, made(), pretrained()):
        before, after = planned(description.parse(asked)), planned(description.parse({**asked, **FLOW}))
        assert list(before.values()) == [step for name, step in after.items() if name in before]
        assert all(name.endswith("_flow") for name in set(after) - set(before))
        image, flow = before.values(), [step for name, step in after.items() if name not in before]
        for these, those in ((image, flow), (flow, image)):  # nor does one stream made anew remove the other's
            left = [where for step in these for where in step.leftovers]
            for path in (path for step in those for path in step.outputs):
                assert not any(path in step.outputs for step in these)
                assert not any(path.parent == folder and fnmatch(path.name, pattern) for folder, pattern in left)


def test_the_flow_stream_learns_from_nothing():
    steps = planned(description.parse(pretrained(**FLOW)))
    build = steps["frames_5fps_flow"]
    assert (
        words(build, "--flow"),
        words(build, "--flow-between"),
        words(build, "--flow-bound"),
        words(build, "--fps"),
    ) == (("dis",), ("neighbours",), ("2.5",), ("5",))
    for kind in ("cnn", "rcnn_r"):
        step = steps[f"split01_5fps.{kind}_flow"]
        assert step.command == ("train.py", "--solver", f"out/split01_5fps/prototxt/solver_{kind}_flow.prototxt")
        assert needs(steps, step.name) == {
            "frames_5fps_flow",
            *(f"split01_5fps.{name}_flow" for name in ("pairs_train", "pairs_test", "nets")),
        }
        score = steps[f"split01_5fps.scores_{kind}_flow"]
        assert words(score, "--weights") == tuple(map(str, step.outputs))
        assert words(score, "--frames") == words(build, "--out") and "--mean" not in score.command
    nets = steps["split01_5fps.nets_flow"]
    assert words(nets, "--channels") == ("2",) and words(nets, "--iterations") == ("6",)
    assert words(nets, "--cnn-iterations") == ("6",) and not {"--stage1-iterations", "--mean"} & set(nets.command)
    assert steps["split01_5fps.rcnn_r_flow"].outputs == (
        OUT / "split01_5fps" / "snapshots" / "rcnn_r_flow_iter_6.caffemodel",
    )
    assert not any("rcnn_s_flow" in name or "25fps" in name for name in steps if "flow" in name)


VARIANTS = {
    "other": {"nets": {"combine": "sum", "scale": 0.25}, "unhalved": True},
    "one stage": {"stages": 1, "nets": {"rate": 0.5}},
    "from none": {"stages": 1, "start": "nothing"},
}


def test_variants_leave_the_rest_as_it_is():
    for asked in (GIVEN, made(), {**GIVEN, **FLOW, "splits": [2, 1]}):
        before = planned(description.parse(asked))
        after = planned(description.parse({**asked, "variants": VARIANTS}))
        assert list(before.values()) == [step for name, step in after.items() if name in before]
        first = f"split{asked['splits'][0]:02d}_5fps"
        of = {
            "other": ["nets", "start", "rcnn_r_stage1", "rcnn_r", "scores_rcnn_r"],
            "one stage": ["nets", "start", "rcnn_r", "scores_rcnn_r"],
            "from none": ["nets", "rcnn_r", "scores_rcnn_r"],
        }
        assert [name for name in after if name not in before] == [
            f"{first}.{variant}.{name}" for variant, names in of.items() for name in names
        ]
        outputs = [path for step in after.values() for path in step.outputs]
        assert len(set(outputs)) == len(outputs)


def test_where_variants_start():
    """Each from the main CNN, halved or not as it says; one from nothing has no weights at all."""
    steps = {
        name.replace("split01_5fps.", ""): step
        for name, step in planned(description.parse({**GIVEN, "variants": VARIANTS})).items()
    }
    snapshots = "out/split01_5fps/variant_{}/snapshots/{}.caffemodel"
    for variant in ("other", "one stage"):
        start = steps[f"{variant}.start"]
        assert words(start, "--weights") == words(steps["start"], "--weights")
        assert words(start, "--net") == (
            f"out/split01_5fps/variant_{variant.replace(' ', '_')}/prototxt/deploy_rcnn_r.prototxt",
        )
        assert ("--unhalved" in start.command) == (variant == "other")
    assert words(steps["other.rcnn_r_stage1"], "--weights") == (snapshots.format("other", "start"),)
    assert words(steps["other.rcnn_r"], "--weights") == (snapshots.format("other", "rcnn_r_stage1_iter_3"),)
    assert words(steps["one stage.rcnn_r"], "--weights") == (snapshots.format("one_stage", "start"),)
    assert "--weights" not in steps["from none.rcnn_r"].command
    assert {path for path in steps["from none.rcnn_r"].inputs if path.suffix == ".caffemodel"} == set()
    given = planned(description.parse(pretrained(variants=VARIANTS)))
    assert words(given["split01_5fps.other.start"], "--weights") == ("bvlc.caffemodel",)
    halved = planned(description.parse({**GIVEN, "unhalved": True, "variants": {"a": {"unhalved": False}, "b": {}}}))
    assert "--unhalved" not in halved["split01_5fps.a.start"].command
    assert "--unhalved" in halved["split01_5fps.b.start"].command


def test_one_stage_has_all_updates():
    steps = planned(description.parse({**GIVEN, "variants": VARIANTS}))
    for variant in ("one stage", "from none"):
        assert words(steps[f"split01_5fps.{variant}.nets"], "--iterations") == ("7",)
        (trained,) = steps[f"split01_5fps.{variant}.rcnn_r"].outputs
        assert trained.name == "rcnn_r_iter_7.caffemodel"
        assert words(steps[f"split01_5fps.{variant}.scores_rcnn_r"], "--weights") == (str(trained),)
    assert words(steps["split01_5fps.nets"], "--iterations") == ("4",)


def test_a_variant_is_of_the_main_pairs_with_its_own_options():
    steps = planned(description.parse({**GIVEN, "crops": [5, 1, 10], "variants": VARIANTS}))
    nets, main = steps["split01_5fps.other.nets"], steps["split01_5fps.nets"]
    for option in ("--train-pairs", "--test-pairs", "--frames", "--seed", "--batch"):
        assert words(nets, option) == words(main, option)
    assert (words(nets, "--combine"), words(nets, "--scale")) == (("sum",), ("0.25",))
    assert words(nets, "--out") == ("out/split01_5fps/variant_other/prototxt",)
    test = steps["split01_5fps.other.scores_rcnn_r"]
    assert (words(test, "--crops"), words(test, "--scale")) == (("1",), ("0.25",))
    read = description.parse({**GIVEN, "variants": VARIANTS})
    assert {key: (path,) for key, path in plan.variant_scores(read, OUT).items()} == {
        (variant, 1): steps[f"split01_5fps.{variant}.scores_rcnn_r"].outputs for variant in VARIANTS
    }


def test_variants_of_every_split_are_nets_of_the_tables():
    asked = {**GIVEN, "splits": [2, 1], "crops": [1, 5, 10], "probe": ["same"], "variants": VARIANTS}
    first, every = (description.parse({**asked, "variants-splits": of}) for of in ("first", "all"))
    before, steps = planned(first), planned(every)
    added = [name for name in steps if name not in before]
    assert {name.split(".")[0] for name in added if "probe" not in name} == {"split01_5fps"}
    for split in (1, 2):
        scored = steps[f"split{split:02d}_5fps.one stage.scores_rcnn_r"]
        assert plan.pair_files(every, OUT)["rcnn_r one stage", split, 5] == scored.outputs[0]
        assert words(scored, "--crops") == ("5",)
        probed = steps[f"split{split:02d}_5fps.one stage.probe_rcnn_r_same"]
        assert plan.probe_files(every, OUT)["rcnn_r one stage", split, "same"] == probed.outputs[0]
        assert (words(probed, "--crops"), words(probed, "--previous")) == (("1",), ("same",))
        for option in ("--net", "--weights", "--list"):
            assert words(probed, option) == words(scored, option)
    assert not any("probe_" in name and "one stage" in name for name in before)
    assert set(plan.probe_files(first, OUT)) == {key for key in plan.probe_files(every, OUT) if " " not in key[0]}
    assert plan.pair_files(first, OUT) == plan.score_files(first, OUT)


def test_a_cnn_of_another_seed_is_a_net_of_the_tables():
    asked = description.parse({**GIVEN, "splits": [2, 1], "seeds": [1, 4]})
    more = {key: path for key, path in plan.pair_files(asked, OUT).items() if key not in plan.score_files(asked, OUT)}
    assert more == {("cnn 4", 2, 5): plan.seed_scores(asked, OUT)[4, "cnn"]}


def test_the_recurrent_test_and_the_energy_are_of_the_main_weights():
    asked = {**GIVEN, "splits": [2, 1], "crops": [5, 10], "nets": {**GIVEN["nets"], "scale": 0.5, "mean": [1, 2, 3]}}
    steps = planned(description.parse({**asked, "recurrent-test": True, "motion-energy": True}))
    assert set(steps) - set(planned(description.parse(asked))) == {
        "split02_5fps.scores_rcnn_r_recurrent",
        "split02_5fps.motion_energy",
    }
    tested, energy = steps["split02_5fps.scores_rcnn_r_recurrent"], steps["split02_5fps.motion_energy"]
    folder = Path("out/split02_5fps")
    assert words(tested, "--net") == (str(folder / "prototxt/deploy_rcnn_s.prototxt"),)
    assert words(energy, "--net") == (str(folder / "prototxt/deploy_rcnn_r.prototxt"),)
    assert words(tested, "--crops") == ("5",) and words(energy, "--pairs") == (str(folder / "pairs_test.lmdb"),)
    for step, output in ((tested, "scores_rcnn_r_recurrent.h5"), (energy, "motion_energy.json")):
        assert words(step, "--weights") == (str(folder / "snapshots/rcnn_r_iter_4.caffemodel"),)
        assert (words(step, "--scale"), words(step, "--mean")) == (("0.5",), ("1", "2", "3"))
        assert step.outputs == (folder / output,)


def test_the_motion_probe_is_of_every_split_and_leaves_the_rest_as_it_is():
    """RCNN-s, tested in order otherwise, is shown the true frame alone too."""
    asked = {**GIVEN, "splits": [2, 1], "seed": 7, "crops": [5, 10], "nets": {**GIVEN["nets"], "scale": 0.5}}
    before, steps = planned(description.parse(asked)), planned(description.parse({**asked, "probe": ["same", "other"]}))
    assert list(before.values()) == [step for name, step in steps.items() if name in before]
    added = [name for name in steps if name not in before]
    assert added == [
        f"split{split:02d}_5fps.probe_{net}"
        for split in (2, 1)
        for net in ("rcnn_r_same", "rcnn_r_other", "rcnn_s_true", "rcnn_s_same", "rcnn_s_other")
    ]
    files = plan.probe_files(description.parse({**asked, "probe": ["same", "other"]}), OUT)
    assert {path for name in added for path in steps[name].outputs} == set(files.values())
    assert files["rcnn_s", 1, "true"] == OUT / "split01_5fps" / "probe_rcnn_s_true.h5"
    for name in added:
        test, kind = steps[name], name[len("split01_5fps.probe_") :][:6]
        usual = steps[name.split(".")[0] + f".scores_{kind}"]
        for option in ("--net", "--weights", "--frames", "--list", "--classes", "--scale"):
            assert words(test, option) == words(usual, option)
        assert words(test, "--previous") == (name.rsplit("_", 1)[1],) and words(test, "--crops") == ("5",)
        assert words(test, "--seed") == ("7",) if name.endswith("other") else "--seed" not in test.command
        assert "--mode" not in test.command
    assert plan.probe_files(description.parse(asked), OUT) == {}
    torch = planned(description.parse({**asked, "probe": ["same"], "engine": "torch"}))
    for name in ("rcnn_r", "rcnn_s"):  # no prototxt tells it, and the probe shows one frame
        assert words(torch[f"split01_5fps.probe_{name}_same"], "--mode") == ("pair",)
    assert words(torch["split01_5fps.scores_rcnn_s"], "--mode") == ("recurrent",)


def test_only_the_main_net_is_tested_with_ten_crops():
    crops = {name: words(step, "--crops") for name, step in planned(MOTION).items() if step.command[0] == "evaluate.py"}
    assert crops.pop("split01_5fps.scores_rcnn_r") == ("10",)
    assert len(crops) == 15 and set(crops.values()) == {("5",)}
    one = planned(description.parse({**GIVEN, "crops": [1]}))
    assert {words(step, "--crops") for step in one.values() if step.command[0] == "evaluate.py"} == {("1",)}


def test_each_net_is_tested_as_it_was_trained():
    steps, folder = planned(MOTION), "out/split01_5fps"
    for kind in ("rcnn_s", "rcnn_r"):
        test = steps[f"split01_5fps.scores_{kind}"]
        assert words(test, "--net") == (f"{folder}/prototxt/deploy_{kind}.prototxt",)
        assert words(test, "--weights") == (f"{folder}/snapshots/{kind}_iter_2000.caffemodel",)
        assert words(test, "--scale") == ("0.015625",)


def test_samplings_and_frame_rates_that_are_not_wanted():
    random = planned(description.parse({**GIVEN, "samplings": ["random"], "fps": [5]}))
    assert not any("rcnn_s" in name or "25fps" in name for name in random)
    sequential = planned(description.parse({**GIVEN, "samplings": ["sequential"]}))
    assert not any("rcnn_r" in name or "25fps" in name for name in sequential)


def test_how_is_not_what():
    """A GPU and the number of processes are not part of what decides a result."""
    plain = planned(MOTION)
    for name, step in planned(MOTION, gpu=2, workers=3).items():
        assert not {"--gpu", "--workers", "--batch"} & set(step.command) or step.command[0] == "make_prototxt.py"
        if step.command[0] in ("train.py", "evaluate.py"):
            assert step.settings[-2:] == ("--gpu", "2")
        elif step.command[0] in ("build_frames.py", "build_pairs.py", "make_motion_videos.py"):
            assert step.settings == ("--workers", "3")
        assert step.command == plain[name].command


def test_the_page_is_about_the_best_net_that_is_there():
    files = plan.score_files(MOTION, OUT)
    step = plan.report(MOTION, OUT, files)
    assert words(step, "--scores") == ("out/split01_5fps/scores_rcnn_r.h5",)
    assert words(step, "--scores2") == ("out/split01_5fps/scores_cnn.h5",) and len(words(step, "--logs")) == 5
    assert words(step, "--crops") == ("5",) and step.outputs == (OUT / "report.html",)
    alone = plan.report(MOTION, OUT, {("cnn", 1, 5): files["cnn", 1, 5]})
    assert "--scores2" not in alone.command and words(alone, "--logs") == ("out/split01_5fps/snapshots/cnn.jsonl",)
    none = plan.report(MOTION, OUT, {("cnn", 2, 5): files["cnn", 2, 5], ("rcnn_r", 1, 25): OUT})
    assert words(none, "--tables") == ("out/tables.json",) and none.inputs == (OUT / "tables.json",)
    assert not {"--scores", "--logs", "--frames"} & set(none.command) and none.outputs == step.outputs


@pytest.mark.parametrize(
    "options, model",
    [
        ({"size": 64, "width": 0.25}, net.Model(classes=3, width=0.25, size=64)),
        (
            {"size": 64, "width": 0.25, "high-rnn": False, "conv1-temporal-kernel": 7},
            net.Model(classes=3, width=0.25, size=64, high_rnn=False, conv1_temporal_kernel=7),
        ),
    ],
)
def test_multiply_adds_and_parameters_are_the_nets(tmp_path, options, model):
    """Against the blobs of Caffe's own net; the estimates leave out biases and classifiers."""
    message = net.deploy_rcnn_r(model)
    net_ = build(message, tmp_path)
    work, weights = np.zeros(2), np.zeros(2)
    for layer in message.layer:
        if (
            layer.type in ("Convolution", "InnerProduct")
            and not layer.name.startswith(net.PREVIOUS)
            and "classifier" not in layer.name
        ):
            shape = net_.blobs[layer.top[0]].data.shape
            number = net_.params[layer.name][0].data.size
            temporal = int(layer.name.endswith("/temporal"))
            weights[temporal] += number
            work[temporal] += number * (np.prod(shape[2:]) if layer.type == "Convolution" else 1)
    costs = Costs(options, description.Counts(3, 1, {}, 1), 72)
    assert [costs.spatial, costs.temporal] == list(work) and list(costs.parameters) == list(weights)


def test_costs_by_hand():
    nets = {"size": 224, "batch": 64, "iter-size": 2, "snapshot": 400}
    counts = description.Counts(101, 13320, {1: (9537, 3783)}, 7.2)
    costs = Costs(nets, counts, 256)
    spatial, temporal = costs.spatial, costs.temporal
    assert spatial == pytest.approx(1.582e9, rel=0.02) and temporal == pytest.approx(3.11e9, rel=0.02)
    # data/README.md: 10 GB of frames, 17 GB of pairs
    assert costs.frames(5)[1] == pytest.approx(10e9, rel=0.05)
    assert costs.pairs(5, 9537)[1] == pytest.approx(17e9, rel=0.05)
    assert costs.pairs(5, 3783, 1)[1] == 3783 * 48900
    passes = 1000 * 64 * 2
    assert costs.training("rcnn_r", 1000)[0] == pytest.approx(2 + passes * (4 * spatial + 2 * temporal) / 20e9)
    assert costs.training("rcnn_s_stage1", 1000)[0] == pytest.approx(2 + passes * (2 * spatial + 2 * temporal) / 20e9)
    assert costs.training("cnn", 1000)[1] == 3 * 2 * 4 * costs.parameters[0]
    assert costs.training("rcnn_r", 1000)[1] == 3 * 2 * 4 * sum(costs.parameters)
    seconds, number = costs.test("rcnn_r", 5, 3783, 10)
    assert number == pytest.approx(3783 * 36 * 10 * 3 * 101 * 4)
    assert seconds == pytest.approx(2 + 3783 * 36 * 10 * (2 * spatial + temporal) / 20e9)
    for more, engine, speed in (({"width": 0.25}, "torch", 8.5e9), ({"precision": "bfloat16"}, "torch", 50e9)):
        other = Costs({**nets, **more}, counts, 256, engine=engine)
        expected = 4 * other.spatial + 2 * other.temporal
        assert other.training("rcnn_r", 1000)[0] == pytest.approx(2 + passes * expected / speed)
    flow = Costs(nets, counts, 256, channels=2)
    assert costs.parameters[0] - flow.parameters[0] == 64 * 7 * 7  # conv1 sees two channels
    stored = 13320 * 7.2 * 5
    decoding = costs.frames(5)[0]
    assert flow.frames(5, "brox", 4)[0] == pytest.approx(decoding + stored * 0.3 / 4)
    assert flow.frames(5, "dis")[0] == pytest.approx(decoding + stored * 0.0075)
    assert flow.frames(5, "dis")[1] == pytest.approx(stored * 7300) and flow.pairs(5, 100, 1)[1] == 100 * 12200
    gpu = Costs(nets, counts, 256, gpu=True)
    assert gpu.test("rcnn_s", 5, 3783, 1)[0] == pytest.approx(
        2 + 3783 * 36 * (spatial + temporal) / 4.7e9 * 0.0125
    )  # Sec. 3.4: 12.5 ms a frame


def test_made_videos_are_asked_for_by_the_description():
    step = planned(description.parse(made(groups=6) | {"splits": [1, 3], "seed": 7}))["videos"]
    assert words(step, "--splits") == ("3",) and words(step, "--seed") == ("7",)
    assert words(step, "--movements") == ("Up", "Down") and words(step, "--groups") == ("6",)
    assert "videos" not in planned(description.parse(GIVEN))
    step = planned(description.parse(scenes(seconds=[1, 1.5])))["videos"]
    assert (words(step, "--set"), words(step, "--seconds")) == (("scenes",), ("1", "1.5"))
