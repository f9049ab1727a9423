"""Pure advice: budgets, sizing, ownership, from the same values that decisions rest on."""
