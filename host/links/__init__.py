"""Serial lines to chips: ports, framing, transport."""
