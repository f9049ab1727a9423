"""A review as a table for the terminal, as JSON, and as the Markdown of a comment."""
