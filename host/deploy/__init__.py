"""What is put on a chip: firmware compiled for it, kernels generated for the model, its shard."""
