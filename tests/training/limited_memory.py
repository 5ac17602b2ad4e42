"""Runs commands of serstore, each in a fork of its own that may take only so much more memory.

Reads one job for each line of stdin, ``{"words", "mebibytes", "stack"}``, and writes what came of it to stdout,
``{"code", "out", "err"}``, both JSON. ``mebibytes``: or null, for no limit; ``stack``: bytes that each thread asks for.
"""

import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from tempfile import TemporaryFile

import torch

import ser_store.backbones.loading
import ser_store.training.finetune  # noqa: F401  # loaded once, and so that no fork is short of memory for it
from ser_store_cli.app import app

_SECONDS = 600


def measure_private() -> int:
    """Bytes of private memory that may be written to, which is what RLIMIT_DATA limits."""
    return int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) << 10


def work(words: list[str], mebibytes: int | None, stack: int, out: int, err: int) -> None:
    signal.alarm(_SECONDS)  # a hang is to fail, not to last
    os.dup2(out, 1)
    os.dup2(err, 2)
    threading.stack_size(stack)
    if mebibytes is not None:
        limit = measure_private() + (mebibytes << 20)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    app(words)


def run(words: list[str], mebibytes: int | None, stack: int) -> dict[str, object]:
    with TemporaryFile() as out, TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            try:
                work(words, mebibytes, stack, out.fileno(), err.fileno())
            finally:
                code = getattr(sys.exception(), "code", 70)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return {"code": code, "out": texts[0], "err": texts[1]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)
