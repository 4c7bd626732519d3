"""One way to open a cluster, of simulated chips or of boards."""
