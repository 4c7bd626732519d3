"""How a model is divided among chips, and what that takes of their heaps."""
