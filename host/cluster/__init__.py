"""The host's side of a cluster: its file, sessions with chips, and requests and their answers."""
