"""Three prompts with counts, and how a tiny model answers them."""

from skillprobe.monitor.guard import SETTINGS

from made.models import WORDS

SAMPLED = SETTINGS | {"temperature": 1.0, "max_new_tokens": 9, "batch_size": 4, "samples": 4}
PARAMS = ({"relation": "at_most", "n": 4}, {"relation": "exactly", "n": 5}, {"relation": "at_most", "n": 6})
PROMPTS = tuple(" ".join(WORDS[:n]) for n in (2, 5, 3))


def items():
    return [
        {
            "item": f"word_count/b{number:03d}/0",
            "base": f"b{number:03d}",
            "group": f"g{number:03d}",
            "params": params,
            "prompt": prompt,
            "unconstrained_prompt": "",
            "phrasing": "word_count.human.1",
            "instruction_type": "human",
            "polarity": "positive",
        }
        for number, (params, prompt) in enumerate(zip(PARAMS, PROMPTS, strict=True))
    ]
