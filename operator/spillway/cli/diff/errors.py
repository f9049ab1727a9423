"""What can be wrong with the two sides of a change."""

from __future__ import annotations


class InputError(ValueError):
    """One line that names the side, the file, the object and the field, and the way out."""
