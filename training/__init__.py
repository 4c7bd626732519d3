"""Generates the training data of the shipped model, and trains it. Nothing here is needed to run
it."""

import sys

if sys.argv[:1] == ["-m"]:
    from host.unready import explain_missing_packages

    explain_missing_packages()
