"""Tests how clusters cope with faults: losses, restarts, replays, forgeries, malformed answers,
long runs."""
