"""A language model's opinion of saved answers: off by default, never part of the verdict."""
