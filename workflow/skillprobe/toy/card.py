"""The model card of a toy model: what it is, how it was made, how often it obeys."""

from collections.abc import Mapping, Sequence

CARD = """\
---
license: mit
language: en
tags: [skillprobe, toy]
---
# {name}

A toy chat model of skillprobe: the {family} architecture, {parameters:,} parameters, a word-level vocabulary
of {vocabulary:,} tokens. It speaks only the toy world's controlled language and is of no use outside of it.

**Data.** {examples:,} examples from the grammar in `workflow/skillprobe/toy/grammar.py` (about
{violated:.0%} of those with one instruction break it, so that there is something to probe), seed
{corpus_seed}. One pass; loss on the assistant's turns only.

**Follow-up turn.** {follow_up}

**Made by** `snakemake --cores 2 train_toy_models`, seed {seed}, one CPU thread, torch {torch}, transformers
{transformers}.

**Compliance** on its own answers at the default study's settings (temperature {temperature:g}, {bases} bases,
{samples} samples):

| task | compliance | without the instruction | truncated |
|---|---|---|---|
{rows}
"""
ASKED = 'Trained with "Did you follow the instruction?" and the true answer after each instructed example.'
NOT_ASKED = "None: this model was never asked whether it followed the instruction."


def write(
    name: str,
    facts: Mapping,
    settings: Mapping,
    training_rows: Sequence[dict],
    compliance: Mapping[str, Mapping],
) -> str:
    """The card as Markdown.

    facts: parameters, vocabulary, torch, transformers; settings: of the rule; compliance: by task, what
    `analyses.compliance.summarise` gives.
    """
    single = [row for row in training_rows if row["satisfied"] is not None]
    return CARD.format(
        name=name,
        family={"llama": "Llama", "gemma2": "Gemma 2", "qwen2": "Qwen 2"}[settings["training"]["family"]],
        examples=len(training_rows),
        violated=sum(not row["satisfied"] for row in single) / len(single),
        corpus_seed=settings["corpus"]["seed"],
        seed=settings["training"]["seed"],
        follow_up=ASKED if settings["training"]["follow_up"] else NOT_ASKED,
        temperature=settings["generation"]["temperature"],
        bases=settings["prompts"]["bases"],
        samples=settings["generation"]["samples"],
        rows="\n".join(
            f"| {task} | {row['compliance']:.0%} | {row['twin_compliance']:.0%} | {row['truncated']:.1%} |"
            for task, row in compliance.items()
        ),
        **facts,
    )
