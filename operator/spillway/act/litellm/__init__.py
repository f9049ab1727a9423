"""LiteLLM's proxy as a routing plane: its configuration rendered, compared, read back and confirmed. All of it pure."""
