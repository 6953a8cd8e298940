"""The answer uses every one of the terms."""

from skillprobe.tasks.base import EVIDENCE_ITEMS, TermTask, Verdict, make_phrasings, shorten
from skillprobe.tasks.text import Folded


class TermInclusion(TermTask):
    name = "term_inclusion"
    options = ("min_count",)
    phrasings = make_phrasings(
        name,
        human=(
            "{request} Use {terms}{times}.",
            "{request} Include {terms}{times}.",
            "{request} The text must contain {terms}{times}.",
            "{request} Mention {terms}{times}.",
        ),
        human_negated=(
            "{request} Do not {leave_out}.",
            "{request} The text must not {leave_out}.",
        ),
        plm=(
            "Here is a text about {subject} that uses {terms}{times}:",
            "The following text about {subject} contains {terms}{times}:",
        ),
        entailment=(
            "{request} The following statement must be true of it: the text contains {terms}{times}.",
            "{request} A reader must be able to say that the text uses {terms}{times}.",
        ),
    )

    def check_params(self, params: dict) -> None:
        super().check_params(params)
        if "min_count" in params:
            self.check_count(params, "min_count", least=1)

    def describe(self, params: dict) -> dict[str, str]:
        fields = super().describe(params)
        n = params.get("min_count", 1)
        if n == 1:
            return {**fields, "times": "", "leave_out": f"leave out {fields['terms']}"}
        each = " each" if len(params["terms"]) > 1 else ""
        return {
            **fields,
            "times": f" at least {n} times{each}",
            "leave_out": f"use {fields['any_term']} fewer than {n} times",
        }

    def verify(self, text: str, params: dict, judge=None) -> Verdict:
        self.check_params(params)
        self.check_text(text)
        folded, match = Folded(text), params.get("match", "word")
        counts = {term: folded.count(term, match) for term in params["terms"]}
        missing = [term for term, count in counts.items() if count < params.get("min_count", 1)]
        evidence = {shorten(term): count for term, count in list(counts.items())[:EVIDENCE_ITEMS]}
        evidence = {"counts": evidence, "missing": [shorten(term) for term in missing[:EVIDENCE_ITEMS]]}
        return Verdict(not missing, evidence)


TASK = TermInclusion()
