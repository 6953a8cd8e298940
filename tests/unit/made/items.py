"""Items of the toy world, and responses to them."""

from skillprobe import tasks
from skillprobe.prompts.bases import seed_from
from skillprobe.prompts.items import make_items
from skillprobe.tasks.world import load_world

WORLD = load_world("toy")
SETTINGS = {
    "bases": 24,
    "items_per_base": 2,
    "instruction_types": ["human", "plm", "entailment"],
    "polarities": ["positive", "negated"],
}


def items_of(name, seed=0, **changes):
    return make_items(tasks.get(name), WORLD, SETTINGS | changes, seed)


def responses_to(items, text_of, samples=4):
    """Responses as if sampled; the last sample of each constrained prompt is cut short."""
    rows = []
    for item in items:
        for variant, prompt in (
            ("constrained", item["prompt"]),
            ("unconstrained", item["unconstrained_prompt"]),
        ):
            for sample in range(samples):
                text = text_of(seed_from(item["item"], variant, sample))
                truncated = variant == "constrained" and sample == samples - 1
                rows.append(
                    {
                        "id": f"{item['item']}/{variant}/{sample}",
                        "item": item["item"],
                        "base": item["base"],
                        "group": item["group"],
                        "variant": variant,
                        "sample": sample,
                        "prompt": prompt,
                        "response": text,
                        "token_ids": [5] * len(text.split()) + [3] * (not truncated),
                        "truncated": truncated,
                    }
                )
    return rows


def words(seed):
    return " ".join(["word"] * (1 + seed % 25))


def moods(seed):
    adjectives = WORLD.sentiment["positive"] if seed % 2 else WORLD.sentiment["negative"]
    return f"The teacher is {adjectives[seed // 2 % len(adjectives)]}."
