"""Marks of verdicts, and the grid of them."""

import itertools
import re

import pytest
from made.findings import made_findings
from made.pages import parse
from skillprobe.findings import rules
from skillprobe.report import verdicts


def luminance(colour):
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_verdicts_are_told_apart_without_colour():
    assert tuple(verdicts.LOOKS) == rules.VERDICTS
    for first, second in itertools.combinations(verdicts.LOOKS.values(), 2):
        assert (first.shape, first.sign) != (second.shape, second.sign)


@pytest.mark.parametrize("verdict", verdicts.LOOKS)
def test_signs_can_be_read_on_their_marks(verdict):
    look = verdicts.LOOKS[verdict]
    if look.sign:
        assert contrast(look.fill, look.ink) > 4.5
        # Of the other scope, the sign has the outline's colour, on white.
        assert contrast("#ffffff", look.edge) > 4.4


def test_the_grid_has_both_scopes_of_every_claim_and_model():
    models = ["<b>a", "b"]
    found = made_findings([*models, rules.POOLED])
    page = verdicts.verdict_grid(found, models)
    labels = [attrs["aria-label"] for tag, attrs in parse(page).tags if attrs.get("role") == "img"]
    assert len(labels) == 3 * len(rules.CLAIMS)
    for label, (claim, model) in zip(
        labels, itertools.product(rules.CLAIMS, [*models, rules.POOLED]), strict=True
    ):
        finding = found[model][claim]
        assert label.startswith(f"{model}, ")
        assert f": {finding['verdict']} {finding['scope']} prompts" in label
        other = finding["secondary"]
        assert ("secondary" in label) == (other is not None) == (len(rules.RULES[claim].scopes) > 1)
        assert other is None or f"secondary: {other['verdict']} {other['scope']} prompts" in label
    # Pictures of the legend stand beside their words.
    text = parse(page).text
    assert all(verdict in text for verdict in rules.VERDICTS) and page.count("aria-hidden") == 6
    assert "<b>a" in text


def test_the_headline_is_filled_and_larger_than_the_other_scope():
    large = verdicts.mark("supported", 14, 14, 11)
    small = verdicts.mark("supported", 36, 18, 6.5, filled=False)
    colour = verdicts.LOOKS["supported"].fill
    assert f'fill="{colour}" stroke' in large and 'fill="#ffffff" stroke' in small
    sizes = [float(re.search(r' r="([\d.]+)"', mark)[1]) for mark in (large, small)]
    assert sizes[0] > 1.5 * sizes[1]
