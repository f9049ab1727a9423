"""``spillway doctor``: gathers facts, checks them purely, says what is missing and how to mend it."""
