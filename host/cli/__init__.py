"""What the commands have in common: arguments, terminal, prompts and reports."""
