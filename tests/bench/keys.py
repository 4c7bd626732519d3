"""The key of chips that sign, in tests of machine code."""

KEY = bytes(range(32))
