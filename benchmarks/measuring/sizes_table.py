"""The sizes, as a table."""

from measuring.sizes import SizeComparison
from ser_store.common.display import Table, format_bytes


def print_sizes(compared: SizeComparison) -> None:
    """A checkpoint of each backbone, what the paper says of it, and what is kept of it; and all steps of all."""
    rows = [
        [
            one.backbone,
            f"{one.parameters / 1e6:,.1f} M",
            format_bytes(one.weights_bytes),
            *([format_bytes(one.checkpoint_bytes)] if one.is_written else []),
            format_bytes(one.published_bytes),
            one.hidden_size,
            format_bytes(one.member_bytes),
            round(one.ratio),
        ]
        for one in compared.backbones
    ]
    is_written = all(one.is_written for one in compared.backbones)
    checkpoint = ["checkpoint"] if is_written else []
    print(Table(["backbone", "parameters", "weights", *checkpoint, "Table 6", "hidden", "member file", "ratio"], rows))
    stated = "checkpoint: their file, written here once." if is_written else "No checkpoint was written."
    print(
        f"\n{compared.members} members ({compared.steps} steps each) on {compared.n:,} utterances: checkpoints "
        f"{format_bytes(compared.checkpoints_bytes)}, store {format_bytes(compared.store_bytes)}, ratio "
        f"{compared.ratio:,.0f}\nweights: parameters in float32 with a head for eight classes, by arithmetic. "
        f"{stated}\nmember file: pooled float16, logits float32. Table 6: Gavali & Verma, IJDMMM 17(2), 2025."
    )
