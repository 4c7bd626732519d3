"""Simulates hardware: the radio between chips, and the modules that a simulated chip imports."""
