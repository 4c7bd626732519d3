"""Diagnoses boards, for `python -m host.doctor` and `python -m host.monitor`."""
