"""One report as three files: a page for people, Markdown for a terminal, JSON for programs."""
