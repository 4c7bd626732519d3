"""Shared parts of the commands: arguments, terminal, prompts and reports."""
