"""Answers of the base model and of Theobot, from one loaded model."""
