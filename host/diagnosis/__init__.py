"""What is wrong with boards: findings of `python -m host.doctor`."""
