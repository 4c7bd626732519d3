"""Divides a model among chips: strategies, plans, and what they take of heaps and of time."""
