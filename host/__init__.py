"""The coordinator's side of the federation: everything here runs under CPython."""
