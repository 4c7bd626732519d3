"""What needs PyTorch is collected where it is installed, which is after `make train`."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["test_train.py"]
