"""Trains or extracts in forks that may be killed, or meet with worse, at a moment that the job names."""

import json
import logging
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

_WRITING = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.truncate"}


def run(job):
    """What came of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setpgid(0, 0)  # signals are sent to a group, of this process and those that load data for it
        train(job, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    # By SIGKILL, or by another signal before it heard any.
    return {"killed": os.WIFSIGNALED(status), **json.loads(told or "{}")}


def train(job, writing):
    """In the child: do as the job says, and report what came of it."""
    import torch

    torch.set_num_threads(1)
    writes = watch_writes(job)
    kill_in_method(job)
    said = listen()
    told = {}
    try:
        told = {"state": finetune(job) if job["recipe"] else extract(job)}
    except KeyboardInterrupt:
        told = {"problem": "KeyboardInterrupt"}
    except Exception as problem:  # noqa: BLE001 - whatever it is, the test is to see it
        told = {"problem": f"{type(problem).__name__}: {problem}"}
    with os.fdopen(writing, "w") as pipe:
        json.dump({**told, "writes": len(writes), "said": said}, pipe)
    os._exit(0)


def finetune(job):
    from ser_store.recipes.recipe import Recipe
    from ser_store.training.finetune import finetune
    from ser_store_h5.store import Store

    recipe, resume = Recipe.from_json(job["recipe"]), job.get("resume", False)
    return finetune(Store(Path(job["store"])), job["model"], run="r", recipe=recipe, resume=resume).state


def extract(job):
    """All layers, with a block on the disk for each batch, so that kills meet them all."""
    import ser_store as ss
    from ser_store.extraction import filling

    filling.BLOCK_SECONDS = 0.0
    ss.extract(job["store"], model=job["model"], layers="all", batch_size=4)
    return "finished"


def listen():
    """What the library reports from now on."""
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("ser_store").addHandler(handler)
    logging.getLogger("ser_store").setLevel(logging.INFO)
    return said


def watch_writes(job):
    """Count what changes the disk, and be killed or get a signal at the write of a number or of a path.

    At a path, too: lose the run's folder, or find the disk full from then on.
    """
    writes = []

    def watch(event, arguments):
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not opened and event not in _WRITING:
            return
        writes.append(str(arguments[0]))
        if len(writes) == job.get("kill_at_write") or is_at("kill_at_path"):
            os.kill(os.getpid(), signal.SIGKILL)
        if is_at("remove_at_path"):
            shutil.rmtree(Path(job["store"]) / "runs/r")
        if is_at("full_after_path"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        if is_at("end_at_path") or len(writes) == job.get("end_at_write"):
            os.killpg(0, job["signal"])

    def is_at(moment):
        """Whether it is the moment of this name, the first time."""
        if moment not in job or job[moment] not in writes[-1]:
            return False
        del job[moment]
        return True

    sys.addaudithook(watch)
    return writes


def kill_in_method(job):
    """Be killed at the n-th call of a method of the trainer; with ``wait``, once the last checkpoint is written."""
    from ser_store.training.trainer import MemberTrainer

    if "kill_in" not in job:
        return
    name, times = job["kill_in"]
    method = getattr(MemberTrainer, name)
    calls = []

    def counted(*arguments, **keywords):
        calls.append(name)
        if len(calls) == times:
            if job.get("wait"):
                arguments[0].writer.wait()
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*arguments, **keywords)

    setattr(MemberTrainer, name, counted)
