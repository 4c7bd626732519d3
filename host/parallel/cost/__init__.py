"""What a plan costs: traffic, instructions, latency."""
