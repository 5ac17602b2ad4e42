"""Where the operating system gives no further thread, training and extraction say so in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit private memory")

# Each thread asks for more memory, for its stack, than there is; all else has enough.
PROGRAM = """
import json, sys, threading
import limited_memory
limited_memory.torch.set_num_threads(1)
threading.stack_size(1 << 30)
print(json.dumps([limited_memory.run(600, words) for words in json.loads(sys.argv[1])]))
"""


def test_want_of_a_thread_is_one_line(empty):
    commands = [
        ["finetune", "--model", "tiny-hubert", "--max-steps", "1"],
        ["finetune", "--model", "tiny-hubert", "--max-steps", "1", "--dataloader-workers", "1"],
        ["extract", "--model", "tiny-hubert"],
        ["extract", "--model", "mfcc"],
    ]
    words = json.dumps([[*command, "--store", str(empty)] for command in commands])
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    program = (sys.executable, "-c", PROGRAM, words)
    done = subprocess.run(
        program, capture_output=True, text=True, env=environment, check=False, cwd=Path(__file__).parent
    )
    assert done.returncode == 0, done.stderr
    for command, outcome in zip(commands, json.loads(done.stdout), strict=True):
        assert outcome["code"] == 1, (command, outcome)
        assert "Traceback" not in outcome["err"], command
        line = outcome["err"][outcome["err"].index("serstore: ") :]
        assert line == (
            "serstore: no further thread or process could be started: expected memory for one, and fewer than "
            "`ulimit -u` allows; end what else runs here, or set OMP_NUM_THREADS=1\n"
        )
    assert Store(empty).runs() == []
    assert verify_store(empty).ok
