"""What holds for all tests."""
import os

# The nets are tiny: more threads gain nothing, and on a busy machine OpenBLAS's wait for each other for ages.  Set
# before NumPy or Caffe is imported, and inherited by the programs that the tests run.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
