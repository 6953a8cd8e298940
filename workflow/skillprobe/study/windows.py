"""Do a model's prompts and its longest responses fit into its context window? Of models of this machine,
before any job; of others the job that loads them finds out."""

import re
from collections.abc import Mapping
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.models import folders, gguf_files
from skillprobe.study.sampling import generation_of, place
from skillprobe.study.slices import generated_models, model_entry
from skillprobe.study.sources import items_of, model_origin

_STATEMENTS = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.S)


def check_windows(config: Mapping, root: str | Path) -> None:
    """Raises UserError, naming the key, where a model of a completed config can't read a prompt and the
    longest response to it.

    The tokenizer, which takes seconds to load, is asked only where the prompts' bytes don't tell: no token is
    of less than one. Of a GGUF file, whose tokenizer is in no folder yet, the longest response alone is
    compared.
    """
    prompts: list[str] = []
    # The responses of others have been written already.
    for name in generated_models(config):
        entry = model_entry(config, name)
        origin = model_origin(entry["source"], root)
        if not isinstance(origin, Path):
            continue
        window = (folders if origin.is_dir() else gguf_files).window(origin)
        longest = generation_of(config, name, root)["max_new_tokens"]
        if not window:
            continue
        if origin.is_file():
            _compare(config, entry, window, 0 if longest < window else 1, longest)
            continue
        prompts = prompts or _prompts(config, root)
        # Statements of a template write nothing.
        around = _STATEMENTS.sub("", entry["prompt_format"] or folders.template(origin))
        if max(len(text.encode()) for text in (*prompts, "")) + len(around.encode()) + longest > window:
            _compare(config, entry, window, _tokens(entry, origin, prompts), longest)


def _compare(config: Mapping, entry: Mapping, window: int, prompt: int, longest: int) -> None:
    if prompt + longest <= window:
        return
    most = window - prompt
    change = f"lower it to at most {most}" if most > 0 else "choose another model"
    takes = f"a prompt takes {prompt} of them" if prompt > 1 else "a prompt takes some of them"
    raise UserError(
        f"{place(config, entry['name'], 'max_new_tokens')} is {longest}, but model '{entry['name']}' has a "
        f"context window of {window} tokens, and {takes}; {change}"
    )


def _prompts(config: Mapping, root: str | Path) -> list[str]:
    """All constrained prompts of the study, each once; those without the constraint are shorter."""
    items = (items_of(config, root, task) for task in config["tasks"])
    return list(dict.fromkeys(item["prompt"] for of_task in items for item in of_task))


def _tokens(entry: Mapping, folder: Path, prompts: list[str]) -> int:
    """Of the longest prompt, as the model reads it."""
    from skillprobe.models.chat import chat_ids
    from skillprobe.models.loading import load_tokenizer

    tokenizer = load_tokenizer({**entry, "source": str(folder)})
    return max((len(chat_ids(tokenizer, prompt)) for prompt in prompts), default=0)
