"""How a model is divided among chips, and the files that carry the shares."""
