"""A real LiteLLM proxy on loopback, without a database: what rendered configurations are held against."""
