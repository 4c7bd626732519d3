"""From floats to the integers that chips compute with, and what that costs."""
