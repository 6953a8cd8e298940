"""What writes a study's own answers: transformers, as it does all else, or vLLM, on a GPU.

vLLM is no requirement; its interface: https://docs.vllm.ai/en/latest/api/vllm/entrypoints/llm/
"""

import functools
import os
from collections.abc import Mapping, Sequence

from skillprobe.errors import UserError, first_sentence
from skillprobe.models.chat import chat_ids
from skillprobe.models.devices import check_there, use_gpus
from skillprobe.models.generation import Generated, completed, finish, generate_task, requests
from skillprobe.models.loading import load, load_outline
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
    """As `generation.generate`, by vLLM on one GPU: the same tokens go in, and a seed for each row, but its
    random streams are its own. settings: "batch_size" is the most rows at once.

    Raises UserError if vLLM isn't there, can't load the model, or ends an answer early without an EOS.
    """
    if not prompts:
        return []
    name, most = entry["name"], settings["max_new_tokens"]
    outline = load_outline(entry)
    encode = functools.cache(functools.partial(chat_ids, outline.tokenizer))
    encoded = [encode(prompt) for prompt in prompts]
    use_gpus()
    check_there(f"model '{name}'", entry.get("gpu", 0))
    # In this process scheduling is deterministic, and another one might run the job's script once more.
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}
    try:
        import vllm
    except ImportError as error:
        raise UserError(
            f"generation.engine is vllm, which can't be imported ({first_sentence(error)}); install it where "
            "the jobs run, or set the key to transformers"
        ) from error
    try:
        llm = vllm.LLM(
            model=outline.path,
            revision=outline.revision,
            tokenizer_revision=outline.revision,
            dtype=outline.dtype,
            trust_remote_code=bool(entry.get("trust_remote_code", False)),
            load_format="safetensors",
            # Nor its sampling defaults from the model's folder.
            generation_config="vllm",
            tensor_parallel_size=1,
            gpu_memory_utilization=0.9,
            # Else it reserves memory for the longest text that the model could take.
            max_model_len=max(map(len, encoded)) + most,
            max_num_seqs=settings["batch_size"],
        )
    except (OSError, ValueError, ImportError) as error:
        message = " ".join(str(error).split())
        raise UserError(f"model '{name}': vLLM can't load it from '{outline.path}': {message}") from error
    with progress("answers", len(prompts)) as advance:
        outputs = llm.generate(
            [{"prompt_token_ids": ids} for ids in encoded],
            [
                vllm.SamplingParams(
                    temperature=settings["temperature"],
                    top_p=settings.get("top_p") or 1.0,
                    # -1 is off in all versions, 0 in the newer ones.
                    top_k=settings.get("top_k") or -1,
                    # It keeps seeds as signed integers of 64 bits.
                    seed=seed >> 1,
                    max_tokens=most,
                    stop_token_ids=list(outline.eos_ids),
                    detokenize=False,
                )
                for seed in seeds
            ],
            use_tqdm=False,
        )
        advance(len(prompts))
    made = [
        finish(outline.tokenizer, outline.eos_ids, list(output.outputs[0].token_ids)) for output in outputs
    ]
    for response in made:
        ended = response.token_ids and response.token_ids[-1] in outline.eos_ids
        if not ended and len(response.token_ids) < most:
            raise UserError(
                f"model '{name}': vLLM ended a response after {len(response.token_ids)} tokens without "
                "an EOS; set generation.engine to transformers"
            )
    return made
