"""Judges that are text classifiers: tiny random ones, of the test's own making."""

import copy
import json
from pathlib import Path

import pytest
import torch
import yaml
from conftest import make_tokenizer
from skillprobe import cli, tasks
from skillprobe.errors import UserError
from skillprobe.labels import judges
from skillprobe.labels.judges import get_judge
from skillprobe.labels.labelling import label_rows
from skillprobe.study.config import complete
from skillprobe.study.sources import judge_identity
from skillprobe.tasks.world import load_world

pytestmark = pytest.mark.gpu

WORLD = load_world("toy")
TEXTS = ["good", "bad river and a good teacher", "the blue garden was short", "text about it is bad ."]
SENTIMENTS = {0: "neg", 1: "pos"}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """A folder with a tiny random classifier of these labels.

    kind: its architecture; head: what it ends in; options: of its config, those that are ... are left out.
    """

    def of(labels, kind="Bert", head="ForSequenceClassification", **options):
        import transformers

        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("classifier")
        tokenizer = make_tokenizer(bos=False)
        settings = {
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 40,
            "pad_token_id": tokenizer.pad_token_id,
            "initializer_range": 1.0,
            "id2label": labels,
            "label2id": {name: number for number, name in labels.items()},
        }
        given = {key: value for key, value in (settings | options).items() if value is not ...}
        config = getattr(transformers, f"{kind}Config")(**given)
        getattr(transformers, f"{kind}{head}")(config).save_pretrained(folder)
        tokenizer.chat_template = None
        tokenizer.save_pretrained(folder)
        return str(folder)

    return of


def logits_of(judge, text, other=None):
    encoded = judge.tokenizer(*filter(None, (text, other)), return_tensors="pt").to(judge.model.device)
    with torch.no_grad():
        return judge.model(**encoded).logits[0].cpu()


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
        copy.deepcopy(judge)._verdict(judge._scores(["the end </s> and <pad> more </s>"])[0])["scores"],
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


def test_labels_of_a_task_are_judged_at_once(make, monkeypatch):
    judge = get_judge("transformers", "toxicity", WORLD, {"model": make({0: "toxicity", 1: "no"})})
    calls = []
    scores = judge._scores
    monkeypatch.setattr(judge, "_scores", lambda texts: calls.append(len(texts)) or scores(texts))
    item = {"item": "toxicity/b000/0", "base": "b000", "params": {}, "instruction_type": "human"}
    item |= {"polarity": "negated", "phrasing": "x"}
    responses = [
        {"id": f"{n}", "item": item["item"], "base": "b000", "variant": "constrained", "prompt": "p"}
        | {"response": text, "truncated": False, "token_ids": [1]}
        for n, text in enumerate(TEXTS)
    ]
    rows = label_rows(tasks.get("toxicity"), WORLD, [item], responses, judge, {"crossings": 0}, 0)
    assert calls == [len(TEXTS)] and [row["evidence"]["label"] for row in rows]
    judges.prepare(judges.get_judge("lexicon", "toxicity", WORLD), TEXTS)  # It need not be able to.


@pytest.mark.parametrize(
    ("task", "names", "settings", "message"),
    [
        ("sentiment", SENTIMENTS, {}, "no label of '.*' \\(neg, pos\\) stands for 'negative'; map one to it"),
        ("sentiment", SENTIMENTS, {"labels": {"neg": "negative"}}, "stands for 'positive'"),
        (
            "sentiment",
            SENTIMENTS,
            {"labels": {"nope": "negative"}},
            "'nope' is no label of '.*'; it has neg, pos",
        ),
        (
            "sentiment",
            SENTIMENTS,
            {"labels": {"neg": "sad"}},
            "'sad' is no label of the task; it has negative, ",
        ),
        ("toxicity", SENTIMENTS, {}, "stands for 'toxicity'"),
        ("topic", SENTIMENTS, {"method": "zero-shot"}, "a model of entailment, but the labels of"),
        ("toxicity", {0: "entailment", 1: "no"}, {"method": "zero-shot"}, "labels to choose from"),
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


def shipped(task, settings):
    config = yaml.safe_load(Path("config.yaml").read_text())
    config["judges"][task] = {"kind": "transformers", **settings}
    return config


def test_a_judge_of_the_config_is_filled_in_and_known_by_its_files(make, tmp_path):
    folder = make({0: "toxicity", 1: "no"})
    config = complete(shipped("toxicity", {"model": folder, "threshold": 0.3, "gpu": 1}), ".")
    judge = config["judges"]["toxicity"]
    assert judge["threshold"] == 0.3 and judge["method"] == "classification" and judge["batch_size"] == 32
    known = judge_identity(config, "toxicity", ".")
    assert len(known["sha256"]) == 64 and "gpu" not in known and "mem_mb" not in known
    assert judge_identity(config, "topic", ".") == "lexicon"
    assert judge_identity(config, "word_count", ".") is None
    made = judges.for_task(tasks.get("toxicity"), known, WORLD)
    assert made.threshold == 0.3 and judges.for_task(tasks.get("word_count"), None, WORLD) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "./nowhere"}, "judges.toxicity.model: there is no folder './nowhere'"),
        ({"model": "x", "treshold": 1}, "unknown key 'treshold'.*did you mean 'threshold'"),
        ({}, "judges.toxicity lacks the key 'model'"),
        ({"model": "x", "threshold": 2}, "judges.toxicity.threshold must be at most 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        complete(shipped("toxicity", settings), ".")


def test_a_model_that_cannot_be_loaded_is_named(make, tmp_path):
    folder = make({0: "toxicity", 1: "no"})
    with pytest.raises(UserError, match="judges.toxicity: '.*' can't be loaded"):
        get_judge("transformers", "toxicity", WORLD, {"model": str(tmp_path)})
    with pytest.raises(UserError, match="no setting 'size'; it has model"):
        get_judge("transformers", "toxicity", WORLD, {"model": folder, "size": 3})
    with pytest.raises(UserError, match="needs a model"):
        get_judge("transformers", "toxicity", WORLD)
    with pytest.raises(UserError, match="'word_count' needs no judge"):
        get_judge("transformers", "word_count", WORLD, {"model": folder})


def test_the_command_line_verifies_by_a_classifier(make, capsys, monkeypatch):
    import io
    import sys
    from types import SimpleNamespace

    folder = make({0: "toxicity", 1: "no"})
    lines = json.dumps({"params": {}, "response": TEXTS[0]}) + "\n"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines.encode())))
    arguments = ["verify", "--task", "toxicity", "--judge", "transformers"]
    assert cli.main([*arguments, "--judge-settings", json.dumps({"model": folder})]) == 0
    assert "toxicity" in json.loads(capsys.readouterr().out)["evidence"]["scores"]
    for settings in ("{", "[]"):
        assert cli.main([*arguments, "--judge-settings", settings]) == 2
        assert "--judge-settings" in capsys.readouterr().err


def rewrite(folder, file="config.json", **values):
    """Other values in a JSON file of the folder; those that are ... are taken out."""
    path = Path(folder) / file
    found = (json.loads(path.read_text()) if path.is_file() else {}) | values
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not ...}))


def judged(folder, task="toxicity", **settings):
    return get_judge("transformers", task, WORLD, {"model": str(folder)} | settings)


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
    with pytest.raises(UserError, match=f"judges.toxicity: .*architectures: .'{kind}{head}'.; choose one"):
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
    assert judged(folder).classify(TEXTS[0])["label"]


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
        UserError, match="^judges.toxicity: '.*' can't be loaded .*; see whether its files"
    ) as (caught):
        judged(folder)
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_judge_its_tokenizers_tokens_is_named(make):
    folder = make({0: "toxicity", 1: "no"}, vocab_size=5)
    with pytest.raises(
        UserError, match="^judges.toxicity: '.*' can't judge a text .IndexError: .*; see whether"
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
    with pytest.raises(UserError, match=f"^judges.{task}: '.*' gives scores that are not numbers; see"):
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
        assert judge.classify(LONG)["label"] and found == [[1, takes]]
    judge = judged(folder, max_tokens=12)
    found = widths(judge, monkeypatch)
    assert judge.classify(LONG)["label"] and found == [[1, 12]]
    # One more would be too many.
    with pytest.raises((RuntimeError, IndexError)):
        judge.model(input_ids=torch.full((1, takes + 1), 5), attention_mask=torch.ones(1, takes + 1))


def test_a_text_is_cut_to_what_the_tokenizer_says(make, monkeypatch):
    folder = make({0: "toxicity", 1: "no"})
    rewrite(folder, "tokenizer_config.json", model_max_length=20)
    judge = judged(folder)
    found = widths(judge, monkeypatch)
    assert judge.classify(LONG)["label"] and found == [[1, 20]]


def test_positions_without_end_are_no_limit(make, monkeypatch):
    judge = judged(
        make({0: "toxicity", 1: "no"}, "XLNet", max_position_embeddings=..., d_head=8), max_tokens=60
    )
    found = widths(judge, monkeypatch)
    assert judge.classify(LONG)["label"] and found == [[1, 60]]


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
    with pytest.warns(UserWarning, match=f"^judges.{task}: out of memory with 4 rows; going on with 2"):
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
            UserError, match=f"^judges.{task}: .* even one row; use a larger GPU or a lower max_tok"
        ),
        pytest.warns(UserWarning),
    ):
        judges.prepare(judge, ["good river", "bad river"])
