"""What one and several updates of Caffe's own solver do to a generated net; the solver."""

import json
from pathlib import Path

import numpy as np
import pytest
from nets import SLIM, Tiny, by_name, images, largest_difference, randomize, recipe, solver, write_pairs

from rcnn.nets import prototxt as net

BVLC = json.loads((Path(__file__).parent / "bvlc_googlenet.json").read_text())["layers"]
PRETRAINED = {
    f"{layer['name']}/{part}"
    for layer in BVLC
    if layer.get("shapes") and "classifier" not in layer["name"]
    for part in ("weight", "bias")
}
TINY_PRETRAINED = {"one/5x5/weight", "one/5x5/bias", "two/3x3/weight", "two/3x3/bias"}
LABELS = np.array([3, 1, 0, 2])


def pairs_of(folder, side, symmetric=True):
    """Write an LMDB of four raw pairs, each frame its own mirror image: every epoch then gives the same numbers."""
    generator = np.random.default_rng(8)
    frames = [images(generator, 4, side, symmetric) for _ in range(2)]
    return write_pairs(folder / "pairs.lmdb", *frames, LABELS)


@pytest.fixture
def tiny(tmp_path):
    """Return a function that makes a solver for the tiny net, always of the same parameters and data."""
    source = pairs_of(tmp_path, 13)

    def make(iterations=10, **settings):
        settings = {"batch": 4, "encoding": "raw", "scale": 1 / 64, **settings}
        message = net.rcnn_r(recipe(Tiny(classes=4, size=13), **settings), source, net.TRAIN)
        made = solver(tmp_path, message, iterations, **settings)
        randomize(made.net, np.random.default_rng(3))
        return made

    return make


def update(made):
    """Return what one update takes off each parameter, exactly: Caffe leaves it in the parameter's gradient."""
    made.step(1)
    return by_name(made.net, diff=True)


# The solver


def test_solver_is_that_of_section_3_1(tmp_path):
    made = net.solver(recipe(test_interval=250, snapshot=500, display=20), "net.prototxt", "snapshots/rcnn", 5000)
    assert (made.net, made.train_net, list(made.test_net)) == ("net.prototxt", "", [])
    assert made.snapshot_prefix == "snapshots/rcnn"
    assert (made.type, made.lr_policy, made.max_iter, made.average_loss, made.iter_size) == ("SGD", "exp", 5000, 40, 1)
    assert [made.base_lr, made.momentum, made.weight_decay] == pytest.approx([0.01, 0.9, 0.0002], rel=1e-6)
    assert (list(made.test_iter), made.test_interval, made.snapshot, made.display) == ([60], 250, 500, 20)
    assert made.solver_mode == made.CPU and made.random_seed == -1 and not made.HasField("clip_gradients")


@pytest.mark.parametrize("final_rate", [0.01, 0.1, 1.0])
def test_rate_falls_to_final_rate(tiny, final_rate):
    made = tiny(iterations=10, rate=0.02, final_rate=final_rate)
    rates = [made.lr]
    for _ in range(10):
        made.step(1)
        rates.append(made.lr)
    assert rates == pytest.approx([0.02 * final_rate ** (number / 10) for number in range(11)], rel=1e-4)


@pytest.mark.parametrize("iterations", [100, 5000, 100000])
def test_rate_falls_to_final_rate_in_float32(iterations):
    made = net.solver(recipe(final_rate=0.01), "a", "b", iterations)
    assert np.float32(made.gamma) ** np.float64(iterations) == pytest.approx(0.01, rel=0.01)


# One update


def test_first_update(tiny):
    """W and What: rate (gradient + decay W); b: twice the rate, no decay."""
    options = dict(rate=0.1, weight_decay=0.01)
    made = tiny(**options)
    made.net.forward()
    made.net.backward()
    gradients, before = by_name(made.net, diff=True), by_name(made.net)
    for name, value in update(tiny(**options)).items():
        expected = 0.2 * gradients[name] if name.endswith("/bias") else 0.1 * (gradients[name] + 0.01 * before[name])
        assert np.abs(expected).max() > 1e-3 and largest_difference(value, expected) < 1e-5, name


def test_spatial_rate_scales_the_update_of_pretrained_layers(tiny):
    full, scaled = (update(tiny(spatial_rate=rate)) for rate in (1.0, 0.25))
    for name, value in scaled.items():
        rate = 0.25 if name in TINY_PRETRAINED else 1
        assert (value == np.float32(rate) * full[name]).all() and np.any(value), name


@pytest.mark.parametrize(
    "learning", [{}, dict(previous_loss=True, cut_gradient=False)], ids=["one loss, cut", "two losses, uncut"]
)
def test_iter_size_is_a_larger_batch(tiny, learning):
    """Batch 4 once, 2 twice and 1 four times make the same update; 2 once makes another."""
    whole = update(tiny(batch=4, **learning))
    for batch, iter_size in ((2, 2), (1, 4)):
        for name, value in update(tiny(batch=batch, iter_size=iter_size, **learning)).items():
            assert largest_difference(value, whole[name]) < 1e-4, name
    part = update(tiny(batch=2, **learning))
    assert min(largest_difference(part[name], value) for name, value in whole.items()) > 1e-2


def test_clip_gradients(tiny):
    """The gradients, without weight decay, are scaled to the norm as one vector; a larger bound changes nothing."""
    options = dict(rate=1.0, weight_decay=0.0)
    made = tiny()
    made.net.forward()
    made.net.backward()
    norm = np.sqrt(sum(np.square(value.astype(np.float64)).sum() for value in by_name(made.net, diff=True).values()))
    free, clipped, loose = (
        update(tiny(clip_gradients=bound, **options)) for bound in (None, float(norm / 4), float(norm * 4))
    )
    for name, value in free.items():
        assert largest_difference(clipped[name], value / 4) < 1e-4 and (loose[name] == value).all(), name


# Stages


def changed(folder, stage, weight_decay, **settings):
    """Run ten updates of the slim GoogLeNet-RCNN; return ({parameter}, those that changed)."""
    source = pairs_of(folder, 70, symmetric=False)
    settings = recipe(net.Model(**SLIM), batch=4, encoding="raw", mean=(0, 0, 0), scale=1 / 64, **settings)
    message = net.rcnn_r(settings, source, net.TRAIN, stage)
    # Positive inputs and weights: no ReLU starts dead, so a parameter that does not move is one that cannot.
    for layer in message.layer:
        if layer.type in ("Convolution", "InnerProduct") and "classifier" not in layer.name:
            part = layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param
            part.weight_filler.type = "positive_unitball"
    made = solver(folder, message, weight_decay=weight_decay, seed=1)
    before = by_name(made.net)
    made.step(10)
    after = by_name(made.net)
    assert all(np.isfinite(value).all() for value in after.values())
    return set(before), {name for name, value in after.items() if value.tobytes() != before[name].tobytes()}


@pytest.mark.parametrize("previous_loss", [False, True])
def test_stage_1_leaves_what_is_pretrained_as_it_is(tmp_path, previous_loss):
    """Bit by bit, with weight decay; and by their gradients alone, without decay, it moves all the others."""
    for weight_decay in (0.0002, 0.0):
        folder = tmp_path / str(weight_decay)
        folder.mkdir()
        names, moved = changed(folder, 1, weight_decay, previous_loss=previous_loss)
        assert len(PRETRAINED) == 122 and PRETRAINED < names
        assert moved == names - PRETRAINED


def test_stage_2_moves_everything(tmp_path):
    names, moved = changed(tmp_path, 2, 0.0)
    assert len(names) == 122 + 62 + 2 + 6 and moved == names
