"""Throws damaged files at everything that reads a stranger's: `make fuzz`."""
