"""What writes a study's own answers: transformers, as it does all else, or vLLM.

vLLM is no requirement, and needs other versions of what is one. So it runs as a program of its own, in the
Python that has it (`vllm_worker`). Its interface: https://docs.vllm.ai/en/latest/api/vllm/entrypoints/llm/
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from skillprobe.errors import UserError
from skillprobe.models import vllm_worker
from skillprobe.models.chat import chat_ids
from skillprobe.models.devices import check_there, use_gpus
from skillprobe.models.generation import Generated, completed, finish, generate_task, requests
from skillprobe.models.loading import Outline, load, load_outline
from skillprobe.storage.progress import progress


def answer_task(entry: Mapping, items: Sequence[Mapping], settings: Mapping, seed: int) -> list[dict]:
    """Rows of responses/<model>/<task>/<shard>.jsonl, written by settings["engine"].

    entry: as for `loading.load`; items, settings, seed: as for `generation.generate_task`.
    """
    if settings["engine"] == "transformers":
        return generate_task(load(entry), items, settings, seed)
    rows, seeds = requests(items, settings, seed)
    return completed(rows, vllm_generate(entry, [row["prompt"] for row in rows], seeds, settings))


def vllm_generate(
    entry: Mapping, prompts: Sequence[str], seeds: Sequence[int], settings: Mapping
) -> list[Generated]:
    """As `generation.generate`, by vLLM on one GPU or on the CPU: the same tokens go in, and a seed for each
    row, but its random streams are its own. settings: "batch_size" is the most rows at once; "vllm_python" is
    the Python that has vLLM (None or absent: this one).

    Raises UserError if vLLM isn't there, can't load the model, reads other tokens, or ends an answer early
    without an EOS.
    """
    if not prompts:
        return []
    name, most = entry["name"], settings["max_new_tokens"]
    outline = load_outline(entry)
    encode = functools.cache(functools.partial(chat_ids, outline.tokenizer))
    encoded = [encode(prompt) for prompt in prompts]
    use_gpus()
    check_there(f"model '{name}'", entry.get("gpu", 0))
    asked = {
        "options": {
            "model": outline.path,
            "revision": outline.revision,
            "tokenizer_revision": outline.revision,
            # Only tokens go in and come out.
            "skip_tokenizer_init": True,
            "dtype": outline.dtype,
            "trust_remote_code": bool(entry.get("trust_remote_code", False)),
            "load_format": "safetensors",
            # Nor its sampling defaults from the model's folder.
            "generation_config": "vllm",
            "tensor_parallel_size": 1,
            "gpu_memory_utilization": 0.9,
            # Else it reserves memory for the longest text that the model could take.
            "max_model_len": max(map(len, encoded)) + most,
            "max_num_seqs": settings["batch_size"],
        },
        "prompts": encoded,
        "sampling": {
            "temperature": settings["temperature"],
            "top_p": settings.get("top_p") or 1.0,
            # -1 is off in all versions, 0 in the newer ones.
            "top_k": settings.get("top_k") or -1,
            "max_tokens": most,
            # These, and no others that it finds in the folder.
            "stop_token_ids": list(outline.eos_ids),
            "ignore_eos": True,
            "detokenize": False,
        },
        # It keeps seeds as signed integers of 64 bits.
        "seeds": [seed >> 1 for seed in seeds],
    }
    with progress("answers", len(prompts)) as advance:
        answered = _in_vllm(settings.get("vllm_python") or sys.executable, asked)
        advance(len(prompts))
    if "failed" in answered:
        raise _failed(name, outline, answered)
    print(f"vLLM {answered['version']} on {answered['device']}", file=sys.stderr)
    if answered["prompts"] != encoded:
        raise UserError(
            f"model '{name}': vLLM read other tokens than it was given; set generation.engine to transformers"
        )
    made = [finish(outline.tokenizer, outline.eos_ids, ids) for ids in answered["responses"]]
    for response in made:
        ended = response.token_ids and response.token_ids[-1] in outline.eos_ids
        if not ended and len(response.token_ids) < most:
            raise UserError(
                f"model '{name}': vLLM ended a response after {len(response.token_ids)} tokens without "
                "an EOS; set generation.engine to transformers"
            )
    return made


def _in_vllm(python: str, asked: Mapping) -> dict:
    """What `vllm_worker.answer` returns in that Python; what it says goes to standard error. A worker that
    ends without an answer, killed for example, has "failed" to "end"."""
    # In one process scheduling is deterministic, and another one might run the job's script once more.
    more = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}
    if Path(asked["options"]["model"]).is_dir() and not asked["options"]["trust_remote_code"]:
        more["HF_HUB_OFFLINE"] = "1"
    with TemporaryDirectory(prefix="skillprobe-") as folder:
        source, target = Path(folder, "asked.json"), Path(folder, "answered.json")
        source.write_text(json.dumps(asked), encoding="utf-8")
        try:
            worker = subprocess.Popen(
                [python, vllm_worker.__file__, source, target],
                env=os.environ | more,
                # Never written to: the worker ends when it is closed.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            return {"failed": "import", "why": f"{python}: {os.strerror(error.errno)}"}
        with worker:
            try:
                for line in worker.stdout:
                    print(line, end="", file=sys.stderr)
                code = worker.wait()
            finally:
                worker.kill()
        if not target.is_file():
            return {"failed": "end", "why": f"signal {-code}" if code < 0 else f"exit code {code}"}
        return json.loads(target.read_text(encoding="utf-8"))


def _failed(name: str, outline: Outline, answered: Mapping) -> UserError:
    why = answered["why"]
    if answered["failed"] == "import":
        return UserError(
            f"generation.engine is vllm, which can't be imported ({why}); give the Python of an environment "
            "that has it as generation.vllm_python (docs/models.md), or set generation.engine to transformers"
        )
    if answered["failed"] == "load":
        return UserError(f"model '{name}': vLLM can't load it from '{outline.path}': {why}")
    if answered["failed"] == "generate":
        return UserError(
            f"model '{name}': vLLM failed while it generated: {why}; the job's log has more. If that doesn't "
            "help, set generation.engine to transformers"
        )
    return UserError(
        f"model '{name}': vLLM was ended ({why}), for want of memory perhaps; the job's log has more. "
        "Lower generation.batch_size, give the job more memory (mem_mb), or set generation.engine to "
        "transformers"
    )
