"""Text to tokens and back: one module for each kind of tokenizer."""
