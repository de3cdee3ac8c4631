"""The wheel: what is in it, what it says it needs, and that its command works with nothing else of this repository."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from runs import ROOT, bare
from videos import write_avi

from rcnn import __version__
from rcnn.__main__ import programs
from rcnn.nets import compare, weight_files
from rcnn.nets.model import NetModel

DISTRIBUTIONS = {"cv2": "opencv-python-headless", "google": "protobuf"}  # of the modules that are called otherwise
BY_INSTALLER = {"caffe"}


def kept_files():
    """Return the paths of the files that git keeps or would add, and that are there."""
    command = ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [path for path in listed.splitlines() if (ROOT / path).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in kept_files():
        if path.startswith(("rcnn/", "layers/")) or "/" not in path:
            (folder / "source" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, folder / "source" / path)
    words = "wheel -q --no-deps --no-index --no-build-isolation --wheel-dir".split()
    subprocess.run([sys.executable, "-m", "pip", *words, folder, folder / "source"], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder of packages with the wheel alone."""
    folder = tmp_path_factory.mktemp("site")
    words = "install -q --no-deps --no-index --target".split()
    subprocess.run([sys.executable, "-m", "pip", *words, folder, wheel], check=True)
    return folder


@pytest.fixture(scope="module")
def needs(wheel):
    """{extra, or "" for all: names of distributions} that the wheel says it needs."""
    with zipfile.ZipFile(wheel) as file:
        name = next(name for name in file.namelist() if name.endswith("METADATA"))
        head = message_from_string(file.read(name).decode())
    assert head["Version"] == __version__
    distributions = {}
    for line in head.get_all("Requires-Dist"):
        extra = re.search(r"extra == .(\w+)", line)
        distributions.setdefault(extra[1] if extra else "", set()).add(re.match(r"[\w-]+", line)[0])
    return distributions


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    assert names == {path for path in kept_files() if path.startswith(("rcnn/", "layers/"))}
    assert {"rcnn/nets/outputs.npz", "layers/pair_augment.py"} <= names
    assert any(name.startswith("rcnn/experiments/templates/") for name in names)


def test_the_command_of_the_wheel_runs_a_net_on_a_video(site, tmp_path):
    def run(*words):
        return bare(site / "bin/googlenet-rcnn", *words, path=site, cwd=tmp_path)

    model = NetModel(classes=2, width=0.05, size=39)
    weight_files.save(tmp_path / "rcnn.caffemodel", compare.random_arrays(model), model, "recurrent")
    write_avi(tmp_path / "video.avi", 30)
    (tmp_path / "classInd.txt").write_text("1 Up\n2 Down\n")
    assert run("--version").stdout == f"googlenet-rcnn {__version__}\n"
    done = run("export", "--weights", "rcnn.caffemodel", "--size", 39, "--out", "rcnn.onnx")
    assert done.returncode == 0 and (tmp_path / "rcnn.onnx").is_file(), done.stderr
    done = run("classify", "video.avi", "--weights", "rcnn.onnx", "--classes", "classInd.txt", "--plot", "scores.png")
    assert done.returncode == 0 and (tmp_path / "scores.png").is_file(), done.stderr
    assert len(re.findall(r"^ +\d+\.\d\d s  .*(?:Up|Down)", done.stdout, re.M)) == 6


def test_every_program_of_the_wheel_is_its_own(site, tmp_path):
    """They come from the wheel, not from a clone on the path, and say what they are for without Caffe."""
    code = "import layers, rcnn; from rcnn.__main__ import programs; print(layers.__file__, rcnn.__file__, *programs())"
    done = bare("-c", code, path=site, cwd=tmp_path)
    first, second, *names = done.stdout.split()
    assert Path(first).parent.parent == Path(second).parent.parent == site and names == list(programs())
    for name in names:
        done = bare("-m", "rcnn", name, "--help", path=site, cwd=tmp_path)
        if name in ("demo", "make-prototxt") and done.returncode:  # whose nets come from Caffe's own classes
            assert done.stderr == f"googlenet-rcnn {name}: caffe is not installed; tools/install_caffe.sh brings it\n"
        else:
            assert done.stdout.startswith(f"usage: googlenet-rcnn {name} [-h] [--version]"), done.stderr


def imported(folder):
    """Return the top-level names that the modules below a folder import."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition(".")[0])
    return names


def comes_from_elsewhere(name):
    """Return whether a module is neither Python's own nor this repository's."""
    spec = find_spec(name)
    return spec is None or "site-packages" in (spec.origin or str(spec.submodule_search_locations))


def test_every_package_that_is_imported_is_listed(needs):
    names = (imported(ROOT / "rcnn") | imported(ROOT / "layers")) - BY_INSTALLER
    distributions = {DISTRIBUTIONS.get(name, name) for name in names if comes_from_elsewhere(name)}
    assert {"numpy", "scipy", "torch", "opencv-python-headless"} <= distributions
    assert distributions - set().union(*needs.values()) == set()


def pins(python):
    """Return the pins of requirements.txt for a Python, {name: version}: what an image gets, and what it leaves out."""
    parts = re.split("^# ---- .* --slim .*$", (ROOT / "requirements.txt").read_text(), flags=re.M)
    assert len(parts) == 2
    for part in parts:
        found = {}
        for line in re.findall(r"^\w[^#\n]*", part, re.M):
            requirement = Requirement(line)
            if not requirement.marker or requirement.marker.evaluate({"python_version": python}):
                assert requirement.name not in found, line
                found[requirement.name] = str(requirement.specifier)[2:]
        yield found


@pytest.mark.parametrize("python", ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_package_that_is_listed_is_pinned(needs, python):
    """But for those that `make caffe` leaves out, as they are large: PyTorch and dask."""
    kept, left_out = pins(python)
    assert needs.keys() == {"", "dask", "onnx", "test", "torch"} and not kept.keys() & left_out.keys()
    assert needs[""] | needs["onnx"] <= kept.keys() and needs["test"] <= kept.keys() | left_out.keys()


def test_every_pin_is_installed_and_what_it_needs_is_pinned():
    """An image takes its pins with --no-deps, and leaves four out that onnxruntime asks for."""
    kept, left_out = pins("{}.{}".format(*sys.version_info))
    for name, version in {**kept, **left_out}.items():
        assert metadata.version(name) == version
        for requirement in map(Requirement, metadata.requires(name) or ()):
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                unused = name == "onnxruntime" and requirement.name in ("coloredlogs", "sympy")
                needed = {**kept, **(left_out if name in left_out or unused else {})}
                assert canonicalize_name(requirement.name) in needed, f"{name} needs {requirement}"


def test_onnx_runtime_runs_without_what_an_image_leaves_out(tmp_path):
    kept, left_out = pins("{}.{}".format(*sys.version_info))
    hidden = {name.replace("-", "_") for name in left_out} | {"skimage"}
    code = f"import sys; sys.modules.update(dict.fromkeys({hidden})); from rcnn import __main__; __main__.main()"
    model = NetModel(classes=2, width=0.05, size=39)
    weight_files.save(tmp_path / "rcnn.caffemodel", compare.random_arrays(model), model, "recurrent")
    write_avi(tmp_path / "video.avi", 10)
    (tmp_path / "classInd.txt").write_text("1 Up\n2 Down\n")
    for words in (
        "export --weights rcnn.caffemodel --size 39 --out rcnn.onnx",
        "classify video.avi --weights rcnn.onnx --classes classInd.txt --plot scores.png",
    ):
        done = bare("-c", code, *words.split(), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
