"""The answer uses none of the terms."""

from skillprobe.tasks.base import ENDINGS, EVIDENCE_ITEMS, TermTask, Verdict, make_phrasings, shorten
from skillprobe.tasks.text import Folded


class TermExclusion(TermTask):
    name = "term_exclusion"
    phrasings = make_phrasings(
        name,
        human=(
            "{request} Leave out {terms}.",
            "{request} Avoid {terms}.",
            "{request} Keep {terms} out of the text.",
            "{request} Write it without {any_term}.",
        ),
        human_negated=(
            "{request} Do not use {any_term}.",
            "{request} The text must not contain {any_term}.",
        ),
        plm=(
            "Here is a text about {subject} without {any_term}:",
            "The following text about {subject} leaves out {terms}:",
        ),
        entailment=(
            "{request} The following statement must be true of it: the text avoids {terms}.",
            "{request} A reader must be able to say that the text leaves out {terms}.",
        ),
    )

    def verify(self, text: str, params: dict, judge=None) -> Verdict:
        self.check_params(params)
        self.check_text(text)
        folded, match = Folded(text), params.get("match", "word")
        spans = ((term, folded.first(term, match)) for term in params["terms"])
        found = [{"term": shorten(term), "span": list(span)} for term, span in spans if span]
        return Verdict(not found, {"found": found[:EVIDENCE_ITEMS]})

    def is_lost(self, text: str, params: dict, judge=None) -> bool:
        return not any(self.verify(text + end, params).satisfied for end in ENDINGS)


TASK = TermExclusion()
