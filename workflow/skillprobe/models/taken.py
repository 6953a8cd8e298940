"""Answers that were given elsewhere, in a model's own tokens."""

from collections.abc import Mapping, Sequence

from skillprobe.errors import UserError
from skillprobe.models.chat import chat_ids, end_of_turn
from skillprobe.models.generation import Generated, completed, finish, requests
from skillprobe.models.loading import Outline, load_outline
from skillprobe.models.thoughts import after_thought
from skillprobe.prompts.answers import Answer
from skillprobe.storage.progress import progress
from skillprobe.tasks.base import shown


def take_task(
    entry: Mapping,
    items: Sequence[Mapping],
    answers: Mapping[tuple[str, str, int], Answer],
    settings: Mapping,
) -> list[dict]:
    """Rows of responses/<model>/<task>/<shard>.jsonl, as `engines.answer_task` writes them.

    entry: as for `loading.load`; answers: of `prompts.answers.assigned`; settings: "samples", "twin_samples".
    Raises UserError naming the first answer that the model's tokenizer can't give back, and how many.
    """
    rows, _ = requests(items, settings, seed=0)
    outline = load_outline(entry)
    made, refused = [], []
    with progress("answers", len(rows)) as advance:
        for row in rows:
            answer = answers[row["item"], row["variant"], row["sample"]]
            try:
                made.append(taken(outline, row["prompt"], answer))
            except UserError as error:
                refused.append(f"{answer.where}: {error}")
            advance(1)
    if refused:
        more = f" (and so are {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise UserError(f"model '{entry['name']}': {refused[0]}{more}")
    return completed(rows, made)


def taken(outline: Outline, prompt: str, answer: Answer) -> Generated:
    """The answer in tokens: its own, or those that the tokenizer makes of the text, with an EOS unless it is
    truncated. Raises UserError where these aren't the text, or the model can't read prompt and answer."""
    tokenizer, eos_ids = outline.tokenizer, outline.eos_ids
    ids = answer.token_ids
    given = ids is not None
    if not given:
        ids = tokenizer(answer.response, add_special_tokens=False)["input_ids"]
    if given and ids and max(ids) >= len(tokenizer):
        raise UserError(f"token {max(ids)} is none of the model's; leave token_ids out")
    ended = bool(ids) and ids[-1] in eos_ids
    if ended and answer.truncated:
        raise UserError("it is truncated, but its tokens end with an EOS; correct one")
    if any(token in eos_ids for token in ids[: len(ids) - ended]):
        raise UserError("it goes on after an EOS token; cut it there")
    if not ended and not answer.truncated:
        ids = [*ids, end_of_turn(tokenizer, eos_ids)]
    made = finish(tokenizer, eos_ids, list(ids))
    text = after_thought(answer.response)
    if not answer.truncated and (made.truncated or text is None):
        raise UserError(
            "it ends within its thought: give the response with its thought, up to the end, or mark it as "
            "truncated"
        )
    text = text or ""
    if made.text != text:
        place = next(
            (n for n, (a, b) in enumerate(zip(made.text, text, strict=False)) if a != b),
            min(len(made.text), len(text)),
        )
        whose = "its token_ids decode" if given else "the model's tokenizer takes it"
        advice = "correct them" if given else "give token_ids, or the text as the model writes it"
        raise UserError(
            f"{whose} to another text, from character {place} on ({shown(made.text[place:][:20])} and not "
            f"{shown(text[place:][:20])}); {advice}"
        )
    length = len(chat_ids(tokenizer, prompt)) + len(made.token_ids)
    if outline.positions and length > outline.positions:
        raise UserError(
            f"with its prompt it is {length} tokens long, but the model has a context window of "
            f"{outline.positions}; cut it short and mark it as truncated, or leave the prompt out"
        )
    return made
