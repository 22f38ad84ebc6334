"""What holds for all tests."""

import os
import signal

# A shell that runs the tests in the background lets them, and the programs that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tensors are small here: more threads only wait for each other, on a busy machine for seconds. Set before torch is
# imported, so that programs started by a test have it too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)
