"""Theobot: fine-tune Qwen2.5 into a GCSE Religious Education specialist, and say if it helped."""

__version__ = "0.1.0"
