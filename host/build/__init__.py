"""Builds what is put on a chip: firmware, kernels, shard file, configuration."""
