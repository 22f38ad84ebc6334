"""What holds for all tests."""

import os

# Tensors are small here: more threads only wait for each other, on a busy machine for seconds. Set before torch is
# imported, so that programs started by a test have it too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)
