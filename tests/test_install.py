"""The installer and what it leaves behind.  Relies on .venv, which `make test` makes first; builds nothing itself."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rcnn import __version__

ROOT = Path(__file__).resolve().parent.parent
INSTALLER = ROOT / "tools" / "install_caffe.sh"
DEBIAN_SOURCE = ROOT / "tools" / "caffe_build" / "debian_source.py"


def run(command, **variables):
    """Run a command with more environment variables; return the finished process with its output as text."""
    return subprocess.run(
        [str(word) for word in command],
        env=dict(os.environ, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def assert_refused(result, *words):
    """The run failed with one line on standard error that holds every one of `words`, and said nothing else."""
    assert result.returncode not in (0, 130)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert str(word) in result.stderr


def test_help_names_steps_variables_and_an_example():
    result = run([INSTALLER, "--help"])
    assert result.returncode == 0 and result.stderr == ""
    words = "CAFFE_SOURCE CAFFE_PREFIX XDG_CACHE_HOME install.log CUDA_HOME CUDA_WHEELS"
    for word in (*words.split(), "caffe train -solver", *"--cpu --cuda --cudnn --nccl --arch --tests --slim".split()):
        assert word in result.stdout
    assert "set -euo" not in result.stdout


def test_second_run_does_nothing_quickly():
    stamp = (ROOT / ".venv" / "stamp").stat().st_mtime_ns
    start = time.monotonic()
    result = run([INSTALLER])
    assert result.returncode == 0, result.stderr
    assert "nothing to do" in result.stdout
    assert time.monotonic() - start < 5
    assert (ROOT / ".venv" / "stamp").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    "variables",
    [
        {"CDPATH": "."},
        {"CDPATH": "/:.:.."},
        {"PYTHONWARNINGS": "error", "PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"},
        {"GIT_DIR": "/nowhere", "TAR_OPTIONS": "--nonsense", "GLOG_minloglevel": "3", "GREP_OPTIONS": "-v"},
    ],
)
def test_variables_of_the_callers_shell_change_nothing(variables):
    """Started by a relative name, which cd would look up in CDPATH."""
    result = subprocess.run(
        ["tools/install_caffe.sh"], cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "") and "nothing to do" in result.stdout


@pytest.mark.parametrize("script", ["tests/clean_room.sh", "tests/docker_image.sh", "benchmarks/gpu.sh"])
def test_cdpath_does_not_change_where_scripts_are(script):
    plain, with_cdpath = (
        subprocess.run(["bash", "-x", script, "--help"], cwd=ROOT, env=env, capture_output=True, text=True)
        for env in ({**os.environ}, {**os.environ, "CDPATH": "."})
    )
    assert f"root={ROOT}\n" in plain.stderr and plain.stderr == with_cdpath.stderr


def test_unknown_argument_is_refused():
    assert_refused(run([INSTALLER, "--prefix"]), "--prefix", "--help")


@pytest.mark.parametrize(
    "kind, words", [("none", []), ("other files", ["99bd99795dcd"]), ("another commit", ["git checkout 99bd99795dcd"])]
)
def test_source_that_is_not_caffes_is_refused(tmp_path, kind, words):
    source = tmp_path / "source"
    if kind != "none":
        source.mkdir()
        (source / "CMakeLists.txt").write_text("project(Caffe)\n")
    if kind == "another commit":
        run(["git", "init", "-q", source])
        author = ["-c", "user.name=a", "-c", "user.email=a@b"]
        run(["git", "-C", source, *author, "commit", "-q", "--allow-empty", "-m", "a"])
        words = [*words, run(["git", "-C", source, "rev-parse", "HEAD"]).stdout.strip()]
        assert len(words[-1]) == 40
    assert_refused(run([INSTALLER], CAFFE_SOURCE=str(source)), "CAFFE_SOURCE", source, *words)


def test_prefix_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious\n")
    assert_refused(run([INSTALLER], CAFFE_PREFIX=str(tmp_path)), "CAFFE_PREFIX", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious\n"


WITNESS = """
import sys
import caffe, cv2, layers, numpy, rcnn
class Witness(caffe.Layer):
    def setup(self, bottom, top):
        for name, value in (("prefix", sys.prefix), ("rcnn", rcnn.__file__), ("cv2", cv2.__file__)):
            print("witness", name, value, flush=True)
    def reshape(self, bottom, top): top[0].reshape(1)
    def forward(self, bottom, top): top[0].data[...] = 1
    def backward(self, top, propagate_down, bottom): pass
"""


def test_caffe_runs_a_python_layer_without_activation(tmp_path):
    """The program's own Python is .venv's and sees the repository and pycaffe, from any folder."""
    (tmp_path / "witness.py").write_text(WITNESS)
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "witness" type: "Python" top: "one" python_param { module: "witness" layer: "Witness" } }\n'
    )
    result = subprocess.run(
        [ROOT / ".venv" / "bin" / "caffe", "time", "-model", net, "-iterations", "1"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    seen = dict(line.split()[1:] for line in result.stdout.splitlines() if line.startswith("witness "))
    assert seen["prefix"] == str(ROOT / ".venv")
    assert seen["rcnn"].startswith(str(ROOT / "rcnn"))
    assert seen["cv2"].startswith(str(ROOT / ".venv"))


@pytest.mark.parametrize("kind", ["caffe", "rcnn", "layers"])
def test_another_caffe_or_clone_in_pythonpath_is_not_taken(tmp_path, kind):
    """Neither by Python nor by the program caffe; a layer of the user's own is."""
    (tmp_path / kind).mkdir()
    (tmp_path / kind / "__init__.py").write_text("raise SystemExit('the other one')")
    (tmp_path / "witness.py").write_text(WITNESS)
    net = tmp_path / "net.prototxt"
    net.write_text('layer { type: "Python" top: "one" python_param { module: "witness" layer: "Witness" } }')
    for words in (
        ["python", "-c", "import caffe, layers, rcnn; caffe.Net"],
        ["python", ROOT / "tools/train.py", "--help"],
        ["caffe", "time", "-model", net, "-iterations", "1"],
    ):
        result = run([ROOT / ".venv/bin" / words[0], *words[1:]], PYTHONPATH=str(tmp_path))
        assert result.returncode == 0, result.stderr


def copy_of_the_installer(folder):
    """A clone's files in a folder, without .venv."""
    files = run(["git", "-C", ROOT, "ls-files", "tools", "requirements.txt", "rcnn", "layers"]).stdout.split()
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes((ROOT / file).read_bytes())
        (folder / file).chmod((ROOT / file).stat().st_mode)
    return folder / "tools" / "install_caffe.sh"


def a_line_of(text, path, replacement):
    """Replace in a file what stands there once."""
    before = path.read_text()
    assert before.count(text) == 1
    path.write_text(before.replace(text, replacement))


@pytest.mark.parametrize("there", ["installed", "what apt would bring"])
def test_a_python_out_of_bounds_is_refused_before_anything_is_installed(tmp_path, there):
    """The bounds are moved to leave this system's Python out; /nowhere stands for a system that has none yet."""
    installer = copy_of_the_installer(tmp_path / "clone")
    a_line_of(" 3.9 3.10 3.11 3.12 3.13 3.14 ", installer, " 3.8 ")
    if there != "installed":
        a_line_of("python=/usr/bin/python3", installer, "python=/nowhere")
    version = run(["/usr/bin/python3", "-c", "import sys; print('{}.{}'.format(*sys.version_info))"]).stdout.strip()
    assert_refused(run([installer], XDG_CACHE_HOME=str(tmp_path / "cache")), f"this system is {version}", "3.9 to 3.14")
    assert not (tmp_path / "cache").exists() and not (tmp_path / "clone/.venv").exists()


@pytest.mark.parametrize("setting, value", [("target", "/nowhere/x"), ("prefix", "/nowhere/y"), ("dry-run", "true")])
def test_a_pip_conf_that_installs_elsewhere_is_named(tmp_path, setting, value):
    (tmp_path / "pip.conf").write_text(f"[install]\nuser = yes\n{setting} = {value}\n")
    result = run([copy_of_the_installer(tmp_path / "clone")], PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    assert result.returncode == 1 and not (tmp_path / "clone/.venv/stamp").exists()
    assert result.stderr.count("\n") == 1 and f"install.{setting}='{value}'" in result.stderr


def test_pip_settings_of_the_user_do_not_keep_the_environment_from_being_filled(tmp_path):
    (tmp_path / "pip.conf").write_text("[install]\nuser = yes\ndry-run = no\nprefix =\n")
    there = str(tmp_path / "there")
    variables = {"PIP_USER": "1", "PIP_TARGET": there, "PIP_PREFIX": there, "PIP_NO_DEPS": "1", "PIP_DRY_RUN": "1"}
    result = run([copy_of_the_installer(tmp_path / "clone")], PIP_CONFIG_FILE=str(tmp_path / "pip.conf"), **variables)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "clone/.venv/stamp").exists() and not Path(there).exists()


def test_pycaffe_takes_the_stand_in_for_scikit_image(tmp_path):
    """Put first here, where .venv has the real one; an image has it last."""
    code = "import numpy, skimage; from caffe.io import load_image, resize_image; print(skimage.__file__); "
    path = ROOT / "tools/caffe_build/slim"
    for call in ("load_image('x.jpg')", "resize_image(numpy.eye(3)[None], (2, 2))"):
        result = run([ROOT / ".venv/bin/python", "-c", code + call], PYTHONPATH=str(path))
        assert result.returncode == 1 and result.stdout == f"{path}/skimage/__init__.py\n"
        assert result.stderr.splitlines()[-1].endswith("is not here; pip install scikit-image brings it")


def test_pycaffe_the_repository_and_its_command_work_from_any_folder(tmp_path):
    binaries = ROOT / ".venv" / "bin"
    (tmp_path / "link").symlink_to(binaries / "googlenet-rcnn")
    for words, said in (
        ([binaries / "python", "-c", "import caffe, layers, rcnn; print(rcnn.__file__)"], f"{ROOT}/rcnn/__init__.py"),
        ([binaries / "googlenet-rcnn", "--version"], f"googlenet-rcnn {__version__}"),
        (["./link", "--version"], f"googlenet-rcnn {__version__}"),
    ):
        assert subprocess.check_output(words, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, text=True) == said + "\n"


def codename():
    words = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return words["VERSION_CODENAME"].strip('"')


ONE_LINE = """\
# deb http://commented.example/debian {0} main
deb http://mirror.example/debian {0} main contrib
deb http://mirror.example/debian-security {0}-security main
deb-src http://sources.example/debian {0} main
deb [arch=amd64 signed-by=/usr/share/keyrings/own.gpg] http://own.example/debian {0} main # ours
deb http://tools.example/apt nodistro main
deb http://other.example/debian {0} contrib
"""

DEB822 = """\
Types: deb
# a comment inside
URIs: http://mirror.example/debian
Suites: {0} {0}-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: {0}-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: {0}
Components: main

Types: deb deb-src
URIs: http://own.example/debian
Suites: {0}
Components: contrib main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""


MIRROR = "URIs: http://mirror.example/debian\nSuites: bullseye\nComponents: main"
OWN = "URIs: http://own.example/debian\nSuites: bullseye\nComponents: main\nSigned-By: "
KEYRING = "/usr/share/keyrings/"
BLOCK = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----"


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("sources.list", ONE_LINE, [MIRROR, f"{OWN}{KEYRING}own.gpg"]),
        (
            "sources.list.d/debian.sources",
            DEB822,
            [f"{MIRROR}\nSigned-By: {KEYRING}debian-archive-keyring.gpg", OWN + BLOCK],
        ),
        ("sources.list.d/other.list.save", ONE_LINE, []),
    ],
)
def test_source_entries_come_from_the_machines_own(tmp_path, name, text, expected):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text.format(codename()))
    result = run([sys.executable, DEBIAN_SOURCE, "bullseye", "--apt", tmp_path])
    assert result.returncode == 0, result.stderr
    stanzas = result.stdout.strip("\n").split("\n\n") if result.stdout.strip() else []
    assert stanzas == ["Types: deb-src\n" + stanza for stanza in expected]
