"""Runs the native code of .mpy files, instruction by instruction, and counts."""
