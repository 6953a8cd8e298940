"""What a study says of files that it doesn't use. (test_smoke.py holds the jobs against Snakemake's.)"""

import pytest
from made.configs import study
from skillprobe.storage import files
from skillprobe.study import plan, slices
from skillprobe.study.config import complete


def grown(root, bases, block, tasks=("word_count", "topic")):
    """A config, and the prompts of its blocks on disk."""
    config = complete(study(prompts__bases=bases, generation__block=block), root)
    for task in tasks:
        for number, (first, stop) in enumerate(slices.blocks(config)):
            rows = [{"base": f"b{base:03d}"} for base in range(first, stop)]
            files.write_jsonl(root / f"results/small/prompts/{task}/{number}.jsonl", rows)
    return config


def test_each_block_is_a_job(root):
    few, many = (complete(study(prompts__bases=bases, generation__block=40), root) for bases in (40, 81))
    one, three = plan.jobs(few, root), plan.jobs(many, root)
    blocked = ("make_prompts", "generate_responses", "label_responses", "extract_activations")
    blocked += ("extract_random_activations", "make_crossings", "extract_crossings")
    assert {rule for rule in one if one[rule] != three[rule]} == set(blocked)
    assert all(three[rule] == 3 * one[rule] for rule in blocked)


@pytest.mark.parametrize("bases, more", [(180, 0), (200, 0), (90, 90), (100, 80), (60, 120)])
def test_fewer_bases_than_there_are_get_one_sentence(root, bases, more):
    assert plan.surplus_warning(grown(root, 90, 90, tasks=()), root) is None
    grown(root, 180, 90)
    said = plan.surplus_warning(grown(root, bases, 90, tasks=()), root)
    if not more:
        assert said is None
    else:
        assert said.startswith(f"prompts.bases is {bases}, but results/small has files of {more} more, which")
        assert "\n" not in said
    # A file that can't be read is named by the job that reads it.
    (root / "results/small/prompts/topic/1.jsonl").write_text("{")
    assert plan.surplus_warning(grown(root, 90, 90, tasks=()), root).startswith("prompts.bases is 90")
