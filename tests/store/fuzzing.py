"""Talks to :mod:`fuzz_process`: sends it what is to be read and counts what comes of it."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


class Prober:
    """A process that reads, in forks of its own, what may be damaged or hostile."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path])}
        environment |= {"OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(FOLDER / "fuzz_process.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self) -> "Prober":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, order: dict[str, Any]) -> tuple[list[dict[str, str]], int]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        found = []
        for line in self._process.stdout:
            said = json.loads(line)
            if "ended" in said:
                return found, said["ended"]
            found.append(said)
        raise EOFError("the process that reads has ended")

    def probe(self, store: Path) -> dict[str, str]:
        """What every question to a store is answered with; see :func:`fuzz_process.probe`."""
        found, code = self._ask({"store": str(store)})
        return found[0] if found and code == 0 else {"process": f"escaped: {describe_end(code)}"}

    def damage(
        self, folder: Path, sample: str, kind: str, *, start: int, stop: int, in_chunks: int = 0, is_bare: int = 0
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """Seed of every damaged input from ``start`` to ``stop``, and how it was answered; ``is_bare``: by libhdf5."""
        while start < stop:
            order = {"folder": str(folder), "sample": sample, "kind": kind, "in_chunks": in_chunks, "is_bare": is_bare}
            found, code = self._ask(order | {"start": start, "stop": min(stop, start + 500)})
            yield from enumerate(found, start=start)
            start += len(found)
            if code:
                yield start, {"process": f"escaped: {describe_end(code)}"}
                start += 1


def describe_end(code: int) -> str:
    if code == -signal.SIGALRM:
        return "hang"
    return f"crash ({signal.Signals(-code).name})" if code < 0 else f"exit {code}"


# Arrays with digests of their own: whatever was done to a file, they are as they were written, or refused, or gone.
GUARDED = ("rows", "logits", "pooled", "predicted", "layers/00", "ids", "labels", "audio_digests")


def sum_up(answers: dict[str, str]) -> str:
    """What is worst about how an input was answered.

    ``wrong``: other numbers than were written. ``forged``: other statements, which nobody can tell from those that
    were written if every checksum fits.
    """
    worst = [said for said in answers.values() if said.startswith("escaped")]
    if worst:
        return worst[0]
    others = [name for name, said in answers.items() if said == "other"]
    if any(name.rpartition(": ")[2] in GUARDED or name.startswith(("logits of", "pooled of")) for name in others):
        return f"wrong: {others}"
    if others or "gone" in answers.values():
        return "forged"
    refused = Counter(said.removeprefix("refused: ") for said in answers.values() if said.startswith("refused"))
    return f"refused: {refused.most_common(1)[0][0]}" if refused else "read"
