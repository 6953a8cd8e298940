"""Prompts and how they are answered."""

from made.models import TEXT

SETTINGS = {"max_new_tokens": 12, "batch_size": 16, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
PROMPTS = [" ".join(TEXT.split()[:length]) for length in (3, 9, 1, 6, 9, 3, 12, 1)] * 2
SEEDS = list(range(100, 100 + len(PROMPTS)))
