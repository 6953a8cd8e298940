"""Judges that are text classifiers: tiny random ones, of the test's own making."""

import copy
from pathlib import Path

import pytest
import torch
from made.items import WORLD
from made.judges import SENTIMENTS, TEXTS, judged, logits_of, rewrite, shipped
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels import judges
from skillprobe.labels.judges import get_judge
from skillprobe.study.config import complete
from skillprobe.study.sources import judge_identity

pytestmark = pytest.mark.gpu


def widths(judge, monkeypatch):
    """Of all batches that its model is given: [rows, tokens]."""
    found, forward = [], judge.model.forward

    def counted(**inputs):
        found.append(list(inputs["input_ids"].shape))
        return forward(**inputs)

    monkeypatch.setattr(judge.model, "forward", counted)
    return found


def test_scores_are_the_models_probabilities_by_the_tasks_labels(make):
    labels = {"neg": "negative", "pos": "positive"}
    judge = get_judge("transformers", "sentiment", WORLD, {"model": make(SENTIMENTS), "labels": labels})
    assert judge.labels == ("negative", "positive")
    for text in TEXTS:
        found = judge.classify(text)
        expected = logits_of(judge, text).softmax(-1).tolist()
        assert found["scores"] == pytest.approx({"negative": expected[0], "positive": expected[1]}, abs=1e-5)
        assert found["label"] == max(found["scores"], key=found["scores"].get)
    params = {"label": "positive", "labels": ["negative", "positive"]}
    verdicts = [tasks.get("sentiment").verify(text, params, judge) for text in TEXTS]
    assert [each.satisfied for each in verdicts] == [
        judge.classify(text)["label"] == "positive" for text in TEXTS
    ]


def test_toxicity_of_a_model_of_several_labels(make):
    names = {0: "toxic", 1: "insult", 2: "fine"}
    folder = make(names, problem_type="multi_label_classification")
    settings = {"model": folder, "labels": {"toxic": "toxicity", "insult": "toxicity"}}
    judge = get_judge("transformers", "toxicity", WORLD, settings)
    for text in TEXTS:
        chance = logits_of(judge, text).sigmoid()[:2].max().item()
        assert judge.classify(text)["scores"] == pytest.approx({"toxicity": chance}, abs=1e-5)
        assert tasks.get("toxicity").verify(text, {}, judge).satisfied == (chance < 0.5)
    lenient = get_judge("transformers", "toxicity", WORLD, settings | {"threshold": 1.0})
    assert all(tasks.get("toxicity").verify(text, {}, lenient).satisfied for text in TEXTS)


def test_zero_shot_asks_what_a_text_entails(make):
    folder = make({0: "contradiction", 1: "neutral", 2: "ENTAILMENT"})
    settings = {"model": folder, "method": "zero-shot", "hypothesis": "text about {}"}
    judge = get_judge("transformers", "topic", WORLD, settings)
    assert judge.labels == tuple(sorted(WORLD.topics))
    for text in TEXTS:
        each = torch.stack([logits_of(judge, text, f"text about {label}")[2] for label in judge.labels])
        expected = dict(zip(judge.labels, each.softmax(0).tolist(), strict=True))
        assert judge.classify(text)["scores"] == pytest.approx(expected, abs=1e-5)


def test_the_label_that_means_entailment_may_be_told(make):
    folder = make({0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"})
    scores = {}
    for number in range(3):
        settings = {"model": folder, "method": "zero-shot", "entailment": f"LABEL_{number}"}
        complete(shipped("topic", settings), ".")
        judge = get_judge("transformers", "topic", WORLD, settings)
        for label in judge.labels:
            scores[number, label] = logits_of(judge, TEXTS[1], f"This text is about {label}.")[number]
        each = torch.stack([scores[number, label] for label in judge.labels]).softmax(0).tolist()
        assert list(judge.classify(TEXTS[1])["scores"].values()) == pytest.approx(each, abs=1e-5)


def test_an_answer_may_spell_special_tokens(tmp_path):
    """BART refuses batches whose texts have different numbers of end tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BartConfig, BartForSequenceClassification, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(
        models.BPE({token: n for n, token in enumerate(["<s>", "<pad>", "</s>", *letters])}, [])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    ends = [("<s>", 0), ("</s>", 2)]
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=ends
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", pad_token="<pad>", eos_token="</s>"
    )
    sizes = dict.fromkeys(("d_model", "encoder_ffn_dim", "decoder_ffn_dim"), 16)
    sizes |= dict.fromkeys(("encoder_layers", "decoder_layers"), 1)
    sizes |= dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
    BartForSequenceClassification(
        BartConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=90,
            id2label={0: "contradiction", 1: "entailment"},
            label2id={"contradiction": 0, "entailment": 1},
            **sizes,
        )
    ).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    settings = {"model": str(tmp_path), "method": "zero-shot"}
    judge = get_judge("transformers", "sentiment", WORLD, settings)
    judges.prepare(judge, ["good", "the end </s> and <pad> more </s>"])
    assert judge.classify("the end </s> and <pad> more </s>")["scores"] == pytest.approx(
        dict(zip(judge.labels, judge._scores(["the end </s> and <pad> more </s>"])[0], strict=True)),
        abs=1e-4,
    )


def test_texts_are_judged_in_batches_and_once(make, monkeypatch):
    labels = {"neg": "negative", "pos": "positive"}
    settings = {"model": make(SENTIMENTS), "labels": labels, "batch_size": 2, "max_tokens": 8}
    judge = get_judge("transformers", "sentiment", WORLD, settings)
    alone = [copy.deepcopy(judge).classify(text) for text in [*TEXTS, " ".join(TEXTS * 5)]]
    sizes = widths(judge, monkeypatch)
    judges.prepare(judge, [*TEXTS, " ".join(TEXTS * 5), *TEXTS, ""])
    assert [rows for rows, _ in sizes] == [2, 2, 1] and max(width for _, width in sizes) == 8
    found = [judge.classify(text) for text in [*TEXTS, " ".join(TEXTS * 5)]]
    assert len(sizes) == 3
    for one, other in zip(found, alone, strict=True):
        assert one["label"] == other["label"] and one["scores"] == pytest.approx(other["scores"], abs=1e-4)


def check_batches(judge):
    """Texts have the scores in a batch that the plain model gives each of them alone."""
    alone = [logits_of(judge, text).softmax(-1)[0].item() for text in TEXTS]
    judges.prepare(judge, TEXTS)
    found = [judge.classify(text)["scores"]["toxicity"] for text in TEXTS]
    assert found == pytest.approx(alone, abs=1e-4) and max(found) - min(found) > 0.01


KINDS = {
    "Bert": {},
    "Roberta": {},
    "DistilBert": {},
    "XLNet": {"max_position_embeddings": ..., "d_head": 8},
    "GPT2": {"pad_token_id": ...},
    "Llama": {"pad_token_id": ..., "num_key_value_heads": 1},
}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_label_does_not_change_with_the_batch(make, kind, side):
    folder = make({0: "toxicity", 1: "no"}, kind, **KINDS[kind])
    rewrite(folder, "tokenizer_config.json", padding_side=side)
    complete(shipped("toxicity", {"model": folder}), ".")
    check_batches(judged(folder))


@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
def test_the_config_and_the_tokenizer_may_pad_with_other_tokens(make, kind):
    folder = make({0: "toxicity", 1: "no"}, kind)
    own = judged(folder).tokenizer.pad_token_id
    rewrite(folder, pad_token_id=own + 1)
    check_batches(judged(folder))
    # And one may know of none.
    for absent in (..., None):
        rewrite(folder, "tokenizer_config.json", pad_token=absent)
        complete(shipped("toxicity", {"model": folder}), ".")
        judge = judged(folder)
        assert judge.tokenizer.pad_token_id == own + 1
        check_batches(judge)


def test_a_model_that_reads_its_batch_is_refused_for_batches(make, monkeypatch):
    from transformers import BertForSequenceClassification

    folder, forward = make({0: "toxicity", 1: "no"}), BertForSequenceClassification.forward

    def wide(self, **inputs):
        found = forward(self, **inputs)
        found.logits = found.logits * (1 + inputs["input_ids"].shape[1])
        return found

    monkeypatch.setattr(BertForSequenceClassification, "forward", wide)
    for settings in ({}, {"batch_size": 2}):
        with pytest.raises(UserError, match="^judges.toxicity: '.*' gives a text other scores in a batch"):
            judged(folder, **settings)
    assert judged(folder, batch_size=1).classify(TEXTS[0])["scores"]


@pytest.mark.parametrize("kind", ["Bert", "GPT2"])
def test_pairs_are_padded_alike(make, kind):
    folder = make({0: "LABEL_0", 1: "LABEL_1"}, kind, pad_token_id=0)
    rewrite(folder, "tokenizer_config.json", padding_side="left")
    settings = {"method": "zero-shot", "hypothesis": "text about {}", "entailment": "LABEL_0"}
    judge = judged(folder, "topic", **settings)
    judges.prepare(judge, TEXTS)
    for text in TEXTS:
        each = torch.stack([logits_of(judge, text, f"text about {label}")[0] for label in judge.labels])
        expected = dict(zip(judge.labels, each.softmax(0).tolist(), strict=True))
        assert judge.classify(text)["scores"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "head", "lacking"),
    [
        ("Bert", "Model", "classifier.bias, classifier.weight"),
        (
            "Bert",
            "ForMaskedLM",
            "bert.pooler.dense.bias, bert.pooler.dense.weight, classifier.bias and others",
        ),
        ("Llama", "ForCausalLM", "score.weight"),
    ],
)
def test_a_model_without_a_trained_head_is_no_judge(make, kind, head, lacking):
    folder = make({0: "toxicity", 1: "no"}, kind, head)
    with pytest.raises(
        UserError, match=f"judges.toxicity: .*architectures: .'{kind}{head}'.; choose a model whose"
    ):
        complete(shipped("toxicity", {"model": folder}), ".")
    # Where the config doesn't tell, the weights do.
    rewrite(folder, architectures=...)
    complete(shipped("toxicity", {"model": folder}), ".")
    with pytest.raises(UserError, match=f"^judges.toxicity: '.*' has no weights, .*, for {lacking}; choose"):
        judged(folder)


def test_weights_of_another_shape_are_no_judge(make):
    folder = make({0: "toxicity", 1: "no"})
    rewrite(folder, intermediate_size=32)
    with pytest.raises(
        UserError, match="has no weights, .*, for bert.encoder.layer.0.intermediate.dense.bias"
    ):
        judged(folder)


def damage_pointer(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")


def damage_weights(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def damage_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")


def damage_json(folder):
    (folder / "tokenizer.json").write_text("{")


@pytest.mark.parametrize("damage", [damage_pointer, damage_weights, damage_tokenizer, damage_json])
def test_damaged_files_are_one_sentence(make, damage):
    folder = Path(make({0: "toxicity", 1: "no"}))
    damage(folder)
    with pytest.raises(
        UserError, match="^judges.toxicity: '.*' can't be loaded .*; check that its files"
    ) as (caught):
        judged(folder)
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_judge_its_tokenizers_tokens_is_named(make):
    folder = make({0: "toxicity", 1: "no"}, vocab_size=5)
    with pytest.raises(
        UserError, match="^judges.toxicity: '.*' can't judge a text .IndexError: .*; check that"
    ):
        judged(folder).classify(TEXTS[0])


def test_a_folder_may_begin_with_a_tilde(make, monkeypatch):
    folder = Path(make({0: "toxicity", 1: "no"}))
    monkeypatch.setenv("HOME", str(folder.parent))
    complete(shipped("toxicity", {"model": f"~/{folder.name}"}), ".")
    assert judged(f"~/{folder.name}").classify(TEXTS[0]) == judged(folder).classify(TEXTS[0])


@pytest.mark.parametrize("problem", [None, "multi_label_classification", "regression"])
def test_one_output_is_a_chance_of_its_own_unless_it_is_a_regression(make, problem):
    folder = make({0: "toxic"}, problem_type=problem)
    judge = judged(folder, labels={"toxic": "toxicity"})
    for text in TEXTS:
        logit = logits_of(judge, text)[0]
        expected = logit if problem == "regression" else logit.sigmoid()
        assert judge.classify(text)["scores"] == pytest.approx({"toxicity": expected.item()}, abs=1e-5)
    assert len({judge.classify(text)["scores"]["toxicity"] for text in TEXTS}) == len(TEXTS)
    for several in (True, False):
        stated = judged(folder, labels={"toxic": "toxicity"}, multi_label=several)
        expected = logits_of(stated, TEXTS[0])[0].sigmoid().item()
        assert stated.classify(TEXTS[0])["scores"]["toxicity"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("problem", [None, "single_label_classification", "multi_label_classification"])
def test_the_config_may_say_whether_labels_exclude_each_other(make, problem):
    folder = make({0: "toxic", 1: "insult", 2: "fine"}, problem_type=problem)
    settings = {"model": folder, "labels": {"toxic": "toxicity"}}
    for stated in (None, True, False):
        config = complete(shipped("toxicity", settings | {"multi_label": stated}), ".")
        judge = judges.for_task(tasks.get("toxicity"), judge_identity(config, "toxicity", "."), WORLD)
        logits = logits_of(judge, TEXTS[1])
        alone = problem == "multi_label_classification" if stated is None else stated
        expected = (logits.sigmoid() if alone else logits.softmax(0))[0].item()
        assert judge.classify(TEXTS[1])["scores"]["toxicity"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("task", "labels", "settings"),
    [
        ("toxicity", {0: "toxicity", 1: "no"}, {}),
        ("toxicity", {0: "toxicity", 1: "no"}, {"multi_label": True}),
        ("topic", {0: "entailment", 1: "no"}, {"method": "zero-shot"}),
    ],
)
def test_scores_that_are_no_numbers_are_refused(make, task, labels, settings):
    judge = judged(make(labels), task, **settings)
    judge.model.classifier.weight[0, 0] = torch.nan
    with pytest.raises(UserError, match=f"^judges.{task}: '.*' returns NaN or infinite scores; check"):
        judge.classify(TEXTS[0])


LONG = " ".join(TEXTS * 20)


@pytest.mark.parametrize(
    ("kind", "takes"), [("Bert", 40), ("DistilBert", 40), ("Roberta", 38), ("XLMRoberta", 38), ("MPNet", 38)]
)
def test_a_text_is_cut_to_the_positions_that_there_are(make, monkeypatch, kind, takes):
    folder = make({0: "toxicity", 1: "no"}, kind)
    # The default, and more than the model takes.
    for settings in ({}, {"max_tokens": 4096}):
        judge = judged(folder, **settings)
        found = widths(judge, monkeypatch)
        assert judge.classify(LONG)["scores"] and found == [[1, takes]]
    judge = judged(folder, max_tokens=12)
    found = widths(judge, monkeypatch)
    assert judge.classify(LONG)["scores"] and found == [[1, 12]]
    # One more would be too many.
    with pytest.raises((RuntimeError, IndexError)):
        judge.model(input_ids=torch.full((1, takes + 1), 5), attention_mask=torch.ones(1, takes + 1))


def test_a_text_is_cut_to_what_the_tokenizer_says(make, monkeypatch):
    folder = make({0: "toxicity", 1: "no"})
    rewrite(folder, "tokenizer_config.json", model_max_length=20)
    judge = judged(folder)
    found = widths(judge, monkeypatch)
    assert judge.classify(LONG)["scores"] and found == [[1, 20]]


def test_positions_without_end_are_no_limit(make, monkeypatch):
    judge = judged(
        make({0: "toxicity", 1: "no"}, "XLNet", max_position_embeddings=..., d_head=8), max_tokens=60
    )
    found = widths(judge, monkeypatch)
    assert judge.classify(LONG)["scores"] and found == [[1, 60]]


def test_zero_shot_cuts_the_text_and_not_the_hypothesis(make, monkeypatch):
    folder = make({0: "contradiction", 1: "entailment"}, "Roberta")
    judge = judged(folder, "topic", method="zero-shot")
    found = widths(judge, monkeypatch)
    assert sum(judge.classify(LONG)["scores"].values()) == pytest.approx(1, abs=1e-4)
    assert found == [[len(judge.labels), 38]]
    with pytest.raises(
        UserError, match="judges.topic: a hypothesis takes 40 of the 38 tokens that .*shorten it"
    ):
        judged(folder, "topic", method="zero-shot", hypothesis="{} " + "text " * 39)


@pytest.mark.parametrize(
    ("task", "labels", "settings", "sizes"),
    [
        ("toxicity", {0: "toxicity", 1: "no"}, {}, [4, 2, 2, 1]),
        ("topic", {0: "entailment", 1: "no"}, {"method": "zero-shot"}, None),
    ],
)
def test_out_of_memory_halves_the_batch_and_changes_nothing(make, monkeypatch, task, labels, settings, sizes):
    folder, texts = make(labels), [*TEXTS, " ".join(TEXTS)]
    whole = judged(folder, task, **settings)
    judges.prepare(whole, texts)
    judge = judged(folder, task, batch_size=4, **settings)
    found, forward = [], judge.model.forward

    def small_gpu(**inputs):
        found.append(len(inputs["input_ids"]))
        if found[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(**inputs)

    monkeypatch.setattr(judge.model, "forward", small_gpu)
    with pytest.warns(UserWarning, match=f"^judges.{task}: out of memory with 4 rows; continuing with 2"):
        judges.prepare(judge, texts)
    # Later batches, too: it isn't tried again with more.
    assert found[0] == 4 and max(found[1:]) <= 2 and sizes in (None, found)
    for text in texts:
        assert judge.classify(text)["scores"] == pytest.approx(whole.classify(text)["scores"], abs=1e-4)

    def full_gpu(**_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(judge.model, "forward", full_gpu)
    with (
        pytest.raises(
            UserError,
            match=f"^judges.{task}: even one row doesn't fit .*; use a larger GPU or a lower max_tok",
        ),
        pytest.warns(UserWarning),
    ):
        judges.prepare(judge, ["good river", "bad river"])
