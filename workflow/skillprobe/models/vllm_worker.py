"""What runs in the Python that has vLLM, which may lack skillprobe and all else that it needs.

    python vllm_worker.py ASKED ANSWERED

`engines.vllm_generate` starts it as a program of its own. It reads the file ASKED and writes ANSWERED, both
JSON, as `answer` has them; what vLLM says goes to its output. It imports nothing of skillprobe.
"""

import json
import logging
import os
import sys
import threading
import traceback


def answer(asked: dict) -> dict:
    """What vLLM generates. asked: "options" of vllm.LLM, "prompts" (token ids each), "sampling" (options of
    vllm.SamplingParams that are alike for all), "seeds" (one a prompt).

    Returns "version" (vLLM's), "device" (its platform's), "prompts" (the token ids that were read) and
    "responses" (those generated, with the end token). If vLLM fails, only "failed" ("import", "load" or
    "generate") and "why", and the trace is printed.
    """
    step = "import"
    try:
        import vllm
        from vllm.platforms import current_platform

        # Without a tokenizer it warns, with a trace, that it can't try the chat template. (It resets levels.)
        renderer = logging.getLogger("vllm.renderers.base")
        renderer.addFilter(lambda record: record.levelno >= logging.ERROR)
        step, options = "load", dict(asked["options"])
        if current_platform.is_cpu():
            # A compiler may be missing there, and compiling takes longer than many a job.
            options["enforce_eager"] = True
            # Else its share of the memory is of the whole machine's, whoever else is using it. In GiB.
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
        model = vllm.LLM(**options)
        step = "generate"
        params = [vllm.SamplingParams(seed=seed, **asked["sampling"]) for seed in asked["seeds"]]
        prompts = [{"prompt_token_ids": ids} for ids in asked["prompts"]]
        outputs = model.generate(prompts, params, use_tqdm=False)
    except Exception as error:
        traceback.print_exc()
        return {"failed": step, "why": " ".join(str(error).split()) or type(error).__name__}
    return {
        "version": vllm.__version__,
        "device": current_platform.device_type,
        "prompts": [list(output.prompt_token_ids) for output in outputs],
        "responses": [list(output.outputs[0].token_ids) for output in outputs],
    }


def _end_with_parent() -> None:
    """Ends the process, which may hold a GPU, when whoever started it has ended, however."""
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    # Python puts this file's folder first, unless PYTHONSAFEPATH is set; modules there have names such as
    # `hub` and `packages`.
    own = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) != own]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with open(sys.argv[1], encoding="utf-8") as file:
        asked = json.load(file)
    answered = answer(asked)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(answered, file)
    # vLLM's threads and processes may take long to end, or not end at all.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
