"""Runs a command in two processes that train together, on the CPU, both of them forks.

accelerate shards on accelerators alone: of processes on CPUs it keeps that they are MULTI_CPU, and passes FSDP over.
Where a job is to be sharded, it finds MULTI_GPU kept, with the CPU for the device. Nothing else of accelerate,
transformers or torch is other than it is installed.
"""

import ctypes
import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

PATIENCE_SECONDS = 600


class Mallinfo(ctypes.Structure):
    """Of mallinfo2(3)."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in (*"abcd", "hblkhd", *"ef", "uordblks", *"gh"))


def launch(job):
    """What came of it in either process."""
    from torch import distributed

    # A launcher has one, too, which outlives the processes: by it they know which of them was the first to speak.
    meeting = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    children = {}
    for rank in (0, 1):
        child = os.fork()
        if child == 0:
            # Its end would wait for a thread that a fork does not have.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(meeting))
            work(job, rank, meeting.port)
        children[rank] = child
    codes = wait(children, all_end_alone=job.get("alone", False))
    said, printed = ([Path(job["folder"], f"{rank}.{end}").read_text() for rank in (0, 1)] for end in ("err", "out"))
    return {"codes": codes, "said": said, "printed": printed}


def wait(children, *, all_end_alone):
    """The exit codes of both. One that fails ends the other, as under a launcher; one that is killed does not.

    Where all are to end by themselves, none is ended but those whose time is over.
    """
    codes, deadline = {}, time.monotonic() + PATIENCE_SECONDS
    while len(codes) < len(children):
        for rank, child in children.items():
            if rank not in codes:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    codes[rank] = os.waitstatus_to_exitcode(status)
                elif any(code > 0 for code in codes.values()) and not all_end_alone:
                    os.kill(child, signal.SIGTERM)
                elif time.monotonic() > deadline:
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    return [codes[rank] for rank in sorted(codes)]


def work(job, rank, port):
    """In a child: the command itself, which ends the process."""
    import torch

    from ser_store.training.distributed import processes as parallel
    from ser_store_cli.app import main

    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(job["folder"], f"{rank}.{name}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    places |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    places |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": 0}
    os.environ |= {name: str(value) for name, value in places.items()} | job.get("environment", {})
    torch.set_num_threads(1)
    if "environment" in job:
        shard_on_cpu()
    if job.get("kill", {}).get("rank") == rank:
        kill_at_batch(job["kill"]["batch"])
    if job.get("measure"):
        measure_memory(Path(job["folder"], f"{rank}.memory"))
    if job.get("alone"):
        parallel.GRACE_SECONDS = 0.2
    if job.get("backend"):
        compile_by(job["backend"])
    if job.get("limit", {}).get("rank") == rank:
        limit_evaluation(job["limit"]["utterances"])
    sys.argv = ["serstore", *job["words"]]
    main()


def shard_on_cpu():
    from accelerate.utils import DistributedType

    from ser_store.training import finetune as finetuning

    build = finetuning.build_training_arguments

    def build_arguments(*arguments, **named):
        built = build(*arguments, **named)
        built.distributed_state.distributed_type = DistributedType.MULTI_GPU
        return built

    finetuning.build_training_arguments = build_arguments


def kill_at_batch(number):
    """Be killed when a training batch of this number, counted from 1, is to be computed."""
    from ser_store.training.trainer import MemberTrainer

    compute, calls = MemberTrainer.compute_loss, []

    def compute_and_count(self, model, *arguments, **named):
        calls.extend([number] if model.training else [])
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return compute(self, model, *arguments, **named)

    MemberTrainer.compute_loss = compute_and_count


def measure_memory(place):
    """Write what the second optimizer step holds: bytes kept between steps, and what comes to them at most."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from transformers import TrainerCallback

    from ser_store.training import session

    class Peak(TorchDispatchMode):
        """The most that is in use after any of torch's operations, whoever asked for it."""

        def __init__(self):
            super().__init__()
            self.start = self.most = count_heap()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            output = func(*args, **(kwargs or {}))
            self.most = max(self.most, count_heap())
            return output

    class Meter(TrainerCallback):
        def on_step_begin(self, args, state, control, model, optimizer, **_):
            if state.global_step == 1:
                self.kept = {
                    "weights": count_bytes(model.parameters()),
                    "optimizer": count_bytes(each for states in optimizer.state.values() for each in states.values()),
                }
                self.peak = Peak()
                self.peak.__enter__()

        def on_pre_optimizer_step(self, args, state, control, model, **_):
            if state.global_step == 1:
                self.kept["gradients"] = count_bytes(each.grad for each in model.parameters() if each.grad is not None)

        def on_step_end(self, args, state, control, **_):
            if state.global_step == 2:
                self.peak.__exit__(None, None, None)
                place.write_text(json.dumps({**self.kept, "step": self.peak.most - self.peak.start}))

    trainer = session.MemberTrainer
    session.MemberTrainer = lambda **named: trainer(**{**named, "callbacks": [*named["callbacks"], Meter()]})


def count_heap():
    """Bytes that were asked of the C library and not given back."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = Mallinfo
    figures = ask()
    return figures.uordblks + figures.hblkhd


def count_bytes(tensors):
    """Bytes that this process holds of tensors, each storage once."""
    storages = [getattr(each, "_local_tensor", each).untyped_storage() for each in tensors]
    return sum({each.data_ptr(): each.nbytes() for each in storages}.values())


def compile_by(backend):
    """Compile by another backend of torch than the one that needs a C++ compiler and most of a minute."""
    from ser_store.training import preparing

    preparing.compile_layers = partial(preparing.compile_layers, backend=backend)


def limit_evaluation(utterances):
    """Give the model so little memory that an evaluation of more utterances at a time does not fit."""
    import torch

    from ser_store.training import finetune as finetuning

    build = finetuning.build_model

    def refuse(module, inputs, named):
        if not module.training and len(named["rows"]) > utterances:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def build_model(*arguments, **named):
        loaded = build(*arguments, **named)
        loaded.model.register_forward_pre_hook(refuse, with_kwargs=True)
        return loaded

    finetuning.build_model = build_model
