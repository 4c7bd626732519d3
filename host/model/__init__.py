"""Models: loading them, the text side (tokenizer, sampling), and their arithmetic on the host."""
