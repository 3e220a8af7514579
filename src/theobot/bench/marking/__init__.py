"""Blind marking by people: a sample, a page for each marker, and what the opened key shows."""
