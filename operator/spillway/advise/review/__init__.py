"""The review of a change before it is merged: what changes, what it costs, and what a policy says of it. Pure."""
