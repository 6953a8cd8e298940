"""The answer is JSON and nothing else."""

import random
from collections.abc import Sequence

from skillprobe.tasks import text as texts
from skillprobe.tasks.base import EVIDENCE_ITEMS, Task, Verdict, make_phrasings, quoted_list, shorten
from skillprobe.tasks.world import World


class JsonFormat(Task):
    name = "json_format"
    category = "structural"
    draws = ()
    phrasings = make_phrasings(
        name,
        human=(
            "{request} Answer in valid JSON{with_keys}.",
            "{request} Give your answer as JSON{with_keys}.",
            "{request} The answer must be valid JSON{with_keys}.",
            "{request} Format the text as JSON{with_keys}.",
        ),
        human_negated=(
            "{request} Do not write anything but valid JSON{with_keys}.",
            "{request} Do not answer in any format other than JSON{with_keys}.",
        ),
        plm=(
            "Here is JSON{with_keys} about {subject}:",
            "The following valid JSON{with_keys} is about {subject}:",
        ),
        entailment=(
            "{request} The following statement must be true of it: the text is valid JSON{with_keys}.",
            "{request} A reader must be able to say that the text is valid JSON{with_keys}.",
        ),
    )

    def sample_params(self, rng: random.Random, world: World) -> dict:
        if rng.random() < 0.5:
            return {}
        return {"keys": rng.sample(world.json_keys, min(rng.choice((1, 2)), len(world.json_keys)))}

    def check_params(self, params: dict) -> None:
        self.check_keys(params, optional=("keys",))
        if "keys" in params:
            self.check_texts(params, "keys")

    def describe(self, params: dict) -> dict[str, str]:
        self.check_params(params)
        keys = params.get("keys", [])
        if not keys:
            return {"with_keys": ""}
        return {"with_keys": f" with the {'key' if len(keys) == 1 else 'keys'} {quoted_list(keys)}"}

    def verify(self, text: str, params: dict, judge=None) -> Verdict:
        self.check_params(params)
        self.check_text(text)
        for start, end in texts.unfenced(text):
            try:
                kind, keys = texts.check_json(text[start:end])
                break
            except texts.JSONError as error:
                wrong = {"error": error.message, "offset": start + error.offset}
        else:
            return Verdict(False, wrong)
        missing = [shorten(key) for key in params.get("keys", []) if key not in keys]
        evidence = {"type": kind} | ({"missing_keys": missing[:EVIDENCE_ITEMS]} if missing else {})
        return Verdict(not missing, evidence)

    def is_lost(self, text: str, params: dict, judge=None) -> bool:
        begun = texts.begun(text)
        return bool(begun) and all(_is_lost(body, params.get("keys", ())) for body in begun)


def _is_lost(body: str, wanted: Sequence[str]) -> bool:
    try:
        _, keys = texts.check_json(body)
    except texts.JSONError as error:
        return not texts.may_become_json(body, error)
    # A whole value can only be followed by blanks, or by more digits.
    return any(key not in keys for key in wanted)


TASK = JsonFormat()
