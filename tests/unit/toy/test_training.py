"""Training is repeatable, and the shipped models obey now and then."""

import pytest
from made.items import WORLD
from made.toy import DEMO, SHIPPED
from skillprobe import tasks
from skillprobe.analyses import compliance
from skillprobe.labels import labelling
from skillprobe.labels.judges import get_judge
from skillprobe.models import generation, loading
from skillprobe.prompts.items import make_items
from skillprobe.study.sampling import generation_of_toys
from skillprobe.toy import training


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy-llama", "toy-gemma2", "toy-qwen2"])
def test_shipped_models_obey_often_but_not_always(name):
    """Both classes are there to probe: 15 % to 90 % on every task, at the demo's settings."""
    loaded = loading.load({"name": name, "source": str(SHIPPED / name), "dtype": "float32"})
    rates = {}
    for task in map(tasks.get, tasks.NAMES):
        items = make_items(task, WORLD, DEMO["prompts"], seed=0)
        settings = generation_of_toys(DEMO) | {"twin_samples": 0}
        responses = generation.generate_task(loaded, items, settings, seed=0)
        judge = get_judge("lexicon", task.name, WORLD) if task.judged else None
        rows = labelling.label_rows(task, items, responses, judge)
        rates[task.name] = compliance.summarise(rows, n_draws=2, seed=0)["compliance"]
    assert {task: rate for task, rate in rates.items() if not 0.15 <= rate <= 0.9} == {}


def test_two_steps_of_training_are_the_same_twice_and_lower_the_loss(rows):
    logged = []
    trained = [training.train("llama", rows[-640:], WORLD, True, 0, logged.append)[0] for _ in range(2)]
    first, second = (model.state_dict() for model in trained)
    assert all((first[key] == second[key]).all() for key in first)
    loss = float(logged[0].split("loss ")[1].split()[0])
    assert (
        loss < 6.5
    )  # below that of guessing among some 1,200 tokens, ln 1,200 = 7.1, on average of the steps
