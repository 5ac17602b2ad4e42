"""What tests of several processes share: accelerate's environment, and what was said."""

SHARDS = {"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}
FULL = {"FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}
COMMON = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"}


def list_lines(said):
    """The messages among what a process said, without its bar."""
    return [line.rpartition("\r")[2].rpartition("]")[2] for line in said.splitlines() if "serstore: " in line]
