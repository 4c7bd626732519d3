"""Writing boards: esptool, MicroPython images, file systems."""
