"""What stands in for hardware: the air between chips, and the modules a simulated chip imports."""
