"""A whole chip's work on MicroPython for RISC-V, in QEMU, which counts its instructions."""
