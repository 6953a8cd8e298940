"""Nothing that a model, a config or an answer brings along is run, and names stay inside their folder."""

import ast
import html
import json
import pickle
import re
import shutil
from pathlib import Path

import pytest
import yaml
from skillprobe.errors import UserError
from skillprobe.models.chat import chat_ids
from skillprobe.models.loading import load, load_outline
from skillprobe.report import examples
from skillprobe.study.config import complete

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for kind in ("*.py", "*.smk", "Snakefile")
    for path in [*(ROOT / "workflow").rglob(kind), *ROOT.glob(kind)]
]

# Modules, functions and arguments by which data become code.
MODULES = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
FUNCTIONS = {"eval", "exec", "os.system", "os.popen", "torch.load", "yaml.load", "pd.read_pickle"}
ARGUMENTS = {"allow_pickle", "shell", "trust_remote_code"}


def offences(text):
    """What of the above a Python source holds."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] if (node.module or "").split(".")[0] in MODULES else []
        elif isinstance(node, ast.Dict):
            # Arguments that are handed on.
            for key, value in zip(node.keys, node.values, strict=True):
                fixed = isinstance(value, ast.Constant) and value.value is False
                if isinstance(key, ast.Constant) and key.value in ARGUMENTS and not fixed:
                    found.append(key.value)
        elif isinstance(node, ast.Call):
            found += [name] if (name := ast.unparse(node.func)) in FUNCTIONS else []
            for argument in node.keywords:
                fixed = isinstance(argument.value, ast.Constant) and argument.value.value is False
                found += [argument.arg] if argument.arg in ARGUMENTS and not fixed else []
            if name.endswith(".from_pretrained") and re.search(r"AutoModelFor\w+\.from", name):
                given = {argument.arg: ast.unparse(argument.value) for argument in node.keywords}
                found += [] if given.get("use_safetensors") == "True" else [name]
    return found


def test_no_source_unpickles_or_evaluates():
    assert len(SOURCES) > 100
    found = {}
    for path in SOURCES:
        if path.suffix == ".py":
            found |= {path.name: names} if (names := offences(path.read_text())) else {}
        else:
            # Rules run scripts, no shell.
            assert not re.search(r"^\s+(shell|run):", path.read_text(), re.M), path
    # The config's own switch, which is off unless an entry turns it on, and that of `skillprobe monitor`.
    switched = {"loading.py": 2, "engines.py": 1, "answers.py": 1}
    assert found == {name: ["trust_remote_code"] * times for name, times in switched.items()}


@pytest.mark.parametrize(
    "text",
    [
        "import joblib",
        "from pickle import load",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "AutoModelForCausalLM.from_pretrained(source)",
        "AutoTokenizer.from_pretrained(source, trust_remote_code=True)",
        "exec(text)",
        'LLM(**{"trust_remote_code": True})',
    ],
)
def test_what_would_be_found(text):
    assert offences(text)


# Model folders


@pytest.fixture
def folder(model_folders, tmp_path, monkeypatch):
    """A copy of a good model folder; the working directory is the folder that it stands in."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(model_folders["llama"], tmp_path / "model")


def put(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


class Bomb:
    def __reduce__(self):
        return open, ("written", "w")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "pytorch_model-00001-of-00001.bin"])
def test_pickled_weights_are_not_opened(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match=r"no \*.safetensors file, and pickled weights .* are not read"):
        load({"name": "m", "source": str(folder)})
    assert not Path("written").exists()
    pickle.loads((folder / name).read_bytes()).close()
    assert Path("written").exists()


CODE = """
open("written", "w").close()
from transformers import LlamaConfig as OwnConfig, LlamaForCausalLM as Own
from transformers import PreTrainedTokenizerFast as OwnTokenizer
"""


def bring_code(folder, **config):
    (folder / "modeling_own.py").write_text(CODE)
    tokenizer = {"AutoTokenizer": ["modeling_own.OwnTokenizer", "modeling_own.OwnTokenizer"]}
    classes = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.Own"}
    put(folder / "config.json", auto_map=classes | tokenizer, **config)
    put(folder / "tokenizer_config.json", auto_map=tokenizer)


def test_code_beside_a_known_architecture_is_left_alone(folder):
    bring_code(folder)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate/generate.py").write_text(CODE)
    loaded = load({"name": "m", "source": str(folder)})
    assert type(loaded.model).__module__.startswith("transformers.models.llama.")
    assert chat_ids(loaded.tokenizer, "write") and not Path("written").exists()


@pytest.mark.parametrize("load", [load, load_outline])
def test_a_model_that_needs_its_code_is_refused(folder, load):
    bring_code(folder, model_type="own", architectures=["Own"])
    with pytest.raises(
        UserError, match="needs its own code, which is not run by default; .* trust_remote_code: true"
    ):
        load({"name": "m", "source": str(folder)})
    assert not Path("written").exists()


@pytest.mark.parametrize(
    "template",
    [
        "{{ cycler.__init__.__globals__.os.system('touch written') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages[",
    ],
)
def test_a_chat_template_runs_no_code(folder, template):
    (folder / "chat_template.jinja").write_text(template)
    loaded = load({"name": "m", "source": str(folder)})
    with pytest.raises(UserError, match="the chat template of .* can't be used: "):
        chat_ids(loaded.tokenizer, "write")
    assert not Path("written").exists()


# Names and texts

NASTY = [
    "../up",
    "a/b",
    "a b",
    "$(touch x)",
    "`touch x`",
    "a;touch x",
    "'a'",
    '"a"',
    "a\n",
    "-rf",
    "{task}",
    "~",
]


@pytest.mark.parametrize("name", NASTY)
def test_what_becomes_a_path_is_refused(name):
    good = yaml.safe_load((ROOT / "config.yaml").read_text())
    complete(good, ROOT)
    for key, value in (
        ("study", name),
        ("models", [good["models"][0] | {"name": name}]),
        ("tasks", [name]),
        ("judges", good["judges"] | {name: "lexicon"}),
    ):
        with pytest.raises(UserError, match=f"^{key}") as caught:
            complete(good | {key: value}, ROOT)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "`click <javascript:alert(1)>`_ |x|\n\n.. raw:: html\n\n   <b>raw</b>\n\n.. include:: /etc/passwd",
        "# title\n\n[click](javascript:alert(1)) ![x](http://localhost/x.png) **bold** <http://localhost>",
        "{{ snakemake.config }} {% include 'x' %} $\\input{x}$ ]]> </code></pre>",
    ],
)
def test_an_answer_is_shown_as_it_is_written(text):
    row = {"id": text, "variant": "constrained", "satisfied": True, "truncated": False, "prompt": text}
    row |= {"evidence": {text: text}, "response": text, "instruction_type": text, "polarity": text}
    settings = {"tasks": ["topic"], "models": ["m"], "seed": 0, "report": {"examples": 1}}
    page = examples.examples_page({("m", "topic"): [row]}, settings)
    empty = examples.examples_page({("m", "topic"): []}, settings)
    tags = set(re.findall(r"</?\w+", page))
    assert tags - set(re.findall(r"</?\w+", empty)) <= {
        *("<article", "</article", "<div", "</div", "<pre", "</pre", "<p", "</p", "<span", "</span"),
        *("<b", "</b", "<code", "</code", "<h3", "</h3"),
    }
    assert not re.search(r"<[^>]*(javascript:|onerror|src=|https?://localhost)", page)
    # As typed: nothing was taken for markup.
    assert text in html.unescape(re.sub(r"<[^>]+>", "", page))
