"""What boards offer: their files, RAM and pins."""
