"""Errors of putting things onto boards."""


class FlashError(Exception):
    """Why a board could not be flashed, in one line."""
