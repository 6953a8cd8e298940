"""Surface baselines find what lies on the surface, nothing else, on the very rows that a probe sees."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from skillprobe.activations import shards
from skillprobe.errors import UserError
from skillprobe.probes.cross_validation import Settings
from skillprobe.probes.results import load, save
from skillprobe.probes.rows import read_rows
from skillprobe.probes.surface import NAMES, WITHOUT_TEXTS, features, surface_probes
from skillprobe.statistics.bootstrap import auroc_draws, draw_groups
from skillprobe.statistics.intervals import FIXED_PROBES, interval
from skillprobe.statistics.metrics import auroc

SETTINGS = Settings(penalties=(1e-3, 1e-2, 1e-1), fold_seeds=(0, 1))
BASES = [f"b{number:03d}" for number in range(50)]
NOISE = [f"noise{number}" for number in range(12)]


def label_row(
    number, group, satisfied, *, prompt, response, phrasing="t.0", variant="constrained", cut=False
):
    return {
        "id": f"t/{group}/{number}/{variant}/0",
        "item": f"t/{group}/{number}",
        "base": group,
        "group": group,
        "variant": variant,
        "satisfied": bool(satisfied),
        "truncated": cut,
        "params": {},
        "evidence": {},
        "prompt": prompt,
        "response": response,
        # Not one token a word, so that tokens are not words under another name.
        "token_ids": list(range(len(response) // 3)) + [1] * (not cut),
        "instruction_type": "instruction",
        "polarity": "positive",
        "phrasing": phrasing,
    }


def planted(decide, per_base=8):
    """Rows whose label is decide(prompt_mark, response_mark, template, words), all four independent.

    The marks are in {0, 1}, the template in {0, …, 3}; each group has every pair of marks equally often.
    """
    rng = np.random.default_rng(0)
    rows = []
    for group in BASES:
        for number in range(per_base):
            asked, answered, template = number % 2, number // 2 % 2, int(rng.integers(4))
            words = rng.choice(NOISE, rng.integers(5, 30)).tolist()
            rows.append(
                label_row(
                    number,
                    group,
                    decide(asked, answered, template, words),
                    prompt=" ".join(["Write", "BlueX" if asked else "REDx", *rng.choice(NOISE, 5)]) + "!",
                    response=" ".join([*words, "Gold." if answered else "lead."]),
                    phrasing=f"t.{template}",
                )
            )
    return rows


def aurocs(results):
    return {
        name: np.mean(
            [auroc(s, result.labels, f).value for s, f in zip(result.scores, result.folds, strict=True)]
        )
        for name, result in results.items()
    }


WORLDS = {
    "length": lambda asked, answered, template, words: len(words) >= 17,
    "template": lambda asked, answered, template, words: template % 2,
    "prompt_words": lambda asked, answered, template, words: asked,
    "response_words": lambda asked, answered, template, words: answered,
}


@pytest.mark.parametrize("planted_in", NAMES)
def test_what_decides_the_label_is_found_where_it_is(planted_in):
    results = surface_probes(planted(WORLDS[planted_in]), SETTINGS, study_groups=BASES)
    found = aurocs(results)
    assert tuple(found) == NAMES
    assert all(not result.status for result in results.values())
    assert found.pop(planted_in) > 0.9
    if planted_in == "length":
        found.pop("response_words")  # counts of all words add up to a length
    assert all(abs(value - 0.5) < 0.1 for value in found.values()), found


def test_an_xor_of_prompt_and_response_is_found_by_none():
    results = surface_probes(
        planted(lambda asked, answered, *_: asked ^ answered), SETTINGS, study_groups=BASES
    )
    draws = draw_groups(BASES, n_draws=500)
    for result in results.values():
        args = [(s, result.labels, f) for s, f in zip(result.scores, result.folds, strict=True)]
        drawn = np.mean([auroc_draws(s, y, result.groups, f, draws) for s, y, f in args], axis=0)
        found = interval([auroc(*arg).value for arg in args], drawn, level=0.99, factor=FIXED_PROBES)
        assert found.lower < 0.5 < found.upper
        assert abs(found.estimate - 0.5) < 0.1


def mixed():
    """A planted world with unconstrained rows and crossings; one in forty constrained ones is cut short."""
    rows = planted(WORLDS["response_words"])
    for number, row in enumerate(rows):
        row["truncated"] = number % 40 == 7
    for variant in ("unconstrained", "counterfactual"):
        rows[40:40] = [
            row | {"id": f"{row['item']}/{variant}/0", "variant": variant, "truncated": row["base"] < "b020"}
            for row in rows
            if row["variant"] == "constrained"
        ]
    return rows


def write_shard(path, rows):
    rows = sorted(
        rows, key=lambda row: ("constrained", "counterfactual", "unconstrained").index(row["variant"])
    )
    samples = {name: [row[name] for row in rows] for name in shards.SAMPLE_FIELDS.keys() & rows[0].keys()}
    samples["label"] = [row["satisfied"] for row in rows]
    samples["response_length"] = [len(row["token_ids"]) for row in rows]
    valid = ~np.array(samples["truncated"])[None]
    with shards.create(
        path,
        samples=samples,
        positions=["eos"],
        valid=valid,
        num_layers=1,
        hidden_size=2,
        dtype="float32",
        attributes={},
    ) as writer:
        for layer in range(2):
            writer.write(layer, 0, [(slice(None), np.zeros((1, len(rows), 2), np.float32))])


def test_rows_are_those_of_the_specialist(tmp_path):
    rows = mixed()
    half = len(rows) // 2
    paths = [tmp_path / "0.h5", tmp_path / "1.h5"]
    for path, part in zip(paths, (rows[:half], rows[half:]), strict=True):
        write_shard(path, part)
    expected = read_rows(paths, 0, "eos")
    assert 0 < len(expected.ids) < len(rows) / 2
    for result in surface_probes(rows, SETTINGS, study_groups=BASES).values():
        np.testing.assert_array_equal(result.ids, expected.ids)
        np.testing.assert_array_equal(result.groups, expected.groups)
        np.testing.assert_array_equal(result.labels, expected.y)


def test_truncated_rows_are_left_out_and_counted():
    rows = mixed()
    result = surface_probes(rows, SETTINGS, study_groups=BASES)["length"]
    assert result.status == "" and len(result.ids) == 390
    # Ten in 400, of the constrained only: of the other variants, two in five are cut.
    strict = surface_probes(rows, replace(SETTINGS, max_truncated=0.02), study_groups=BASES)
    assert all("2.5% of the responses are truncated" in result.status for result in strict.values())


def test_the_truncated_fraction_is_exactly_that_of_the_shards(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("skillprobe.probes.surface.specialist", lambda *_, **options: given.append(options))
    for n_cut in range(0, 60, 7):
        rows = planted(WORLDS["length"], per_base=2)[:97]
        for row in rows[:n_cut]:
            row["truncated"] = True
        write_shard(tmp_path / "0.h5", rows)
        surface_probes(rows, SETTINGS, study_groups=BASES)
        assert given[-1]["truncated_fraction"] == read_rows([tmp_path / "0.h5"], 0, "eos").truncated


def test_the_order_of_the_rows_changes_nothing():
    rows = mixed()
    shuffled = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    first, second = (surface_probes(each, SETTINGS, study_groups=BASES) for each in (rows, shuffled))
    for name in NAMES:
        a, b = first[name], second[name]
        assert list(a.ids) != list(b.ids)
        by_id = [np.argsort(result.ids) for result in (a, b)]
        np.testing.assert_array_equal(a.ids[by_id[0]], b.ids[by_id[1]])
        np.testing.assert_array_equal(a.chosen_c, b.chosen_c)
        np.testing.assert_allclose(a.scores[:, by_id[0]], b.scores[:, by_id[1]], atol=1e-5)


def test_features_are_what_they_say_and_do_not_see_labels():
    rows = [
        label_row(0, "b000", 1, prompt="Say it, say it", response="Don't stop", phrasing="t.b"),
        label_row(1, "b001", 0, prompt="Say no", response="", phrasing="t.a"),
        label_row(2, "b002", 0, prompt="say", response="DON'T go", phrasing="t.b"),
    ]
    found = features(rows)
    assert tuple(found) == NAMES
    assert all(x.dtype == np.float32 and x.ndim == 2 for x in found.values())
    np.testing.assert_allclose(np.expm1(found["length"]), [[4, 2, 10], [1, 0, 0], [3, 2, 8]], rtol=1e-5)
    np.testing.assert_array_equal(found["template"], [[0, 1], [1, 0], [0, 1]])
    # "it" occurs twice but in one row, so it goes; so do "no", "stop" and "go".
    np.testing.assert_allclose(np.expm1(found["prompt_words"]), [[2], [1], [1]], rtol=1e-5)
    np.testing.assert_allclose(np.expm1(found["response_words"]), [[1], [0], [1]], rtol=1e-5)
    unlabelled = [{key: value for key, value in row.items() if key != "satisfied"} for row in rows]
    for name, x in features(unlabelled).items():
        np.testing.assert_array_equal(x, found[name])


def test_unicode_words_and_empty_responses():
    rows = planted(WORLDS["response_words"])
    for number, row in enumerate(rows):
        row["response"] = ("МИР 世界", "Straße! नमस्ते")[number // 3 % 2] if row["satisfied"] else ""
    results = surface_probes(rows, SETTINGS, study_groups=BASES)
    assert aurocs(results)["response_words"] > 0.9
    assert all(np.isfinite(x).all() for x in features(rows).values())


def test_constant_features_give_constant_scores():
    rows = planted(WORLDS["response_words"])
    for number, row in enumerate(rows):
        row |= {"phrasing": "t.0", "prompt": f"only{number}", "response": "same words", "token_ids": [5, 1]}
    assert features(rows)["prompt_words"].shape == (len(rows), 1)
    for result in surface_probes(rows, SETTINGS, study_groups=BASES).values():
        assert result.status == ""
        for scores, folds in zip(result.scores, result.folds, strict=True):
            found = auroc(scores, result.labels, folds)
            assert found.constant and found.value == 0.5


def test_results_are_stored_and_have_no_shuffles(tmp_path):
    rows = planted(WORLDS["length"])
    results = surface_probes(rows, SETTINGS, study_groups=BASES)
    save(tmp_path / "surface.h5", results)
    stored = load(tmp_path / "surface.h5")
    assert tuple(stored) == NAMES
    for name, result in results.items():
        assert not result.shuffled_scores.size
        np.testing.assert_array_equal(stored[name].scores, result.scores)


@pytest.mark.parametrize("kept", [0, 7])
def test_too_few_rows_say_so(kept):
    for result in surface_probes(planted(WORLDS["length"])[:kept], SETTINGS, study_groups=BASES).values():
        assert result.status and len(result.ids) == kept


def test_texts_that_only_some_rows_have_are_no_baseline():
    """Else it would be found which rows have them: here those that satisfied."""
    rows = planted(WORLDS["length"])
    for row in rows:
        row |= {"prompt": "", "response": "", "token_ids": []} if not row["satisfied"] else {}
    for result in surface_probes(rows, SETTINGS, study_groups=BASES).values():
        assert result.status == WITHOUT_TEXTS and np.isnan(result.scores).all()


def test_folds_are_those_of_the_study():
    rows = planted(WORLDS["length"])[:320]
    result = surface_probes(rows, SETTINGS, study_groups=BASES)["length"]
    table = SETTINGS.folds(BASES)[0]
    np.testing.assert_array_equal(result.folds[0], [table[group] for group in result.groups])
    with pytest.raises(UserError, match="not among the study's groups"):
        surface_probes(rows, SETTINGS, study_groups=BASES[:10])


def test_imports_nothing_heavy():
    heavy = {"torch", "sklearn", "scipy", "pandas"}
    code = f"import sys, skillprobe.probes.surface; print({heavy} & set(sys.modules))"
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == "set()"
