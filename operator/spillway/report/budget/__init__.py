"""Budgets for people and programs: sections that a terminal or Markdown lays out, a JSON document, the trace."""
