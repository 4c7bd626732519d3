"""Stands in for the package `host` where one of its files is run as a script.

`python host/run.py` has Python look for `host` in this folder, and so finds this file. It gives
way to the package: then such a command does what `python -m host.run` does.
"""

import sys
from importlib import import_module
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
del sys.modules["host"]
import_module("host")

from host.unready import explain_missing_packages, require_python  # noqa: E402

require_python()
explain_missing_packages()
