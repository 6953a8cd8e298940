"""Whether a model's answers are right in batches: found out by a few made-up tokens before it writes.

Transformers runs batches of every architecture, and gets some of them wrong without a word: those that keep a
state elsewhere than in the cache of keys lose it when rows leave the batch, or read the padding into it.
"""

import warnings
from collections.abc import Callable, Sequence

from skillprobe.errors import UserError, first_sentence
from skillprobe.models.drawing import check_numbers
from skillprobe.models.fast_import import fast_import
from skillprobe.models.loaded import LoadedModel
from skillprobe.models.writing import Job

with fast_import():
    import torch

# Rows of a rehearsal, of so many tokens at most. The first has its EOS after two tokens, the last after four,
# so that a batch of all shrinks twice, from either side.
_LENGTHS = (5, 16, 9)
TOKENS = (2, 6, 4)
# So far may the probabilities of the next token be from those of one pass over the text, as the mean over
# tokens of the total variation distance: what rounding does, in float32 and in halves of it.
_FAR = {torch.float32: 0.02}
_FAR_IN_HALF = 0.15
# Instead of a limit on the rows of a batch.
ANY = 2**31

Write = Callable[[LoadedModel, Job], None]


def rehearse(
    loaded: LoadedModel, prompt: Sequence[int], in_place: Write | None, by_transformers: Write
) -> tuple[bool, int]:
    """Whether this model's answers are right where they are written in place, and the most rows of a batch in
    which they are right: `ANY`, or 1 with a warning.

    prompt: token ids of a prompt, which texts are made of. A few tokens are written after three texts, in a
    batch that rows leave (in place: and another joins), and the probabilities on the way held to those of one
    pass over each. Where they are others, or the batch fails, the next way is tried: in_place (if it is
    given), by_transformers, and this one by one. Raises UserError where these are wrong too: answers wouldn't
    be those that the hidden states are of.
    """
    texts, planned = _plan(loaded, prompt)
    expected = [_one_pass(loaded, *each) for each in zip(texts, planned, strict=True)]
    if in_place and _wrong(loaded, texts, planned, expected, in_place, together=2) is None:
        return True, ANY
    why = _wrong(loaded, texts, planned, expected, by_transformers, together=3)
    if why is None:
        return False, ANY
    single = zip(texts, planned, expected, strict=True)
    alone = (_wrong(loaded, *([each] for each in row), by_transformers, together=1) for row in single)
    about = f"model '{loaded.name}' ({type(loaded.model).__name__})"
    if wrong := next(filter(None, alone), None):
        raise UserError(
            f"{about}: the answers that it writes are not right ({wrong}), so it can't be studied; choose "
            "another model, or try float32 or eager attention"
        )
    warnings.warn(
        f"{about}: its answers are wrong in a batch ({why}), so it writes them one by one, which takes "
        "longer",
        stacklevel=2,
    )
    return False, 1


def _plan(loaded: LoadedModel, prompt: Sequence[int]) -> tuple[list[list[int]], list[list[int]]]:
    """Texts of several lengths, and what is to be written after each, up to and with an EOS."""
    vocabulary = loaded.model.get_input_embeddings().weight.shape[0]
    plain = [token for token in prompt if token not in loaded.eos_ids]
    plain = plain or [next(token for token in range(vocabulary) if token not in loaded.eos_ids)]
    # Of which texts begin at several places.
    plain = list(prompt[:1]) + plain * (1 + max(_LENGTHS) // len(plain)) + plain
    texts = [plain[:1] + plain[1 + row :][: length - 1] for row, length in enumerate(_LENGTHS)]
    written = [plain[::-1][row:][: length - 1] for row, length in enumerate(TOKENS)]
    return texts, [[*tokens, loaded.eos_ids[0]] for tokens in written]


@torch.inference_mode()
def _one_pass(loaded: LoadedModel, text: list[int], written: list[int]) -> torch.Tensor:
    """Scores [token, vocabulary] of what is written."""
    ids = torch.tensor([text + written[:-1]], device=loaded.device)
    scores = loaded.model(input_ids=ids, use_cache=False).logits[0, len(text) - 1 :]
    return scores.float().cpu()


def _wrong(loaded, texts, planned, expected, write, together) -> str | None:
    """What is wrong with the scores of these texts, so many in a batch, if anything."""
    noted = [[] for _ in texts]

    def follow(rows, places, scores):
        """Each row writes what is planned, and its scores are noted."""
        check_numbers(loaded.name, scores)
        chosen = []
        for row, place, found in zip(rows, places, scores, strict=True):
            tokens = planned[row]
            # A row that is done may stay for a while.
            chosen.append(tokens[min(place, len(tokens) - 1)])
            if place < len(tokens):
                noted[row].append(found.float().cpu())
        return torch.tensor(chosen, device=scores.device)

    try:
        write(loaded, Job(texts, max(TOKENS), follow, together, lambda *_: None))
    except (UserError, torch.OutOfMemoryError):
        raise
    # Code of an architecture that nobody has run in this way can fail in any.
    except Exception as error:
        return f"{type(error).__name__}: {first_sentence(error)}"
    far = [
        (torch.stack(found).softmax(dim=-1) - right.softmax(dim=-1)).abs().sum(dim=-1).mean() / 2
        for found, right in zip(noted, expected, strict=True)
    ]
    worst = max(far).item()
    if worst <= _FAR.get(loaded.model.dtype, _FAR_IN_HALF):
        return None
    return f"probabilities of the next token differ by {worst:.0%} from those of one pass over the text"
