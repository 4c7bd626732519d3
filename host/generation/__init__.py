"""Prompts in, text out: encoding, decoding and batching, whatever runs the model."""
