"""Base against Theobot: questions, answers, and what can be said about them."""
