"""Stand-ins of simulated chips whose weights stay in flash."""
