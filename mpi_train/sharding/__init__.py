"""Parameters, gradients and optimizer state sharded over the ranks (FSDP2)."""
