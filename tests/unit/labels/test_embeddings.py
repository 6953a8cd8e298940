"""Sentence encoders as judges: their vectors, the nearest label, a head, and texts in batches."""

import json

import numpy as np
import pytest
import torch
from made.encoders import labelled_lines, make_encoder
from made.items import WORLD
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.labels import heads, judges
from skillprobe.labels.judges import get_judge

pytestmark = pytest.mark.gpu
TEXTS = ["good", "bad river and a good teacher", "the blue garden was short", "text about it is bad ."]
MEAN, CLS, MAX = ({f"pooling_mode_{name}": True} for name in ("mean_tokens", "cls_token", "max_tokens"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("encoders") / "mean")


def judge_of(folder, task="sentiment", **settings):
    return get_judge("embedding", task, WORLD, {"model": str(folder), **settings})


@pytest.mark.parametrize(
    ("said", "pooled"),
    [
        (MEAN, lambda states: states.mean(0)),
        (CLS, lambda states: states[0]),
        (MAX, lambda states: states.amax(0)),
    ],
)
def test_a_vector_is_of_a_text_alone_whatever_is_beside_it(tmp_path, said, pooled):
    judge = judge_of(make_encoder(tmp_path / "encoder", said))
    together = judge.vectors(TEXTS)
    assert np.allclose(np.linalg.norm(together, axis=1), 1)
    for text, vector in zip(TEXTS, together, strict=True):
        ids = judge.tokenizer(text, return_tensors="pt").to(judge.model.device)
        with torch.no_grad():
            expected = pooled(judge.model(**ids).last_hidden_state[0]).double().cpu()
        assert np.allclose(vector, expected / expected.norm(), atol=1e-5)


def test_the_nearest_hypothesis_gives_the_label(encoder):
    judge = judge_of(encoder)
    judges.prepare(judge, TEXTS)
    anchors = judge.vectors([f"This text is about {label}." for label in judge.labels])
    for text in TEXTS:
        cosines = (judge.vectors([text]) @ anchors.T)[0]
        found = judge.classify(text)
        assert list(found["scores"].values()) == pytest.approx(cosines.tolist(), abs=1e-5)
        assert found["label"] == judge.labels[int(np.argmax(cosines))] and "undecided" not in found
    # Another sentence gives other scores, and a margin leaves texts out.
    other = judge_of(encoder, hypothesis="It is {}", margin=1.0).classify(TEXTS[0])
    assert other["undecided"] and other["scores"] != judge.classify(TEXTS[0])["scores"]


def test_what_the_folder_says_of_texts_is_heeded(tmp_path):
    folder = make_encoder(tmp_path / "encoder")
    plain = judge_of(folder).vectors(["good river bad"])
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 1}')
    assert np.allclose(judge_of(folder).vectors(["good river bad"]), judge_of(folder).vectors(["good"]))
    (folder / "sentence_bert_config.json").unlink()
    prompts = {"prompts": {"q": "bad "}, "default_prompt_name": "q"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert not np.allclose(judge_of(folder).vectors(["good river bad"]), plain)
    assert np.allclose(judge_of(folder).vectors(["good river"]), make_plain(folder, "bad good river"))


def make_plain(folder, text):
    (folder / "config_sentence_transformers.json").unlink()
    return judge_of(folder).vectors([text])


def fitted(encoder, tmp_path, task="sentiment", labels=("positive", "negative"), **settings):
    path = tmp_path / "labelled.csv"
    path.write_text("\n".join(labelled_lines(labels=labels)))
    entry = {"kind": "embedding", "model": str(encoder), "labelled": str(path), **settings}
    known = tasks.get(task).labels_in(WORLD)
    texts = heads.read_labelled(task, path, known)
    vectors = judges.encoder_for(tasks.get(task), entry, WORLD).vectors(texts.texts)
    head = heads.fit(vectors, texts.labels, texts.groups, heads.names_of(texts, known))
    (tmp_path / "head.json").write_text(json.dumps({"head": head.as_json()}))
    return texts, judges.for_task(tasks.get(task), entry | {"head": str(tmp_path / "head.json")}, WORLD)


def test_a_head_gives_the_labels_of_texts_like_those_that_were_labelled(encoder, tmp_path):
    texts, judge = fitted(encoder, tmp_path)
    right = [
        judge.classify(text)["label"] == label for text, label in zip(texts.texts, texts.labels, strict=True)
    ]
    assert np.mean(right) > 0.9
    assert sum(judge.classify(texts.texts[0])["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_a_text_may_have_none_of_several_labels(encoder, tmp_path):
    texts, judge = fitted(encoder, tmp_path, labels=("positive", "negative", "none"))
    found = {label: judge.classify(text) for text, label in zip(texts.texts, texts.labels, strict=True)}
    assert list(found["none"]["scores"]) == ["negative", "positive", "none"]
    assert found["none"]["label"] is None and found["positive"]["label"] == "positive"
    verdict = tasks.get("sentiment").verify(
        texts.texts[texts.labels.index("none")],
        {"label": "positive", "labels": ["positive", "negative"]},
        judge,
    )
    assert not verdict.satisfied


def test_one_label_has_a_threshold(encoder, tmp_path):
    texts, judge = fitted(encoder, tmp_path, "toxicity", ("toxicity", "none"), threshold=0.3)
    assert judge.threshold == 0.3
    for text, label in zip(texts.texts[:6], texts.labels[:6], strict=True):
        found = tasks.get("toxicity").verify(text, {}, judge)
        assert list(found.evidence["scores"]) == ["toxicity"]
        assert found.satisfied == (found.evidence["scores"]["toxicity"] < 0.3) == (label == "none")


def test_what_a_judge_needs_is_said(encoder, tmp_path):
    with pytest.raises(UserError, match="is not fitted yet: run `snakemake judges`, and give"):
        judge_of(encoder, labelled="a.csv")
    with pytest.raises(UserError, match="judge 'embedding' has no setting 'method'; it has model, "):
        judge_of(encoder, method="zero-shot")
    with pytest.raises(UserError, match="judges.toxicity: the task toxicity has one label"):
        judge_of(encoder, "toxicity")
    with pytest.raises(UserError, match="the embedding judge of task 'topic' needs a model"):
        get_judge("embedding", "topic", WORLD)


def test_vectors_that_are_no_numbers_are_refused_before_anything_is_fitted_to_them(encoder):
    judge = judge_of(encoder)
    judge.model.embeddings.LayerNorm.weight[0] = torch.nan
    with pytest.raises(UserError, match="^judges.sentiment: '.*' returns NaN or infinite vectors; check its"):
        judge.vectors(TEXTS)
    with pytest.raises(UserError, match="^judges.sentiment: '.*' returns NaN or infinite vectors; check its"):
        judge.classify(TEXTS[0])


def test_a_classifier_or_a_damaged_folder_is_no_encoder(tmp_path):
    folder = make_encoder(tmp_path / "encoder")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="^judges.sentiment: '.*' can't be loaded"):
        judge_of(folder)
