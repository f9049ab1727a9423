"""A tiny Llama with random weights, and a tokenizer in which every word `w0` to `w508` is one token.

A prompt of n such words is n tokens, whatever the engine says: clients count exactly without a tokenizer.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

VOCABULARY = 512
SPECIAL = ("<unk>", "<s>", "</s>")
WORDS = tuple(f"w{index}" for index in range(VOCABULARY - len(SPECIAL)))
MAX_TOKENS = 8192
"""Longest sequence, prompt and answer together."""


def write_model(folder: Path) -> Path:
    """The model's files in `folder`; vLLM makes its weights up (`--load-format dummy`)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("config.json", _config()),
        ("generation_config.json", {"bos_token_id": 1, "eos_token_id": 2}),
        ("tokenizer.json", _tokenizer()),
        ("tokenizer_config.json", _tokenizer_config()),
    ):
        (folder / name).write_text(json.dumps(content, indent=1))
    return folder


def words(count: int, rng: random.Random) -> str:
    """A prompt of exactly `count` tokens."""
    return " ".join(rng.choice(WORDS) for _ in range(count))


def _config() -> dict[str, Any]:
    # Large enough that an iteration takes milliseconds, small enough that prompts of 1,000 tokens take few of them.
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 8,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": MAX_TOKENS,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "dtype": "bfloat16",
    }


def _tokenizer() -> dict[str, Any]:
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": word, **flags} for index, word in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": MAX_TOKENS,
        "clean_up_tokenization_spaces": False,
        "chat_template": "{% for message in messages %}{{ message['content'] }} {% endfor %}",
    }
