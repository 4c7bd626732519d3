"""Stand-ins of simulated chips that map their flash partition."""
