"""A classifier's labels and the task's: what is mapped to what, and which folders are refused."""

from pathlib import Path

import pytest
from made.items import WORLD
from made.judges import SENTIMENTS, TEXTS, judged, logits_of, rewrite, shipped
from skillprobe.errors import UserError
from skillprobe.labels.judges import get_judge
from skillprobe.study.config import complete

pytestmark = pytest.mark.gpu


def test_labels_left_out_stand_for_none_and_several_may_stand_for_one(make):
    names = {0: "anger", 1: "joy", 2: "neutral", 3: "love"}
    labels = {"anger": "negative", "joy": "positive", "love": "positive"}
    folder = make(names)
    judge = get_judge("transformers", "sentiment", WORLD, {"model": folder, "labels": labels})
    expected = logits_of(judge, TEXTS[1]).softmax(-1).tolist()
    assert judge.classify(TEXTS[1])["scores"] == pytest.approx(
        {"negative": expected[0], "positive": expected[1] + expected[3]}, abs=1e-5
    )
    # Below the threshold a text has no label.
    strict = {"model": folder, "labels": labels, "threshold": 1.0}
    assert get_judge("transformers", "sentiment", WORLD, strict).classify(TEXTS[1])["label"] is None


@pytest.mark.parametrize(
    ("task", "names", "settings", "message"),
    [
        (
            "sentiment",
            SENTIMENTS,
            {},
            "no label of '.*' \\(neg, pos\\) is mapped to 'negative'; map one to it",
        ),
        ("sentiment", SENTIMENTS, {"labels": {"neg": "negative"}}, "is mapped to 'positive'"),
        (
            "sentiment",
            SENTIMENTS,
            {"labels": {"nope": "negative"}},
            "'nope' is not a label of '.*'; it has neg, pos",
        ),
        (
            "sentiment",
            SENTIMENTS,
            {"labels": {"neg": "sad"}},
            "'sad' is not a label of the task; it has negative, ",
        ),
        ("toxicity", SENTIMENTS, {}, "is mapped to 'toxicity'"),
        ("topic", SENTIMENTS, {"method": "zero-shot"}, "an entailment model, but the labels of"),
        ("toxicity", {0: "entailment", 1: "no"}, {"method": "zero-shot"}, "needs a task with labels"),
        (
            "topic",
            {0: "LABEL_0", 1: "LABEL_1"},
            {"method": "zero-shot"},
            "LABEL_0, LABEL_1, which doesn't say which of them is entailment; set entailment to",
        ),
        (
            "topic",
            {0: "LABEL_0", 1: "LABEL_1"},
            {"method": "zero-shot", "entailment": "yes"},
            "entailment: 'yes' is not a label of '.*'; it has LABEL_0, LABEL_1",
        ),
        (
            "topic",
            {0: "entailment", 1: "no"},
            {"method": "zero-shot", "hypothesis": "This text."},
            "it must have one {}",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_any_job_and_by_the_judge(
    make, task, names, settings, message
):
    folder = make(names)
    with pytest.raises(UserError, match=f"judges.{task}.*{message}"):
        get_judge("transformers", task, WORLD, settings | {"model": folder})
    with pytest.raises(UserError, match=f"judges.{task}.*{message}"):
        complete(shipped(task, settings | {"model": folder}), ".")


def test_pickled_weights_are_refused_before_any_job(make):
    folder = Path(make({0: "toxicity", 1: "no"}))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"judges.toxicity: the folder .* has no \*.safetensors file"):
        complete(shipped("toxicity", {"model": str(folder)}), ".")


@pytest.mark.parametrize(
    "id2label", [{"a": "toxicity"}, ["toxicity"], {"1": "toxicity", "2": "no"}, {"0": "toxicity", "1": 1}]
)
def test_labels_without_numbers_are_refused_before_any_job(make, id2label):
    folder = make({0: "toxicity", 1: "no"})
    rewrite(folder, id2label=id2label)
    with pytest.raises(UserError, match="^judges.toxicity: id2label in .* isn't {number: label}, numbered"):
        complete(shipped("toxicity", {"model": folder}), ".")


def test_a_tokenizer_that_cannot_pad_is_refused_before_any_job_if_that_is_sure(make):
    folder = make({0: "toxicity", 1: "no"})
    config = shipped("toxicity", {"model": folder})
    rewrite(folder, pad_token_id=None)
    rewrite(folder, "tokenizer_config.json", pad_token=...)
    complete(config, ".")
    with pytest.raises(UserError, match="judges.toxicity: the tokenizer of '.*' has no padding token"):
        judged(folder)
    rewrite(folder, "tokenizer_config.json", pad_token=None)
    with pytest.raises(
        UserError, match="judges.toxicity: the tokenizer in .* has no padding token .*is null"
    ):
        complete(config, ".")
    rewrite(folder, "special_tokens_map.json", pad_token="<pad>")
    complete(config, ".")
    assert judged(folder).classify(TEXTS[0])["scores"]
