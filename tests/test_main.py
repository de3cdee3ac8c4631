"""rcnn/__main__.py and tools/: how a program is called, and what it says where a package that it needs is missing."""

import ast

import cv2
import numpy as np
import pytest
from runs import ROOT, bare

from rcnn import __version__
from rcnn.__main__ import chosen, programs
from rcnn.nets import compare, weight_files
from rcnn.nets.model import NetModel

TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))
NAMES = [name.replace("_", "-") for name in TOOLS]
MISSING = "caffe is not installed; tools/install_caffe.sh brings it\n"


def googlenet_rcnn(*words):
    done = bare("-m", "rcnn", *words)
    return done.returncode, done.stdout, done.stderr


def test_every_program_is_there_under_both_names():
    described = programs()
    assert list(described) == NAMES and "classify-video" in NAMES
    for tool, name in zip(TOOLS, NAMES):
        docstring = ast.get_docstring(ast.parse((ROOT / f"rcnn/programs/{tool}.py").read_text()))
        assert docstring.splitlines()[0] == described[name] and described[name].endswith(".")
        assert (ROOT / f"tools/{tool}.py").read_text().endswith(f'if __name__ == "__main__":\n    start("{tool}")\n')


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_programs(words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    status, out, error = googlenet_rcnn(*words)
    assert (status, error) == (0, "") and out.startswith("usage: googlenet-rcnn PROGRAM")
    assert [line.split()[0] for line in out.splitlines() if line[:2] == "  " and line[2] != " "] == NAMES
    assert " ".join(programs()["fuse"].split()) in " ".join(out.split())
    assert max(len(line) for line in out.splitlines() if line.startswith("  ")) <= 70


def test_version():
    for words in ([], ["fuse"]):
        assert googlenet_rcnn(*words, "--version") == (0, f"googlenet-rcnn {__version__}\n", "")


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["bogus"], f"googlenet-rcnn: bogus is none of {', '.join(NAMES)}; --help says what each does\n"),
        (["build"], "googlenet-rcnn: build could be build-frames, build-pairs; --help says what each does\n"),
        (
            ["fus", "--crops"],
            "googlenet-rcnn fuse: error: argument --crops: expected one argument; --help tells more\n",
        ),
        (["fuse", "none.h5"], "googlenet-rcnn fuse: scores: no such file: none.h5\n"),
    ],
)
def test_a_wrong_word_is_one_line_of_the_program_as_it_was_called(words, complaint):
    assert googlenet_rcnn(*words) == (2, "", complaint)


def test_names_are_spelled_with_dashes_or_underscores_whole_or_cut_short():
    assert [chosen(name) for name in TOOLS] == [chosen(name) for name in NAMES] == NAMES
    assert chosen("classify_v") == chosen("classify-v") == chosen("classify") == "classify-video"


def tool(name, *words, cwd=None):
    done = bare(ROOT / f"tools/{name}.py", *words, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def test_what_needs_caffe_says_so_where_it_is_missing(tmp_path):
    """As each program sees it: tools/ is the first folder of its path, and nothing there is to pass for Caffe."""
    model = NetModel(classes=2, width=0.05, size=39)
    weight_files.save(tmp_path / "rcnn.caffemodel", compare.random_arrays(model), model, "recurrent")
    (tmp_path / "net.prototxt").touch()
    (tmp_path / "classInd.txt").write_text("1 Up\n2 Down\n")
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "1.png"), np.zeros((48, 64, 3), np.uint8))
    weights, classes = ("--weights", "rcnn.caffemodel"), ("--classes", "classInd.txt")
    needs_caffe = tool("classify_video", "frames", "--net", "net.prototxt", *weights, *classes, cwd=tmp_path)
    assert needs_caffe == (2, "", f"classify_video.py: {MISSING}")
    status, out, error = tool("export", *weights, "--size", 39, "--out", "rcnn.onnx", cwd=tmp_path)
    assert status == 0 and error.startswith("Caffe is not installed, so the nets of the two files are not run"), error
    assert tool("classify_video", "frames", "--weights", "rcnn.onnx", *classes, cwd=tmp_path)[0] == 0


def test_a_program_that_is_all_caffes(tmp_path):
    status, _, error = tool("make_prototxt", "--out", "nets", cwd=tmp_path)
    assert (status, error) == (2, f"make_prototxt.py: {MISSING}") and not list(tmp_path.iterdir())
