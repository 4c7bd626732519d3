"""The host's side of the wire: decoders, sessions and requests; chips have none of it."""
