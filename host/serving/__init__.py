"""Serves clusters to other programs: OpenAI's HTTP API, Home Assistant, a page to look at."""
