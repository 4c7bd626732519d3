"""Model files: one module for each format."""
