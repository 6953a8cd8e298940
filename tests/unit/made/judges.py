"""Texts, and tiny random classifiers that judge them."""

import json
from pathlib import Path

import torch
import yaml
from skillprobe.labels.judges import get_judge

from made.items import WORLD
from made.models import make_tokenizer

TEXTS = ["good", "bad river and a good teacher", "the blue garden was short", "text about it is bad ."]
SENTIMENTS = {0: "neg", 1: "pos"}


def make_classifiers(tmp_path_factory):
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


def shipped(task, settings):
    config = yaml.safe_load(Path("config.yaml").read_text())
    config["judges"][task] = {"kind": "transformers", **settings}
    return config


def rewrite(folder, file="config.json", **values):
    """Other values in a JSON file of the folder; those that are ... are taken out."""
    path = Path(folder) / file
    found = (json.loads(path.read_text()) if path.is_file() else {}) | values
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not ...}))


def judged(folder, task="toxicity", **settings):
    return get_judge("transformers", task, WORLD, {"model": str(folder)} | settings)
