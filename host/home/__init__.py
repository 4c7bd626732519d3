"""A user's home: its rooms, floors and devices, what they are called and what they can do."""
