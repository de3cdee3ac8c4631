"""What rcnn/nets/protos.py finds out about a net's SequentialFrames layers; tests/test_train.py has the rest of it."""
import json
import os
import subprocess
import sys
from pathlib import Path

import caffe
import frames
import pytest
import runs
from caffe.proto import caffe_pb2

from rcnn.data.builds import Build
from rcnn.files import InputError
from rcnn.nets.protos import check_data, read_net

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


def net(options=None, outputs=2, label="label", rule="", **changed):
    text = json.dumps({**OPTIONS, **changed}) if options is None else options
    Path("net.prototxt").write_text(NET % (rule, text, outputs, label))
    return read_net("net.prototxt")


def unfinished():
    with Build(Path("begun.lmdb"), "frames", {"classes": CLASSES, "size": 12}, print):
        pass


BAD = [
    ({"source": "gone.lmdb"}, "no such LMDB: gone.lmdb"),
    ({"source": "begun.lmdb"}, "begun.lmdb is not finished"),
    ({"source": "p.lmdb"}, "p.lmdb holds pairs, not frames"),
    ({"source": "old.lmdb"}, "old.lmdb/manifest.json does not say the classes of the frames"),
    ({"list": "gone.txt"}, "video list: no such file: gone.txt"),
    ({"list": "empty.txt"}, "video list: empty.txt is empty"),
    ({"list": "other.txt"}, "f.lmdb lacks 1 of the 1 videos of other.txt, the first is v_Left_g09_c01"),
    ({"list": "wrong.txt"}, "v_Left_g01_c01 has label 0 in f.lmdb, but 1 by wrong.txt"),
    ({"size": 13}, "a 13 x 13 crop does not fit an image of 12 x 12"),
    ({"outputs": 1}, "reads f.lmdb of 2 classes, but fc has 1; make the net with --classes 2")]


@pytest.mark.parametrize("phase, name", [(caffe_pb2.TRAIN, "training"), (caffe_pb2.TEST, "test")])
@pytest.mark.parametrize("changed, said", BAD)
def test_what_the_layer_cannot_give_is_told(changed, said, phase, name):
    unfinished()
    with Build(Path("p.lmdb"), "pairs", {"classes": CLASSES, "size": 12}, print) as build:
        build.finish(counts={"pairs": 0})
    frames.write(Path("old.lmdb"), VIDEOS, CLASSES, lacking=["classes"])
    for path, text in (("empty", ""), ("other", "Left/v_Left_g09_c01.avi"), ("wrong", "Right/v_Left_g01_c01.avi")):
        Path(f"{path}.txt").write_text(text)
    with pytest.raises(InputError) as error:
        check_data(net(**changed), phase)
    assert str(error.value).startswith(f"layer frames of the {name} net")
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("changed", [
    {}, {"outputs": 3}, {"size": 5}, {"outputs": 1, "label": "first"},
    {"rule": "include { phase: TEST }", "list": "gone.txt"},
    {"options": "{"}, {"options": "[1]"}, {"options": ""}, {"options": '{"source": "gone"}'}, {"source": 1}])
def test_what_it_can_give_and_what_it_says_by_itself_is_passed(changed):
    check_data(net(**changed), caffe_pb2.TRAIN)


def test_a_net_that_has_the_frames_open_is_not_in_the_way():
    """LMDB opens a database once in a process."""
    message = net()
    held = caffe.Net("net.prototxt", caffe.TRAIN)
    check_data(message, caffe_pb2.TEST)
    assert held.forward()["loss"] > 0


def test_the_training_program_says_it_before_caffe_starts():
    net(list="gone.txt")
    Path("solver.prototxt").write_text('net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 5 display: 1 '
                                       'snapshot_prefix: "tiny"')
    done = subprocess.run([sys.executable, str(runs.ROOT / "tools" / "train.py"), "--solver", "solver.prototxt"],
                          env={**os.environ, "PYTHONPATH": str(runs.ROOT)}, text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "train.py: layer frames of the training net: video list: no such file: gone.txt\n"
