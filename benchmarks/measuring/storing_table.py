"""The storage formats' results, as a table."""

from measuring.storing import StorageComparison
from ser_store.common.display import Table, format_bytes


def print_storage(compared: StorageComparison) -> None:
    """What serstore takes, and how many times as much the others do."""
    workload = compared.workload
    print(
        f"{workload.members} members × {workload.n} utterances × {workload.hidden} dimensions, pooled float16 and "
        f"logits float32: {format_bytes(workload.bytes)}"
    )
    header = ["", "write", "size", "open", "logits", "pooled", "utterance"]
    own, *others = compared.formats
    costs = own.costs
    seconds = [_format_seconds(value) for value in (costs.open, costs.logits, costs.pooled, costs.utterance)]
    rows = [[own.name, _format_seconds(costs.write), format_bytes(costs.bytes), *seconds]]
    for other in others:
        ratios = other.ratios
        marks = ("*" if other.members < workload.members else "") + ("†" if other.largest_error else "")
        values = (ratios.write, ratios.bytes, ratios.open, ratios.logits, ratios.pooled, ratios.utterance)
        rows.append([f"{other.name}{marks}", *(f"× {value:.3g}" for value in values)])
    print(Table(header, rows))
    print(
        f"\nwrite: flushed to the disk. open: list all members. logits: of {len(workload.test)} utterances by all "
        "members. pooled: all of one member. utterance: one, by all members.\n× times as long, or as large, as "
        "serstore: below 1 the other is ahead.\nserstore compares what it reads with SHA-256 digests, single rows with "
        "Fletcher-32 checksums; numpy.savez with CRC-32, the others with nothing."
    )
    scaled = [other.members for other in others if other.members < workload.members]
    if scaled:
        print(f"* measured with {scaled[0]} members, and scaled.")
    if any(other.largest_error for other in others):
        print("† not what was written: lossy.")


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
