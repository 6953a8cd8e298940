"""A small good config, and what is refused of others."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from skillprobe.errors import UserError
from skillprobe.study.config import complete

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())


def make_folder(path, layers=4, world="toy", template="{{ messages }}"):
    """A model's folder as far as planning looks into it."""
    path.mkdir(parents=True)
    settings = {"model_type": "llama", "num_hidden_layers": layers}
    (path / "config.json").write_text(json.dumps(settings | ({"skillprobe_world": world} if world else {})))
    save_file({"weight": np.zeros(2, np.float32)}, path / "model.safetensors")
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template} if template else {}))
    return path


def study(**changes):
    """A small good config; keys such as generation__samples change it, None under a key removes it."""
    config = {
        "study": "small",
        "models": [{"name": "a", "source": "models/a"}],
        "tasks": ["word_count", "topic"],
        "judges": {"topic": "lexicon"},
    }
    for path, value in changes.items():
        *above, key = path.split("__")
        inner = config
        for part in above:
            inner = inner.setdefault(part, {})
        inner[key] = value
    return config


def a_model(**changes):
    return [{"name": "a", "source": "models/a"} | changes]


def refused(root, match, **changes):
    with pytest.raises(UserError) as caught:
        complete(study(**changes), root)
    message = str(caught.value)
    assert re.search(match, message), message
    assert "\n" not in message
