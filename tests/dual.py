"""What the test files that run under both CPython and MicroPython share.

Such a file imports neither pytest nor fixtures: its cases are plain functions named test_*
with bare asserts. This module runs under both Pythons too.
"""

import gc
import random
import sys

# What random numbers follow from in every case, under either Python: a case that fails does so
# again.
SEED = 1


def raises(exception, function, *arguments):
    """The exception of the given type that function(*arguments) raises.

    AssertionError where it returns; an exception of another type passes through.
    """
    try:
        function(*arguments)
    except exception as raised:
        return raised
    name = getattr(function, "__name__", repr(function))
    raise AssertionError("%s did not raise %s" % (name, exception.__name__))


def run_cases(module, cases):
    """Run the named functions of a module, under MicroPython, and print how each one ended.

    Before a case one line `@case NAME`, after it `@passed`, or a traceback and `@failed`.
    """
    # With a non-empty list of names, __import__ gives the innermost module of a dotted path.
    loaded = __import__(module, None, None, ("*",))
    for case in cases:
        gc.collect()
        print("@case", case)
        random.seed(SEED)
        try:
            getattr(loaded, case)()
        except Exception as raised:
            sys.print_exception(raised, sys.stdout)
            print("@failed")
        else:
            print("@passed")
