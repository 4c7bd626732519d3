"""Machine code for kernels: assemblers, the kernels of each chip, and how they get into a .mpy.

docs/machine-code.md says why stock firmware loads it, how MicroPython calls it, and what a kernel
may not do. Nothing here imports host.build: who builds a chip's files hands over sources and
.mpy files.
"""
