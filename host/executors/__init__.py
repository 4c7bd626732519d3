"""What runs a model on connected chips, one module for each way to divide it."""
