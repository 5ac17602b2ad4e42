"""On a CPU, what a training step frees is there for the next one."""

import subprocess
import sys

import pytest
import torch

# In a process of its own: the heap is that of the whole process.
PROGRAM = """
import resource, torch
from contextlib import nullcontext
from ser_store.inference.memory import kept_heap

def count_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.ones(16 << 20)
outside = count_faults()
with kept_heap():
    for _ in range(5):  # the heap grows until it has room for all that is in use at a time
        count_faults()
    inside = count_faults()
print(outside, inside, count_faults())
"""


@pytest.mark.skipif(sys.platform != "linux" or torch.cuda.is_available(), reason="of use on a CPU under glibc")
def test_freed_memory_is_used_again_within_and_as_ever_afterwards():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    outside, inside, afterwards = map(int, done.stdout.split())
    # Huge pages may stand for 512 small ones.
    assert inside < 20
    assert min(outside, afterwards) > 5 * inside
