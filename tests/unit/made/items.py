"""Items of the toy world."""

from skillprobe import tasks
from skillprobe.prompts.items import make_items
from skillprobe.tasks.world import load_world

WORLD = load_world("toy")
SETTINGS = {
    "bases": 24,
    "items_per_base": 2,
    "instruction_types": ["human", "plm", "entailment"],
    "polarities": ["positive", "negated"],
    "crossings": 1,
}


def items_of(name, seed=0, **changes):
    return make_items(tasks.get(name), WORLD, SETTINGS | changes, seed)
