"""What holds for all tests."""

import os
import signal
from pathlib import Path

import pytest

# The nets are tiny: more threads gain nothing, and on a busy machine OpenBLAS's wait for each other for ages.  Set
# before NumPy or Caffe is imported, and inherited by the programs that the tests run.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Caffe prints every net that it builds, and tests look at what is printed; those that want all of it say so.
os.environ.setdefault("GLOG_minloglevel", "2")

# A shell that starts the tests in the background has them, and the programs they run, ignore Ctrl-C, which is tested;
# nohup has them ignore the end of the terminal, which is tested too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of genuine videos and weights: UCF-101/, ucfTrainTestlist/, Weizmann/ and weights/."""
    folder = os.environ.get("RCNN_REAL_DATA")
    if not folder:
        pytest.skip("RCNN_REAL_DATA names no folder of real videos and weights")
    if not (Path(folder) / "UCF-101").is_dir():
        pytest.fail(f"RCNN_REAL_DATA: {folder} has no UCF-101 folder")
    return Path(folder).resolve()
