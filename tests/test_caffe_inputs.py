"""rcnn/training/caffe_inputs.py: the nets of a solver, and what is wrong with the data that they read."""

import json
from pathlib import Path

import caffe
import frames
import pytest
from caffe.proto import caffe_pb2
from nets import build, fed

from rcnn.data.builds import Build
from rcnn.files import InputError
from rcnn.nets import caffemodel, compare, net_shapes, prototxt
from rcnn.nets.model import NetModel
from rcnn.nets.protos import read_net, read_solver
from rcnn.recipe import parse
from rcnn.training import caffe_inputs
from rcnn.training.caffe_inputs import check_data, check_weights, of_phase, read_nets

CLASSES = ["Left", "Right"]
VIDEOS = {"v_Left_g01_c01": (0, 2), "v_Right_g01_c01": (1, 3)}
OPTIONS = {"source": "f.lmdb", "list": "f.txt", "batch": 2, "size": 12}
NET = """
layer { name: "frames" type: "Python" top: "frame" top: "label" top: "first" %s
  python_param { module: "layers.sequential_frames" layer: "SequentialFrames" param_str: '%s' } }
layer { name: "fc" type: "InnerProduct" bottom: "frame" top: "fc" inner_product_param { num_output: %d } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "%s" top: "loss" }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames.write(Path("f.lmdb"), VIDEOS, CLASSES)


def net(options=None, outputs=2, label="label", rule="", phase=caffe_pb2.TRAIN, **changed):
    text = json.dumps({**OPTIONS, **changed}) if options is None else options
    Path("net.prototxt").write_text(NET % (rule, text, outputs, label))
    return written(phase)


def written(phase=caffe_pb2.TRAIN):
    return of_phase("net", read_net("net.prototxt"), phase)


@pytest.mark.parametrize(
    "changed, said, phase",
    [
        ({"source": "gone.lmdb"}, "no such LMDB: gone.lmdb", "training"),
        ({"list": "gone.txt"}, "video list: no such file: gone.txt", "test"),
        ({"list": "other.txt"}, "f.lmdb lacks 1 of the 1 videos of other.txt, the first is v_Left_g09_c01", "test"),
        ({"size": 13}, "a 13 x 13 crop does not fit an image of 12 x 12", "training"),
        ({"outputs": 1}, "reads f.lmdb of 2 classes, but fc has 1; make the net with --classes 2", "test"),
    ],
)
def test_what_the_layer_cannot_give_is_named(changed, said, phase):
    Path("other.txt").write_text("Left/v_Left_g09_c01.avi")
    with pytest.raises(InputError) as error:
        check_data(net(phase={"training": caffe_pb2.TRAIN, "test": caffe_pb2.TEST}[phase], **changed))
    assert str(error.value).startswith(f"layer frames of the {phase} net")
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changed",
    [{}, {"outputs": 3}, {"size": 5}, {"outputs": 1, "label": "first"}]
    + [{"rule": "include { phase: TEST }", "list": "gone.txt"}]
    + [{"options": options} for options in ("{", "[1]", "", '{"source": "gone"}', '{"source": 1, "list": "f.txt"}')],
)
def test_what_it_can_give_and_what_it_says_by_itself_is_passed(changed):
    check_data(net(**changed))


def test_a_net_that_has_the_frames_open_is_not_in_the_way():
    """LMDB opens a database once in a process."""
    data = net(phase=caffe_pb2.TEST)
    built = caffe.Net("net.prototxt", caffe.TRAIN)
    check_data(data)
    assert built.forward()["loss"] > 0


# LMDBs of Data layers


def pairs_lmdb(path, encoding="jpeg", classes=3, size=8, kind="pairs"):
    """Make an LMDB of one record, with the manifest that build_pairs.py writes."""
    recipe = {"encoding": encoding, "classes": ["x"] * classes, "frames": {"size": size}}
    with Build(path, kind, recipe, print) as build:
        build.put([(b"key", b"value")])
        build.finish(counts={kind: 1})


def pairs_net(augment="", transform=""):
    """Return a net of 3 classes on p.lmdb; augment: param_str of a PairAugment; transform: the Data layer's own."""
    cut = (
        'layer { name: "cut" type: "Python" bottom: "pair" top: "frame" python_param { '
        f'module: "layers.pair_augment" layer: "PairAugment" param_str: \'{augment}\' }} }}'
    )
    return (
        f'layer {{ name: "pair" type: "Data" top: "pair" top: "label" data_param {{ source: "p.lmdb" backend: LMDB '
        f"batch_size: 1 }} transform_param {{ {transform} }} }} {cut if augment else ''} "
        'layer { name: "fc" type: "InnerProduct" bottom: "frame" top: "fc" inner_product_param { num_output: 3 } } '
        'layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" } '
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }'
    )


RAW = "crop_size: 8 " + 6 * "mean_value: 1 "


@pytest.mark.parametrize(
    "stored, net, said",
    [
        ({"classes": 4}, {"augment": '{"size": 8}'}, "of 4 classes, but fc has 3; make the net with --classes 4"),
        ({"classes": 4, "encoding": "raw"}, {"transform": RAW}, "of 4 classes, but fc has 3"),
        ({"encoding": "raw"}, {"augment": '{"size": 8}'}, "holds pairs encoded as raw, but layer cut takes .* as jpeg"),
        ({"kind": "frames", "encoding": None}, {"augment": '{"size": 8}'}, "holds frames, but layer cut takes pairs"),
        ({}, {"transform": RAW}, "holds pairs encoded as jpeg, but no PairAugment layer takes them"),
        ({"encoding": "raw"}, {"transform": 3 * "mean_value: 1 "}, "raw pairs of 6 channels, .* has 3 mean values"),
        ({}, {"augment": '{"size": 9}'}, "a 9 x 9 crop does not fit an image of 8 x 8"),
        ({"encoding": "raw"}, {"transform": RAW.replace("8", "9")}, "a 9 x 9 crop does not fit an image of 8 x 8"),
    ],
)
def test_an_lmdb_of_another_net_is_named(stored, net, said):
    pairs_lmdb("p.lmdb", **stored)
    Path("net.prototxt").write_text(pairs_net(**net))
    with pytest.raises(InputError, match=said) as error:
        check_data(written())
    assert "layer pair of the training net reads p.lmdb" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "stored, net",
    [
        ({}, {"augment": '{"size": 8}'}),
        ({"classes": 2, "size": 9}, {"augment": '{"size": 8}'}),
        ({"encoding": "raw"}, {"transform": RAW}),
        ({"encoding": "raw"}, {}),
        ({}, {"augment": '{"size": "x"}'}),
    ],
)
def test_an_lmdb_that_fits_is_taken(stored, net):
    pairs_lmdb("p.lmdb", **stored)
    Path("net.prototxt").write_text(pairs_net(**net))
    check_data(written())


# Nets of a solver, by phase

PHASES = """
layer { name: "both" type: "DummyData" top: "both" dummy_data_param { shape { dim: 2 dim: 4 } } }
layer { name: "train" type: "Power" bottom: "both" top: "train" include { phase: TRAIN } }
layer { name: "test" type: "Power" bottom: "both" top: "test" include { phase: TEST } }
layer { name: "not train" type: "Power" bottom: "both" top: "a" exclude { phase: TRAIN } }
layer { name: "either" type: "Power" bottom: "both" top: "b"
  include { phase: TEST stage: "x" } include { min_level: 2 } }
layer { name: "x" type: "Power" bottom: "both" top: "c" include { stage: "x" } }
layer { name: "not x" type: "Power" bottom: "both" top: "d" include { not_stage: "x" } }
layer { name: "low" type: "Power" bottom: "both" top: "e" exclude { min_level: 1 max_level: 3 } }
"""


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize("level", [0, 2, 4])
@pytest.mark.parametrize("stages", [[], ["x"], ["x", "y"]])
def test_layers_of_a_phase_are_those_that_caffe_builds(phase, level, stages):
    Path("net.prototxt").write_text(PHASES)
    built = caffe.Net("net.prototxt", phase, level=level, stages=stages)
    state = caffe_pb2.NetState(level=level, stage=stages)
    part = of_phase("net", read_net("net.prototxt"), phase, state)
    assert [layer.name for layer in part.net.layer] == [name for name in built._layer_names if "_split" not in name]


def solver(text):
    Path("solver.prototxt").write_text(text)
    return [
        (net.field, net.phase, [layer.name for layer in net.net.layer if layer.name in ("train", "test", "x")])
        for net in read_nets(read_solver("solver.prototxt"))
    ]


def test_one_file_with_phases_and_files_of_their_own():
    Path("net.prototxt").write_text(PHASES)
    train, test = ("net", "training", ["train"]), ("net", "test", ["test"])
    assert solver('net: "net.prototxt"') == [train]
    assert solver('net: "net.prototxt" test_iter: 1') == [train, test]
    assert solver('net: "net.prototxt" test_iter: 1 test_iter: 1 test_state { stage: "x" }') == [
        train,
        ("net", "test", ["test", "x"]),
        test,
    ]
    assert solver('train_net: "net.prototxt" test_net: "net.prototxt" test_iter: 1') == [
        ("train_net", "training", ["train"]),
        ("test_net", "test", ["test"]),
    ]
    with pytest.raises(InputError, match="names 2 training nets"):
        solver('net: "net.prototxt" train_net: "net.prototxt"')


def test_each_phase_of_one_file_is_checked_by_its_own_layers():
    """A classifier of the other phase and an LMDB that it reads are not in the way; weights for it alone are no use."""
    frames.write(Path("g.lmdb"), VIDEOS, [*CLASSES, "Still"])
    text = ""
    for phase, name in (("TRAIN", "f"), ("TEST", "g")):
        rule, options = f"include {{ phase: {phase} }}", {**OPTIONS, "source": f"{name}.lmdb", "list": f"{name}.txt"}
        part = NET % (rule, json.dumps(options), 2, "label")
        part = part.replace('name: "fc"', f'name: "fc {phase}" {rule}').replace('name: "loss"', f'name: "loss" {rule}')
        text += part
    Path("net.prototxt").write_text(text)
    check_data(written())
    with pytest.raises(InputError, match="layer frames of the test net reads g.lmdb of 3 classes, but fc TEST has 2"):
        check_data(written(caffe_pb2.TEST))
    for phase in ("TRAIN", "TEST"):
        message = caffe_pb2.NetParameter()
        message.layer.add(name=f"fc {phase}").blobs.add(data=[1.0])
        Path(f"{phase}.caffemodel").write_bytes(message.SerializeToString())
    check_weights(["TRAIN.caffemodel"], written(), Path("tiny"))
    with pytest.raises(InputError, match="no layer of TEST.caffemodel is in the net"):
        check_weights(["TEST.caffemodel"], written(), Path("tiny"))


# Starting weights of a training


def training_net(stage, kind="rcnn_r", fresh=None, **settings):
    """Return the training net of a small model."""
    chosen = parse({"width": 0.05, "size": 48, "classes": 2, "batch": 1, **settings})
    sources = ("none.lmdb", "none.txt") if kind == "rcnn_s" else ("none.lmdb",)
    message = getattr(prototxt, kind)(chosen, *sources, caffe_pb2.TRAIN, stage, fresh)
    return of_phase("net", message, caffe_pb2.TRAIN)


def weights_of(path="g.caffemodel", fresh=None, lacking=(), **settings):
    model = NetModel(**{"width": 0.05, "size": 48, "classes": 2, "temporal": False, **settings})
    arrays = compare.random_arrays(model)
    caffemodel.write(path, {name: arrays[name] for name in arrays if not name.startswith(lacking)}, model)
    if fresh is not None:
        caffemodel.mark_fresh(path, fresh)
    return path


LOW = ["loss1/conv", "loss1/fc", "loss1/classifier_video"]


@pytest.mark.parametrize("kind", ["rcnn_r", "rcnn_s", "cnn"])
@pytest.mark.parametrize(
    "weights, lost",
    [({"lacking": "loss1/"}, 2), ({"fresh": ["loss1/conv", "loss1/fc"]}, 2), ({}, 0), (None, 61)],
    ids=["lacking", "marked", "whole", "none"],
)
def test_a_stage_1_that_would_hold_random_values_still_is_refused(kind, weights, lost):
    paths = [] if weights is None else [weights_of(**weights)]
    check_weights(paths, training_net(2, kind), Path("tiny"))
    if paths:
        check_weights(paths, training_net(1, kind, LOW), Path("tiny"))
    if not lost:
        check_weights(paths, training_net(1, kind), Path("tiny"))
        return
    with pytest.raises(InputError) as error:
        check_weights(paths, training_net(1, kind), Path("tiny"))
    first, way = ("loss1/conv", "make_prototxt.py --weights") if paths else ("conv1/7x7_s2", "give starting weights")
    said = f"for {lost} layers that the net holds still (lr_mult 0), the first is {first}; "
    assert said in str(error.value) and way in str(error.value)
    assert "\n" not in str(error.value)


def test_what_a_later_file_has_is_what_counts():
    """Caffe takes several, one after the other."""
    start, heads = weights_of(fresh=["loss1/conv", "loss1/fc"]), weights_of("heads.caffemodel", lacking=("conv", "inc"))
    check_weights([start, heads], training_net(1), Path("tiny"))
    with pytest.raises(InputError, match="lr_mult 0"):
        check_weights([heads, start], training_net(1), Path("tiny"))


@pytest.mark.parametrize("settings", [{}, {"encoding": "raw"}, {"channels": 2}], ids=["jpeg", "raw", "flow"])
@pytest.mark.parametrize("kind", ["rcnn_r", "rcnn_s", "cnn"])
def test_shapes_of_weights_are_told_as_caffe_makes_them(kind, settings, tmp_path):
    net = training_net(2, kind, **settings)
    found = net_shapes.weight_shapes(net.net.layer, caffe_inputs.images(net.net.layer))
    model = parse(dict(width=0.05, size=48, classes=2, **settings)).model
    made = build(fed(net.net, model, 1), tmp_path)
    expected = {name: tuple(blobs[0].shape) for name, blobs in made.params.items()}
    if kind == "rcnn_s":  # what RecallState gives is its own matter
        expected = {name: shape for name, shape in expected.items() if not name.endswith("/temporal")}
        found = {name: shape for name, shape in found.items() if not name.endswith("/temporal")}
    assert found == expected and len(found) >= 60


@pytest.mark.parametrize(
    "weights, said",
    [
        (
            {"width": 0.1},
            "g.caffemodel has 6 x 3 x 7 x 7 for W of layer conv1/7x7_s2, the net 3 x 3 x 7 x 7; are width",
        ),
        ({"channels": 2}, "g.caffemodel has 3 x 2 x 7 x 7 for W of layer conv1/7x7_s2, the net 3 x 3 x 7 x 7"),
        (
            {"size": 224},
            "g.caffemodel has 51 x 96 for W of layer loss1/fc, the net 51 x 6; .*init_weights.py makes",
        ),
        ({"classes": 7}, "g.caffemodel has 7 x 51 for W of layer loss1/classifier_video, the net 2 x 51"),
    ],
)
def test_weights_of_another_shape_are_named(weights, said):
    with pytest.raises(InputError, match=said) as error:
        check_weights([weights_of(**weights)], training_net(1), Path("tiny"))
    assert "\n" not in str(error.value)


def test_layers_of_other_kinds_are_left_to_caffe():
    """Somebody's own net: what cannot be told is not refused."""
    options = [
        "kernel_h: 3 kernel_w: 5",
        "kernel_size: 3 dilation: 2",
        "kernel_size: 3 group: 3",
        "kernel_size: 3 kernel_size: 5",
    ]
    text = "".join(
        f'layer {{ name: "{number}" type: "Convolution" bottom: "frame" top: "{number}" '
        f'convolution_param {{ num_output: 3 {option} }} }} layer {{ name: "after {number}" type: "InnerProduct" '
        f'bottom: "{number}" top: "after {number}" inner_product_param {{ num_output: 2 }} }}'
        for number, option in enumerate(options)
    )
    text += 'layer { name: "all" type: "Pooling" bottom: "frame" top: "all" pooling_param { global_pooling: true } }'
    text += (
        'layer { name: "told" type: "InnerProduct" bottom: "frame" top: "told" inner_product_param { num_output: 2 } }'
    )
    Path("own.prototxt").write_text(text)
    shapes = net_shapes.weight_shapes(read_net("own.prototxt").layer, {"frame": (3, 8, 8)})
    assert shapes == {"told": (2, 192)}
