"""Facts of the machine, read without changing anything -> findings, each with its fix."""
