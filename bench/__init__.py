"""What is measured, and says how."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
