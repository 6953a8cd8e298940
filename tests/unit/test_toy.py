"""The toy world: exact labels, exact tokenizers, varied answers, and models that obey now and then."""

import random
from pathlib import Path

import pytest
import yaml
from skillprobe import tasks
from skillprobe.analyses import compliance
from skillprobe.labels import labelling
from skillprobe.labels.judges import get_judge
from skillprobe.models import chat, generation, loading
from skillprobe.prompts.items import make_items
from skillprobe.tasks.world import load_world
from skillprobe.toy import corpus, grammar, tokenizer, training

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "workflow/resources/models"
WORLD = load_world("toy")
FAMILIES = {"toy-llama": "llama", "toy-gemma2": "gemma2", "toy-qwen2": "qwen2"}
DEMO = yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture(scope="module")
def rows():
    return list(corpus.examples(WORLD, 3000, seed=5))


def test_the_corpus_obeys_first_and_breaks_a_known_share_afterwards(rows):
    first, second = rows[: int(3000 * corpus.FIRST_PART)], rows[int(3000 * corpus.FIRST_PART) :]
    assert all(row["satisfied"] is None for row in first)
    single = [row["satisfied"] for row in second if row["satisfied"] is not None]
    assert 0.8 * len(second) < len(single) < len(second)
    assert 0.65 < sum(single) / len(single) < 0.85


def test_the_same_seed_gives_the_same_corpus(rows):
    assert list(corpus.examples(WORLD, 3000, seed=5)) == rows
    assert list(corpus.examples(WORLD, 50, seed=6)) != rows[:50]


@pytest.mark.parametrize("name", tasks.NAMES)
def test_every_task_has_thousands_of_distinct_answers(name):
    rng = random.Random(0)
    task = tasks.get(name)
    judges = {name: get_judge("lexicon", name, WORLD)} if task.judged else {}
    answers = set()
    for _ in range(4000):
        subject = rng.choice(WORLD.subjects)
        asked = [(task, task.sample_params(rng, WORLD))]
        text, satisfied = corpus.answer(rng, WORLD, subject, asked, True, judges)
        if satisfied:
            answers.add(text)
    assert len(answers) > 3000


def test_judged_labels_are_what_the_grammar_meant():
    rng = random.Random(1)
    judges = {
        name: get_judge("lexicon", name, WORLD) for name in ("topic", "sentiment", "register", "toxicity")
    }
    for _ in range(500):
        plan = grammar.random_plan(rng, WORLD)
        text = grammar.write(rng, WORLD, rng.choice(WORLD.subjects), plan)
        for name in ("topic", "sentiment", "register"):
            assert judges[name].classify(text)["label"] == getattr(plan, name)
        verdict = tasks.get("toxicity").verify(text, {}, judges["toxicity"])
        assert verdict.satisfied == (not plan.insult)


@pytest.mark.parametrize("family", tokenizer.FAMILIES)
def test_tokenizers_are_exact_and_know_every_word(family, rows):
    made = tokenizer.build(family, WORLD)
    # encode() refuses unknown words.
    for (ids, targets), row in zip(training.encode(rows, made, True), rows, strict=True):
        assert len(ids) == len(targets)
        response = made(row["response"], add_special_tokens=False)["input_ids"]
        assert made.decode(response) == row["response"]
        assert [token for token in targets if token != training.IGNORED][: len(response)] == response


@pytest.mark.parametrize("name", FAMILIES)
def test_shipped_tokenizers_know_every_prompt_of_the_demo(name):
    loaded = loading.load({"name": name, "source": str(SHIPPED / name)})
    for task in map(tasks.get, tasks.NAMES):
        for item in make_items(task, WORLD, DEMO["prompts"], seed=0):
            for prompt in (item["prompt"], item["unconstrained_prompt"]):
                assert loaded.tokenizer.unk_token_id not in chat.chat_ids(loaded.tokenizer, prompt)


@pytest.mark.parametrize("name", FAMILIES)
def test_shipped_models_are_small_and_say_what_they_are(name):
    folder = SHIPPED / name
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8e6
    assert not [path for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pkl", ".py")]
    card = (folder / "README.md").read_text()
    for word in ("seed", "snakemake", "compliance", *tasks.NAMES):
        assert word in card.lower()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy-llama", "toy-gemma2", "toy-qwen2"])
def test_shipped_models_obey_often_but_not_always(name):
    """Both classes are there to probe: 15 % to 90 % on every task, at the demo's settings."""
    loaded = loading.load({"name": name, "source": str(SHIPPED / name), "dtype": "float32"})
    rates = {}
    for task in map(tasks.get, tasks.NAMES):
        items = make_items(task, WORLD, DEMO["prompts"], seed=0)
        responses = generation.generate_task(loaded, items, DEMO["generation"] | {"twin_samples": 0}, seed=0)
        judge = get_judge("lexicon", task.name, WORLD) if task.judged else None
        rows = labelling.label_rows(task, WORLD, items, responses, judge, {"crossings": 0}, seed=0)
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
