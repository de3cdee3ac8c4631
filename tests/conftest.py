"""What holds for all tests."""
import os
import signal

# The nets are tiny: more threads gain nothing, and on a busy machine OpenBLAS's wait for each other for ages.  Set
# before NumPy or Caffe is imported, and inherited by the programs that the tests run.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell that starts the tests in the background has them, and the programs they run, ignore Ctrl-C, which is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
