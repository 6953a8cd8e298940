"""The methods page has the study's own numbers."""

import re
from pathlib import Path

import yaml
from made.pages import parse
from skillprobe.report import methods
from skillprobe.study.config import complete


def test_methods_have_the_studys_numbers():
    config = complete(yaml.safe_load(Path("config.yaml").read_text()), ".")
    page = methods.methods_page(config, "temperature 0.7, at most 99 tokens")
    text = " ".join(parse(page).text.split())
    assert "(2 without the constraint; temperature 0.7, at most 99 tokens)" in text
    assert (
        "80 content requests, the same for every task" in text and "INLP [arXiv 2004.07667] of rank 4" in text
    )
    assert "decided at 99 % by rules" in text and "rules version 2" in text
    assert "fitted anew on 200 draws" in text and "2,000 draws" in text
    assert "layers stratified 5" in text and "permuted in 200 ways" in text
    # The scopes are those of the rules.
    assert "within prompts, but across prompts for “satisfaction is monitored, not planned” and “the" in text
    assert "“the runtime monitor adds to what the text says”." in text
    assert "60 prompts with both outcomes, of 30 subjects, 8 in every test fold" in text
    assert "topic by lexicon" in text and "on 12 requests" in text
    assert "tasks whose V is above 0.02" in text and "deviations × 1.3" in text
    # All that is cited is listed, and all that is listed is cited.
    assert all(page.count(f"abs/{number}") >= 2 for number in methods.REFERENCES)
    assert not re.search(r"\[\d{4}\.\d{5}\]", page)
    assert "Monitors were acted on" not in text
    config["guard"]["bases"] = 12
    assert "Monitors were acted on with 12 requests" in methods.methods_page(config, "").replace("\n", " ")
    config["behaviour"]["bases"] = 0
    assert "No responses were generated under edits" in methods.methods_page(config, "")


def test_methods_of_given_activations_tell_of_no_generation():
    config = complete(yaml.safe_load(Path("config.yaml").read_text()), ".")
    for entry in config["models"]:
        entry["activations"] = f"acts/{entry['name']}"
    config["prompts"]["found"] = {"constrained": dict.fromkeys(config["tasks"], 7), "groups": 5}
    text = " ".join(parse(methods.methods_page(config, "temperature 0.7")).text.split())
    assert "7 of word count" in text and "of 5 subjects" in text and "temperature 0.7" not in text
    assert (
        "came with the activations" in text and "acts/toy-llama, acts/toy-gemma2 and acts/toy-qwen2" in text
    )
    assert "teacher-forced" not in text
