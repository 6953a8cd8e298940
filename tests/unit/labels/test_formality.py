"""The judge of register by a rule: on texts in both registers about the same things."""

import pytest
from made.items import WORLD
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels.formality import LABELS, WEIGHTS, FormalityJudge, features, formality_judge
from skillprobe.labels.judges import for_task, get_judge

# (formal, informal), written before the rule's weights were tried on them.
PAIRS = [
    (
        "The committee has reviewed your application and regrets to inform you that it was not successful.",
        "Hey, so we looked at your application and, sorry, it's a no this time.",
    ),
    (
        "Bees are essential to the pollination of numerous agricultural crops throughout the world.",
        "Bees are super important, guys! Without them we'd have way less food.",
    ),
    (
        "The harbour, which was constructed in the nineteenth century, remains an important centre of trade.",
        "So the harbour's pretty old, like 1800s old, and people still do tons of business there.",
    ),
    (
        "It is recommended that visitors arrive prior to nine o'clock in order to avoid delays.",
        "You'll wanna get there before nine or you'll be stuck in line forever lol",
    ),
    (
        "Regular physical activity has been demonstrated to improve both mental and physical health.",
        "Working out makes you feel so much better, trust me!!",
    ),
    (
        "Coffee is a beverage prepared from roasted seeds and is consumed in a great many countries.",
        "Coffee's the best thing ever. I can't start my day without it :)",
    ),
    (
        "The novel examines the relationship between memory and identity through the lives of three sisters.",
        "this book is about three sisters and wow it messed me up... you gotta read it",
    ),
    (
        "Should you require further assistance, please do not hesitate to contact the department.",
        "Need anything else? Just give us a shout!",
    ),
    (
        "The experiment was conducted under controlled conditions, and the results were later verified.",
        "We ran the thing a bunch of times and yeah, it works.",
    ),
    (
        "Rain is forecast for the majority of the region, with temperatures remaining below the average.",
        "Ugh, looks like it's gonna rain all day. Don't forget your umbrella!",
    ),
    (
        "The teacher exercises considerable influence upon the intellectual development of her pupils.",
        "My teacher's awesome, she really gets us.",
    ),
    (
        "Rivers transport sediment from mountainous regions and deposit it upon the surrounding plains.",
        "Rivers carry a lot of mud down from the hills and dump it, that's basically it.",
    ),
]
TEXTS = [(text, label) for pair in PAIRS for text, label in zip(pair, LABELS, strict=True)]


@pytest.mark.parametrize(("text", "label"), TEXTS)
def test_registers_are_told_apart(text, label):
    judged = FormalityJudge().classify(text)
    assert judged["label"] == label, judged
    assert judged["scores"][label] > 0.5 and sum(judged["scores"].values()) == pytest.approx(1)
    assert judged["features"].keys() == WEIGHTS.keys()


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("I can't go. They've gone.", "contractions", 2 / 5),
        ("The dog’s bone isn’t here.", "contractions", 1 / 5),
        ("The dogʼs bone isnʼt here.", "contractions", 1 / 5),
        ("Yeah, this is cool.", "slang", 2 / 4),
        ("I like your dog and you're late", "personal_pronouns", 3 / 7),
        ("Therefore it shall rain.", "formal_words", 2 / 4),
        ("Go! Now. Then.", "exclamations", 1 / 3),
        ("Really?! Well... no.", "repeated_marks", 2 / 3),
        ("Nice 🎉\nGood :)\nBad", "pictures", 2 / 3),
        ("It was sooo good", "drawn_out", 1 / 4),
        ("It was GOOD in the USA", "shouted", 1 / 6),
        ("ALL OF THIS", "shouted", 1.0),
        ("first. Second. third", "small_starts", 2 / 3),
        ("_first_. _Second_. third", "small_starts", 2 / 3),
    ],
)
def test_features_are_what_they_are_called(text, name, value):
    assert features(text)[name] == pytest.approx(value)


def test_texts_without_words_have_no_register():
    for text in ("", "12 34", "!!! ..."):
        assert features(text) == {} and FormalityJudge().classify(text)["label"] is None


def test_the_judge_is_given_by_name_and_for_register_alone():
    judge = for_task(tasks.get("register"), "formality", WORLD)
    text = PAIRS[0][0]
    params = {"label": "formal", "labels": ["formal", "informal"]}
    verdict = tasks.get("register").verify(text, params, judge)
    assert verdict.satisfied and verdict.evidence["features"]["contractions"] == 0
    assert not tasks.get("register").verify(text, params | {"label": "informal"}, judge).satisfied
    with pytest.raises(UserError, match="for the task register alone, and not for topic"):
        get_judge("formality", "topic", WORLD)
    with pytest.raises(UserError, match="has no setting 'model'; it has margin"):
        get_judge("formality", "register", WORLD, {"model": "a"})
    with pytest.raises(UserError, match="tells formal from informal, but the world's registers are a, b"):
        formality_judge("register", ["a", "b"])
