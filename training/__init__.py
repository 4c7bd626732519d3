"""What writes the data of the shipped model and trains it. Nothing here is needed to run it."""
