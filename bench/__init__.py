"""What is measured, and says how."""
