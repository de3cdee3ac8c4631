"""rcnn/recipe.py: the paper's settings, what changes them, how they are spelled, and what answers a wrong one."""

import argparse
import subprocess
import sys
from dataclasses import dataclass, fields, replace

import pytest

from rcnn import recipe
from rcnn.command import parser
from rcnn.files import InputError
from rcnn.googlenet import Model
from rcnn.recipe import PART_OF, PARTS, Data, Recipe, spatial_rates

SETTINGS = {  # the paper's, and another
    "classes": (101, 7),
    "width": (1, 0.5),
    "size": (224, 64),
    "channels": (3, 2),
    "high-rnn": (True, False),
    "conv1-temporal-kernel": (3, 5),
    "combine": ("average", "sum"),
    "temporal-bias": (False, True),
    "filler": ("xavier", "msra"),
    "temporal-filler": ("xavier", "constant"),
    "bias": (0.2, 0.0),
    "batch": (64, 16),
    "encoding": ("jpeg", "raw"),
    "mean": (None, (1.0, 2.5)),
    "scale": (1, 0.25),
    "together": (True, True),  # raw pairs cannot have the other
    "crop": ("random", "random"),  # nor this
    "spatial-rate": (1, 0.5),
    "previous-loss": (False, True),
    "cut-gradient": (True, False),
    "dropout": (True, False),
    "precision": ("float32", "bfloat16"),
    "rate": (0.01, 0.5),
    "final-rate": (0.01, 1.0),
    "momentum": (0.9, 0.0),
    "weight-decay": (0.0002, 0.0),
    "clip-gradients": (None, 2.0),
    "iter-size": (1, 4),
    "cnn-stage1-iterations": (0, 4),
    "cnn-iterations": (20000, 5),
    "stage1-iterations": (10000, 6),
    "iterations": (30000, 7),
    "test-iterations": (None, 8),
    "test-interval": (1000, 9),
    "snapshot": (1000, 10),
    "display": (40, 11),
    "seed": (None, 0),
}
PAPERS, OTHERS = ({name: values[column] for name, values in SETTINGS.items()} for column in (0, 1))


def test_defaults_are_the_papers():
    assert recipe.settings(Recipe()) == PAPERS and recipe.parse({}) == Recipe()
    assert Recipe().test_iterations == 60  # batches of 64 pairs
    assert recipe.parse({"batch": 25}).test_iterations == 154  # 154 * 25 >= 60 * 64 > 153 * 25
    assert recipe.parse({"batch": 25, "test-iterations": 3}).test_iterations == 3


def test_every_setting_has_one_name():
    names = [field.name for kind in PARTS.values() for field in fields(kind)]
    assert len(set(names)) == len(names) == len(PART_OF)


@pytest.mark.filterwarnings("error")  # pydantic warns of what it passes over
def test_settings_and_words_are_read_back():
    other = recipe.parse(OTHERS)
    assert recipe.settings(other) == OTHERS and other.setting("weight_decay") == 0
    assert recipe.parse({name.replace("-", "_"): value for name, value in OTHERS.items()}) == other
    assert recipe.parse({**OTHERS, "high-rnn": "no", "previous-loss": "yes", "mean": [1, 2.5]}) == other
    options = parser("")
    recipe.add_options(options, without=())
    assert recipe.parse(recipe.typed(options.parse_args(recipe.words(OTHERS)))) == other
    changed = {name: value for name, value in OTHERS.items() if name not in ("together", "crop")}
    assert recipe.settings(other, Recipe()) == changed
    assert recipe.settings(other, other) == {} and hash(other) == hash(recipe.parse(OTHERS))
    assert recipe.parse({"batch": 8}, other) == replace(other, data=replace(other.data, batch=8))


def test_a_model_of_another_kind_is_kept():
    @dataclass(frozen=True)
    class Other(Model):
        more: int = 1

        def layers(self):
            return []

    base = Recipe(model=Other(size=40))
    assert recipe.parse({"batch": 2}, base).model is base.model
    assert recipe.parse({"classes": 7}, base).model == Model(size=40, classes=7)


def test_the_words_of_a_command():
    words = recipe.words({"scale": 0.5, "mean": [1, 2], "cut-gradient": False, "high_rnn": "yes", "batch": 4})
    assert " ".join(words) == "--scale 0.5 --mean 1 2 --cut-gradient no --high-rnn yes --batch 4"


def test_the_mean():
    means = {3: (104.0, 117.0, 123.0)}
    assert Recipe().mean(means) == means[3] and recipe.parse({"mean": [1, 2, 3]}).mean(means) == (1, 2, 3)
    with pytest.raises(InputError, match="^mean: frames of 4 channels have none of their own; give 4 numbers$"):
        recipe.parse({"channels": 4}).mean(means)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"colour": 1}, "unknown setting colour; the settings are classes, width, size, channels, high-rnn, "),
        ({"width": "wide"}, 'width: "wide": it should be a number'),
        ({"width": 0}, "width: 0: it should be above 0"),
        ({"width": None}, "width: null: it should be a number"),
        ({"width": float("nan")}, "width: NaN: it should be a finite number"),
        ({"size": 32}, "size: 32: it should be at least 33"),
        ({"classes": 2**31}, "classes: 2147483648: it should be at most 2147483647"),
        ({"batch": True}, "batch: true: it should be a whole"),
        ({"batch": 2.5}, "batch: 2.5: it should be a whole number"),
        ({"seed": -1}, "seed: -1: it should be at least 0"),
        ({"seed": 2**32}, "seed: 4294967296: it should be below 4294967296"),
        ({"momentum": 1}, "momentum: 1: it should be below 1"),
        ({"rate": 0}, "rate: 0: it should be above 0"),
        ({"final-rate": 1.5}, "final-rate: 1.5: it should be at most 1"),
        ({"clip-gradients": 0}, "clip-gradients: 0: it should be above 0"),
        ({"spatial_rate": 0}, "spatial-rate: 0: it should be above 0"),
        ({"combine": "product"}, "combine: \"product\": it should be 'average' or 'sum'"),
        ({"cut-gradient": "maybe"}, 'cut-gradient: "maybe": it should be true or false'),
        ({"mean": {}}, "mean: {}: it should be a list"),
        ({"mean": [1, "x", 3]}, 'mean: "x": it should be a number'),
        ({"mean": [1, 2]}, "mean: frames of 3 channels take 3 numbers, not 2"),
        ({"conv1-temporal-kernel": 4}, "no network .* 4 x 4 temporal kernel: .* the kernel odd"),
        (
            {"encoding": "raw", "crop": "corners"},
            "raw pairs are cut by Caffe, at random; use jpeg pairs for --crop corners",
        ),
        ({"encoding": "raw", "together": "no"}, "raw pairs have one crop for both frames; use jpeg pairs"),
    ],
)
def test_a_wrong_setting_is_answered_in_a_line(settings, message):
    with pytest.raises(InputError, match=f"^{message}") as error:
        recipe.parse(settings)
    assert "\n" not in str(error.value)


def test_a_part_made_in_python_is_checked_too():
    for make in (lambda: Data(batch=0), lambda: Data(pairs="a"), lambda: Recipe(model=Model(width=0))):
        with pytest.raises(ValueError):
            make()


def test_options_are_added_but_for_some():
    options = argparse.ArgumentParser()
    recipe.add_options(options, without=("model", "dropout"))
    names = {action.dest for action in options._actions} - {"help"}
    assert names == {name for name, part in PART_OF.items() if part != "model" and name != "dropout"}
    assert recipe.typed(options.parse_args([])) == {}


@pytest.mark.parametrize(
    "option, values",
    [
        ("--classes", ("0", "2.5", "many", "99999999999")),
        ("--momentum", ("1", "-0.1")),
        ("--mean", ("x", "nan")),
        ("--width", ("0", "inf")),
        ("--seed", ("-1", "4294967296", "1.5")),
        ("--combine", ("product",)),
        ("--previous-loss", ("true", "1", "")),
    ],
)
def test_a_bad_value_of_an_option_is_refused(capsys, option, values):
    options = parser("")
    recipe.add_options(options)
    for value in values:
        with pytest.raises(SystemExit) as stopped:
            options.parse_args([f"{option}={value}"])
        assert stopped.value.code == 2 and f" error: argument {option}: " in capsys.readouterr().err


@pytest.mark.parametrize("module, ours", [("recipe", {"files", "googlenet"}), ("googlenet", set())])
def test_it_imports_no_framework_and_nothing_above_it(module, ours):
    code = f"import sys, rcnn.{module}; print(*(name for name in sys.modules if name.split('.')[0] in " + (
        "('caffe', 'torch', 'cv2') or name.startswith('rcnn.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert set(done.stdout.split()) == {f"rcnn.{name}" for name in {module, *ours}}


def test_what_learns_in_which_stage():
    """By the architecture what BVLC GoogLeNet's file has is pretrained, else what the starting weights have."""
    layers = Recipe().model.layers()
    heads = {f"loss{number}/classifier_video" for number in (1, 2, 3)}

    def learning(*arguments, **options):
        return {name for name, rate in spatial_rates(layers, *arguments, **options).items() if rate}

    every = set(spatial_rates(layers, 2, True))
    assert {"conv1/7x7_s2", "loss1/conv", "loss3/fc", *heads} < every and len(every) == 65
    for temporal in (False, True):
        assert learning(1, temporal) == {"loss3/fc", *heads}
        assert learning(1, temporal, fresh=["loss1/fc", *heads]) == {"loss1/fc", *heads}
        assert learning(1, temporal, fresh=[]) == set() and learning(2, temporal, fresh=[]) == every
    slow = {name for name, rate in spatial_rates(layers, 2, True, 0.2).items() if rate == 0.2}
    assert slow == every - {"loss3/fc", *heads} and set(spatial_rates(layers, 2, False, 0.2).values()) == {1.0}
