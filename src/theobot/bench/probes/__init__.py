"""What only a model at hand can tell besides its answers."""
