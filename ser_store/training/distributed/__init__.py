"""Several processes that train one model: how batches are dealt out, who writes, and FSDP."""
