"""What needs no Caffe needs no Linux either: here what only Linux has is hidden from every process."""

import os
import subprocess
import sys

import made_scores
import pytest
from runs import ROOT, options
from videos import make_set

from rcnn.nets import compare, weight_files
from rcnn.nets.model import NetModel

HIDDEN = """
import os, signal, sys
for name in ("caffe", "fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None  # importing it is an ImportError
for module, names in ((os, "sched_getaffinity fork forkpty getpgid getuid geteuid killpg setsid nice mkfifo statvfs"),
                      (signal, "SIGHUP SIGKILL SIGALRM SIGUSR1 pthread_sigmask alarm setitimer sigwait")):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)


def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(arguments[0])
    if event == "ctypes.dlsym" and arguments[1] == "prctl":
        raise AttributeError("prctl")


sys.addaudithook(refuse)
"""

IMPORTS = """
import importlib, pkgutil, rcnn
for module in pkgutil.walk_packages(rcnn.__path__, "rcnn."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        print(module.name, error.name.partition(".")[0])
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A function that runs Python where Linux's own is hidden, in a folder; it returns what was printed."""
    prelude = tmp_path_factory.mktemp("prelude")
    (prelude / "sitecustomize.py").write_text(HIDDEN)  # every process reads it, a program's workers too
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(prelude), str(ROOT)])}

    def run(folder, *words):
        done = subprocess.run(
            [sys.executable, *map(str, words)], env=environment, cwd=folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_what_is_hidden_is_hidden_from_workers_too(python, tmp_path):
    code = (
        "def work(job):\n    import os, sys\n"
        "    return sys.modules['fcntl'] is None and not hasattr(os, 'sched_getaffinity')\n"
        "if __name__ == '__main__':\n    from rcnn.data.workers import Pool\n"
        "    with Pool(1) as pool:\n        print(work(0), pool.submit(work, 0).result())\n"
    )
    (tmp_path / "program.py").write_text(code)
    assert python(tmp_path, "program.py") == "True True\n"
    with pytest.raises(AssertionError, match="FileNotFoundError"):
        python(tmp_path, "-c", "open('/proc/self/status')")


def test_every_module_but_those_of_caffe_and_pytorch_is_imported(python, tmp_path):
    failed = dict(line.split() for line in python(tmp_path, "-c", IMPORTS).splitlines())
    assert failed.pop("rcnn.training.caffe_driver", "fcntl") == "fcntl"  # it drives the program caffe
    assert set(failed.values()) <= {"caffe", "torch"}, failed
    assert all(name.startswith(("rcnn.nets.", "rcnn.training.", "rcnn.programs.")) for name in failed), failed


def test_from_videos_to_a_report(python, tmp_path):
    """Build LMDBs with workers, export a net, classify a video by ONNX Runtime, fuse scores, write the page."""

    def run(*words):
        return python(tmp_path, "-m", "rcnn", *words)

    *_, lists, train, test = arguments = make_set(tmp_path)
    model = NetModel(classes=2, width=0.05, size=39)
    weight_files.save(tmp_path / "rcnn.caffemodel", compare.random_arrays(model), model, "recurrent")
    made_scores.write(tmp_path / "scores.h5", made_scores.made_videos())
    before = {path.name for path in tmp_path.iterdir()}
    for _ in range(2):  # the second finds it done
        assert "frames of 4 videos" in run("build-frames", *arguments, "--size", 48, "--out", "frames.lmdb")
    pairs = options(frames="frames.lmdb", classes="classInd.txt", workers=2, out="pairs.lmdb")
    assert "20 pairs" in run("build-pairs", lists, train, test, *pairs)
    run("export", "--weights", "rcnn.caffemodel", "--size", 39, "--out", "rcnn.onnx")
    files = options(weights="rcnn.onnx", classes="classInd.txt", plot="scores.png")
    assert run("classify-video", "videos/Biking/v_Biking_g01_c01.avi", *files).count("Biking") == 7
    assert "log-mean" in run("fuse", "scores.h5")
    run("report", "--scores", "scores.h5", "--out", "report.html")
    made = {"frames.lmdb", "pairs.lmdb", "rcnn.onnx", "scores.png", "report.html"}
    assert {path.name for path in tmp_path.iterdir()} - before == made
