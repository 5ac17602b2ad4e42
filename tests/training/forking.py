"""Does each job in forks of this process: run as a program by the tests.

Reads one job for each line of stdin and writes what came of it to stdout, both JSON: a command in two processes
(``words``), or a training or extraction that may be killed. Loading torch takes longer than such a training, so all
are forks of this process, which has loaded it and never computes itself.
"""

import gc
import json
import os
import sys

import forking_processes
import forking_trainer


def main():
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    from torch.distributed import checkpoint, fsdp, tensor  # noqa: F401 - loaded once, for all children

    import ser_store.extraction.extract
    import ser_store.training.finetune  # noqa: F401 - the same
    import ser_store_cli.app  # noqa: F401 - the same

    gc.freeze()  # what is loaded stays: no child looks through it for garbage, nor copies it by that
    for line in sys.stdin:
        job = json.loads(line)
        told = forking_processes.launch(job) if "words" in job else forking_trainer.run(job)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
