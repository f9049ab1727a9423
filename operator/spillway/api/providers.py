"""How LiteLLM calls providers: in its configuration, and in the label ``api_provider`` of its counters."""

from __future__ import annotations

PROVIDERS = {
    **{
        name: name
        for name in (
            "anthropic", "azure", "cerebras", "cohere", "databricks", "deepseek", "gemini", "groq", "mistral",
            "moonshot", "novita", "openai", "openrouter", "ovhcloud", "perplexity", "together_ai", "xai", "zai",
        )
    },
    "fireworks": "fireworks_ai",
    "google": "gemini",
    "moonshotai": "moonshot",
    "together": "together_ai",
    "x-ai": "xai",
}  # fmt: skip
"""A lane's provider, as price packages name it, to LiteLLM's name. Only those that take one API key."""

OWN_PROVIDER = "hosted_vllm"
"""LiteLLM's name for an OpenAI-style engine of one's own."""
