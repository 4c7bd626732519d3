"""What clusters bear: losses, restarts, replays and forgeries, malformed answers, long runs."""
