"""What the nets of a plan start from and how long each learns, by either engine: rcnn/experiments/trainings.py."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_scores import softmax, write
from runs import ROOT, module
from test_description import GIVEN, made, pretrained
from test_plan import FLOW, OUT, VARIANTS, needs, planned, words

from rcnn.experiments import description, plan, results, trainings
from rcnn.experiments.runner import Runner
from rcnn.files import InputError
from rcnn.googlenet import SIGNALS

DESCRIPTIONS = sorted(path.name for path in (ROOT / "data").glob("*.json"))
NOTHING = {**GIVEN, "start": "nothing", "nets": {k: v for k, v in GIVEN["nets"].items() if k != "cnn-iterations"}}
SPLIT = "split01_5fps"


def split_steps(asked, **options):
    """Return the steps of split 1 at 5 fps, by what follows its name."""
    return {name.partition(".")[2]: step for name, step in planned(asked, **options).items() if name.startswith(SPLIT)}


def schedule(steps, net):
    """Return [(stage, updates, recipe but for what is a net's own)] of the chain of trainings that ends with a net."""
    chain, step, by_output = [], steps[net], {path: step for step in steps.values() for path in step.outputs}
    while step.command[0] in ("train.py", "train_torch.py"):
        run, _, updates = step.outputs[0].stem.partition("_iter_")
        chain.insert(0, (run, int(updates)))
        weights = words(step, "--weights") if "--weights" in step.command else ()
        if not weights:
            return chain, None
        step = by_output.get(Path(weights[0])) or steps["nets"]
    return chain, words(step, "--weights")[0] if "--weights" in step.command else None


@pytest.mark.parametrize("engine", description.ENGINES)
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_all_nets_of_every_description_have_the_same_updates_at_the_same_rates(name, engine):
    """From the same weights: the CNN's are the RCNN's, and every solver of a set has one rate (`Recipe`)."""
    asked = replace(description.read(ROOT / "data" / name), engine=engine)
    asked = replace(asked, splits=asked.splits[:1], variants={})
    split = plan.main_folder(asked, OUT).name
    steps = {name[len(split) + 1 :]: step for name, step in planned(asked).items() if name.startswith(f"{split}.")}
    for end in ("", "_flow") if asked.flow else ("",):
        chains = {net: schedule(steps, net + end) for net in ("cnn", "rcnn_r", "rcnn_s") if net + end in steps}
        totals = {net: sum(updates for _, updates in chain) for net, (chain, _) in chains.items()}
        if asked.starts == "cnn" and not end:  # the RCNNs' begin with init_weights.py, from the first CNN
            (first, _), *_ = chains["cnn"][0]
            totals["cnn"] -= asked.nets["cnn-iterations"]
            assert first == "cnn" and chains["cnn"][0][0][1] == asked.nets["cnn-iterations"]
            assert chains["rcnn_r"][1] == words(steps["cnn"], "--weights")[0]
        else:
            assert len({start for _, start in chains.values()}) == 1
        assert len(set(totals.values())) == 1 and len(totals) > 1, totals
    torch = [step for step in steps.values() if step.command[0] == "train_torch.py"]
    assert bool(torch) == (engine == "torch")
    for option in ("--rate", "--final-rate", "--batch", "--momentum", "--clip-gradients"):
        of_image = [step for step in torch if "_flow" not in step.name]
        assert len({words(step, option) if option in step.command else None for step in of_image}) <= 1


@pytest.mark.parametrize(
    "asked, net, runs",
    [
        (pretrained(), "cnn", [("cnn_stage1", 3), ("cnn", 4)]),
        (pretrained(), "rcnn_r", [("rcnn_r_stage1", 3), ("rcnn_r", 4)]),
        (GIVEN, "cnn", [("cnn", 2), ("cnn", 7)]),
        (GIVEN, "rcnn_s", [("rcnn_s_stage1", 3), ("rcnn_s", 4)]),
        (NOTHING, "cnn", [("cnn", 7)]),
        (NOTHING, "rcnn_r", [("rcnn_r", 7)]),
        ({**GIVEN, "pretrained": "bvlc.caffemodel", "start": "cnn"}, "cnn", [("cnn", 2), ("cnn", 7)]),
    ],
)
@pytest.mark.parametrize("engine", description.ENGINES)
def test_the_trainings_of_each_start(asked, net, runs, engine):
    chain, start = schedule(split_steps(description.parse({**asked, "engine": engine})), net)
    assert chain == runs
    if "pretrained" in asked:
        assert start == "bvlc.caffemodel"
    else:
        assert start == (
            "out/split01_5fps/start_cnn/snapshots/cnn_iter_2." + trainings.SUFFIX[engine] if net == "rcnn_s" else None
        )


def test_stage_1_holds_what_the_pretrained_weights_have_and_after_a_cnn_what_googlenet_has():
    """Made for a finished CNN, Caffe's nets would hold its classifiers and loss3/fc too."""
    for asked, weights in ((pretrained(), ("bvlc.caffemodel",)), (GIVEN, None), (NOTHING, None)):
        nets = split_steps(description.parse(asked))["nets"]
        assert (words(nets, "--weights") if "--weights" in nets.command else None) == weights


def test_a_cnn_that_goes_on_starts_where_the_rcnn_does():
    steps = split_steps(description.parse(GIVEN))
    first = ("out/split01_5fps/start_cnn/snapshots/cnn_iter_2.caffemodel",)
    assert words(steps["cnn"], "--weights") == words(steps["start"], "--weights") == first
    assert words(steps["scores_cnn"], "--weights") == ("out/split01_5fps/snapshots/cnn_iter_7.caffemodel",)
    assert words(steps["nets"], "--cnn-iterations") == ("7",)
    assert words(steps["start_cnn.nets"], "--cnn-iterations") == ("2",)
    longer = split_steps(description.parse({**GIVEN, "nets": {**GIVEN["nets"], "iterations": 40}}))
    assert longer["start_cnn.nets"] == steps["start_cnn.nets"] and longer["start_cnn.cnn"] == steps["start_cnn.cnn"]


OTHER = "cnn-iterations 2: the CNN has the 7 updates of the RCNN; leave it out$"


@pytest.mark.parametrize(
    "asked, message",
    [
        ({**GIVEN, "start": "pretrained"}, '^start: "pretrained" needs the key pretrained$'),
        ({**NOTHING, "start": "cnn"}, "^nets: cnn-iterations is missing"),
        (
            {**GIVEN, "start": "nothing"},
            "^nets: cnn-iterations 2: the CNN has the 7 updates of the RCNN; leave it out$",
        ),
        ({**GIVEN, "pretrained": "a"}, f"^nets: {OTHER}"),
        (
            {**GIVEN, **FLOW, "flow": {"method": "dis", "nets": {"cnn-iterations": 5}}},
            "^flow: nets: cnn-iterations 5: the CNN has the 4 updates of the RCNN; leave it out$",
        ),
        (
            {**NOTHING, "variants": {"a": {}}},
            "^variants: a: all nets start from nothing: say",
        ),
        ({**GIVEN, "engine": "tensorflow"}, "^engine: "),
        ({**GIVEN, "seeds": [2, 3]}, "^seeds: seed, 1, is one of them$"),
        ({**GIVEN, "seeds": [1, 1]}, "^seeds: "),
        (
            {**GIVEN, "nets": {**GIVEN["nets"], "dropout": False}},
            "^nets: dropout is of trainings in PyTorch; leave",
        ),
        ({**GIVEN, "nets": {**GIVEN["nets"], "cnn-stage1-iterations": 3}}, "^nets: cnn-stage1-iterations follows from"),
    ],
)
def test_what_does_not_go_together_is_one_line(asked, message):
    with pytest.raises(InputError, match=message):
        description.parse(asked)


def test_the_same_number_of_updates_may_be_said():
    asked = {**GIVEN, "pretrained": "a", "nets": {**GIVEN["nets"], "cnn-iterations": 7}}
    said, unsaid = (split_steps(description.parse(each)) for each in (asked, pretrained(pretrained="a")))
    assert sorted(said.pop("nets").command) == sorted(unsaid.pop("nets").command) and said == unsaid


def test_pytorch_trains_and_tests_what_it_can():
    asked = {
        **pretrained(**FLOW),
        "engine": "torch",
        "recurrent-test": True,
        "motion-energy": True,
        "variants": VARIANTS,
    }
    asked["nets"] = {**asked["nets"], "rate": 0.5, "filler": "msra", "test-interval": 2, "dropout": False}
    steps = split_steps(description.parse(asked))
    assert not any(step.command[0] == "train.py" for step in steps.values())
    first = steps["rcnn_r_stage1"]
    assert " ".join(first.command) == (
        "train_torch.py --pairs out/split01_5fps/pairs_train.lmdb "
        "--weights out/split01_5fps/snapshots/start.caffemodel "
        "--stage 1 --size 64 --seed 1 --iterations 3 --batch 4 --snapshot 2 --rate 0.5 --dropout no "
        "--out out/split01_5fps/snapshots/rcnn_r_stage1"
    )
    assert first.outputs == (Path("out/split01_5fps/snapshots/rcnn_r_stage1_iter_3.pt"),)
    assert words(steps["rcnn_r"], "--weights") == (str(first.outputs[0]),) and words(steps["rcnn_r"], "--stage") == (
        "2",
    )
    for name, mode in (
        ("cnn", "frame"),
        ("rcnn_s", "recurrent"),
        ("rcnn_r", "pair"),
        ("rcnn_r_recurrent", "recurrent"),
        ("rcnn_r_flow", "pair"),
    ):
        test = steps[f"scores_{name}"]
        assert "--net" not in test.command and words(test, "--mode") == (mode,)
        assert words(test, "--weights")[0].endswith(".pt")
    assert "--net" not in steps["motion_energy"].command
    sequential = steps["rcnn_s_stage1"]
    assert words(sequential, "--weights") == words(first, "--weights") and "--pairs" not in sequential.command
    assert words(sequential, "--frames") == ("out/frames_5fps.lmdb",)
    assert words(sequential, "--list") == ("lists/trainlist01.txt",)
    assert {Path("lists/trainlist01.txt"), Path("out/frames_5fps.lmdb/manifest.json")} < set(sequential.inputs)
    for net in ("cnn", "rcnn_r"):  # PyTorch needs weights that Caffe's fillers made
        start = steps[f"start{'_cnn' if net == 'cnn' else ''}_flow"]
        assert words(steps[f"{net}_flow"], "--weights") == words(start, "--out") and "--weights" not in start.command
    assert "--weights" not in steps["from none.start"].command
    assert words(steps["from none.rcnn_r"], "--weights") == words(steps["from none.start"], "--out")
    assert "--dropout" not in steps["nets"].command


@pytest.mark.parametrize("gpu, expected", [(None, ("--device", "cpu")), (1, ("--gpu", "1"))])
def test_pytorch_runs_where_it_is_told(gpu, expected):
    steps = split_steps(description.parse({**GIVEN, "engine": "torch"}), gpu=gpu)
    assert steps["rcnn_r"].settings == expected


@pytest.mark.parametrize("engine", description.ENGINES)
def test_the_commands_parse(engine, monkeypatch, tmp_path):
    """Each program takes its step's words; files that a command names need not be there but for its own check."""
    asked = {**made(), **FLOW, "engine": engine, "variants": VARIANTS, "seeds": [1, 2]}
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for step in planned(description.parse(asked)).values():
        if step.command[0] in ("train_torch.py", "evaluate.py"):
            monkeypatch.setattr(sys, "argv", [*map(str, step.command), *step.settings])
            monkeypatch.setattr("rcnn.command.PathType.__call__", lambda self, text: text)
            args = module(step.command[0][:-3]).arguments()
            assert str(args.out) == words(step, "--out")[0]


@pytest.mark.parametrize("engine", description.ENGINES)
def test_more_seeds_of_the_first_split(engine):
    asked = {**GIVEN, "splits": [2, 1], "engine": engine}
    before = planned(description.parse(asked))
    asked = description.parse({**asked, "seeds": [1, 2, 5]})
    after = planned(asked)
    assert list(before.values()) == [step for name, step in after.items() if name in before]
    added = {name for name in after if name not in before}
    assert added and all(name.startswith(("split02_5fps.seed_2.", "split02_5fps.seed_5.")) for name in added)
    for seed in (2, 5):
        own = {name.split(".", 2)[2]: step for name, step in after.items() if f".seed_{seed}." in name}
        assert {"nets", "start", "cnn", "rcnn_r_stage1", "rcnn_r", "rcnn_s", "scores_cnn", "scores_rcnn_s"} <= set(own)
        assert not any("pairs" in name or "frames" in name for name in own)
        assert words(own["nets"], "--seed") == words(own["start"], "--seed") == (str(seed),)
        assert words(own["nets"], "--train-pairs") == ("out/split02_5fps/pairs_train.lmdb",)
        assert words(own["start"], "--weights")[0].startswith(
            f"out/split02_5fps/seed_{seed}/start_cnn/snapshots/cnn_iter"
        )
        if engine == "torch":
            assert words(own["rcnn_r"], "--seed") == (str(seed),)
        assert f"split02_5fps.seed_{seed}.start" in needs(after, f"split02_5fps.seed_{seed}.rcnn_r")
    scores = plan.seed_scores(asked, OUT)
    assert set(scores) == {(seed, net) for seed in (2, 5) for net in ("cnn", "rcnn_r", "rcnn_s")}
    assert set(scores.values()) <= {path for step in after.values() for path in step.outputs}


def test_seeds_are_in_the_results(tmp_path, monkeypatch, capsys):
    """Of score files that stand as if their steps had made them: accuracies by hand, mean and deviation by NumPy."""
    monkeypatch.chdir(tmp_path)
    asked = description.parse({**GIVEN, "fps": [5], "samplings": ["random"], "seeds": [1, 2, 3]})
    runner, videos, shares = Runner(OUT), [(f"v_{index}", index % 3) for index in range(9)], {}
    files = {(1, net): path for (net, *_), path in plan.score_files(asked, OUT).items()}
    for (seed, net), path in {**files, **plan.seed_scores(asked, OUT)}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(len(shares))
        scores = [(name, label, softmax(generator, 1, 5, 3, 3)) for name, label in videos]
        write(path, scores, 5, SIGNALS)
        right = [values[0, :, 2].astype(np.float64).mean(axis=0).argmax() == label for _, label, values in scores]
        shares[seed, net] = np.mean(right)
    steps = [replace(step, inputs=()) for step in planned(asked).values()]
    for step in steps:
        if step.command[0] == "evaluate.py":
            step.outputs[0].rename("aside")
            runner.records.begin(step, "missing")
            Path("aside").rename(step.outputs[0])
            runner.records.finish(step, 1.0)
    runner.failed["frames_5fps"] = "it was left out"
    summary = results.make(asked, OUT, steps, runner)
    assert set(summary["seeds"]) == {"cnn", "rcnn_r"}
    for net, of in summary["seeds"].items():
        expected = [shares[seed, net] for seed in (1, 2, 3)]
        assert of["accuracy"] == pytest.approx(dict(zip("123", expected)))
        assert (of["mean"], of["deviation"]) == pytest.approx((np.mean(expected), np.std(expected, ddof=1)))
    results.report(OUT, summary, steps, runner)
    assert f"rcnn_r, by seed 1: {100 * shares[1, 'rcnn_r']:.1f} %, 2: " in capsys.readouterr().out
