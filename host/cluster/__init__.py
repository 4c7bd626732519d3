"""The coordinator: serial lines to the chips, requests and answers, the combined forward pass."""
