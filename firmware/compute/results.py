"""What machine code for exchanges gives beside lengths of frames (exchange.py, exchange_line.py);
host/build/machine_code/exchange_words.py has the same."""

from protocol.compat import const

OTHER = const(-1)  # a frame that is not for it, with all as it was
# -2: the last sum of the step is complete, and bytecode is to end the step.
PIECES = const(-3)  # sums that have to be sent otherwise
COMPUTE = const(-4)  # sums that bytecode is to compute (exchange_blocks.py)
ANSWER = const(1 << 16)  # is added to the length of an answer
# Phases of a step: none is under way (firmware/roles/step.py has it too); all its sums are added,
# and bytecode is to end it.
IDLE = const(2)
ENDED = const(4)
