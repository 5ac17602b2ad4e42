"""Runs a command in two processes that train together, on the CPU: run as a program by test_sharded.py.

Reads one job for each line of stdin and writes what came of it in either process to stdout, both JSON. Loading torch
takes longer than such a training, so all are forks of this process, which has loaded it and never computes itself.

accelerate shards on accelerators alone: of processes on CPUs it keeps that they are MULTI_CPU, and passes FSDP over.
Where a job is to be sharded, it finds MULTI_GPU kept, with the CPU for the device. Nothing else of accelerate,
transformers or torch is other than it is installed.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

PATIENCE_SECONDS = 120


def main():
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    from torch.distributed import checkpoint, fsdp, tensor  # noqa: F401 - loaded once, for all children

    import ser_store.training.finetuning  # noqa: F401 - the same
    import ser_store_cli.app  # noqa: F401 - the same

    for line in sys.stdin:
        job = json.loads(line)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = {}
        for rank in (0, 1):
            child = os.fork()
            if child == 0:
                work(job, rank, port)
                return
            children[rank] = child
        codes = wait(children)
        said = [Path(job["folder"], f"{rank}.err").read_text() for rank in (0, 1)]
        print(json.dumps({"codes": codes, "said": said}), flush=True)


def wait(children):
    """The exit codes of both. One that fails ends the other, as under a launcher; one that is killed does not."""
    codes, deadline = {}, time.monotonic() + PATIENCE_SECONDS
    while len(codes) < len(children):
        for rank, child in children.items():
            if rank not in codes:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    codes[rank] = os.waitstatus_to_exitcode(status)
                elif any(code > 0 for code in codes.values()):
                    os.kill(child, signal.SIGTERM)
                elif time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    return [codes[rank] for rank in sorted(codes)]


def work(job, rank, port):
    """In a child: the command itself."""
    import torch

    from ser_store_cli.app import main

    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(job["folder"], f"{rank}.{name}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    places |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in places.items()} | job.get("environment", {})
    torch.set_num_threads(1)
    if "environment" in job:
        shard_on_cpu()
    if job.get("kill", {}).get("rank") == rank:
        kill_at_batch(job["kill"]["batch"])
    if job.get("limit", {}).get("rank") == rank:
        limit_evaluation(job["limit"]["utterances"])
    sys.argv = ["serstore", *job["words"]]
    main()


def shard_on_cpu():
    from accelerate.utils import DistributedType

    from ser_store.training import finetuning

    build = finetuning.build_training_arguments

    def build_arguments(*arguments, **named):
        built = build(*arguments, **named)
        built.distributed_state.distributed_type = DistributedType.MULTI_GPU
        return built

    finetuning.build_training_arguments = build_arguments


def kill_at_batch(number):
    """Be killed when a training batch of this number, counted from 1, is to be computed."""
    from ser_store.training.member_trainer import MemberTrainer

    compute, calls = MemberTrainer.compute_loss, []

    def compute_and_count(self, model, *arguments, **named):
        calls.extend([number] if model.training else [])
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return compute(self, model, *arguments, **named)

    MemberTrainer.compute_loss = compute_and_count


def limit_evaluation(utterances):
    """Give the model so little memory that an evaluation of more utterances at a time does not fit."""
    import torch

    from ser_store.training import finetuning

    build = finetuning.build_model

    def refuse(module, inputs, named):
        if not module.training and len(named["rows"]) > utterances:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def build_model(*arguments, **named):
        loaded = build(*arguments, **named)
        loaded.model.register_forward_pre_hook(refuse, with_kwargs=True)
        return loaded

    finetuning.build_model = build_model


if __name__ == "__main__":
    main()
