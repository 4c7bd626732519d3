"""What clusters bear: lost frames, restarts, replays and forgeries, malformed answers, long runs."""
