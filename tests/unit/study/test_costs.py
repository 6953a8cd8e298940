"""The time of a study: from benchmarks where there are some, from the page of costs where there are none."""

import json
import os
import re

import pytest
from made.configs import ROOT, a_model, make_folder, study
from skillprobe.study import costs, plan, slices
from skillprobe.study.config import complete
from skillprobe.study.reading import merged, read_config


def ran(root, name, times, config=None):
    """Benchmarks of a study; times: {path below benchmarks/: seconds}; config: of a study that is done."""
    for path, seconds in times.items():
        file = root / f"results/{name}/benchmarks/{path}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t-\n")
    if config:
        file = root / f"results/{name}/report/config.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(config))
    return root


def known(root, **changes):
    """A config, its numbers of jobs, and what is known of their times on this machine."""
    config = complete(study(**changes), root)
    counts = plan.jobs(config, root)
    return config, counts, costs.measured(config, counts, root)


def test_the_page_of_costs_has_the_numbers_of_the_code():
    rows = re.findall(r"^\| (`.+?) \| .+? \| (.+?) \| .+? \|$", (ROOT / "docs/costs.md").read_text(), re.M)
    page = {}
    for names, times in rows:
        rules, seconds = re.findall(r"`(\w+)`", names), re.findall(r"([\d.]+) s", times)
        if len(rules) == len(seconds):
            page |= dict(zip(rules, map(float, seconds), strict=True))
    in_code = costs.PER_JOB | costs.PER_LAYER
    assert {rule: page.get(rule) for rule in in_code} == in_code
    text = " ".join((ROOT / "docs/costs.md").read_text().split())
    assert f"nine tasks of {costs.MEASURED_RESPONSES} responses" in text
    assert (
        f"`fit_course`, {['no', 'one', 'two', 'three', 'four', 'five'][costs.COURSE_POSITIONS]} pos" in text
    )


def test_the_rules_are_rules_of_a_study(root):
    # With a stage that is off by default.
    counts = plan.jobs(complete(study(guard__bases=9), root), root)
    (root / "given").mkdir()
    (root / "given/all.jsonl").write_text("")
    counts |= plan.jobs(complete(study(models=a_model(answers="given")), root), root)
    assert not costs.PER_JOB.keys() & costs.PER_LAYER.keys()
    assert (
        costs.PER_JOB.keys() | costs.PER_LAYER.keys() | {*costs.OF_A_MODEL, *costs.OF_A_BLOCK}
        <= counts.keys()
    )


def test_without_benchmarks_times_are_those_of_the_page(root):
    config, counts, here = known(root, prompts__bases=75)
    assert here == {}
    # 600 responses, two tasks, one model of five layers, ten positions.
    times = costs.documented(config, counts)
    assert times["fit_specialist_probe"] == pytest.approx(4.1 * 10)
    assert times["fit_general_probe"] == pytest.approx(296 * 5)
    assert times["fit_course"] == pytest.approx(36 * 5 * 2)
    # At layers 0 and 4 of both tasks; at one layer in two scopes.
    assert times["fit_random_probes"] == pytest.approx(4) and times["refit_probes"] == pytest.approx(246)
    assert times["compare_similarity"] == pytest.approx(4.8 * 5)
    # Twice the responses take twice the time, and fewer layers less.
    more, counts, _ = known(root, prompts__bases=75, generation__samples=8, ablation__layers=[0.75])
    larger = costs.documented(more, counts)
    assert larger["fit_general_probe"] == pytest.approx(2 * 296 * 5)
    assert larger["ablate_activations"] == pytest.approx(2 * 197)
    assert larger["compare_ablation"] == pytest.approx(2 * 12.5)
    # What a study leaves out takes no time.
    left_out = {"activations__positions": ["eos"], "controls__random_weights": False}
    config, counts, _ = known(root, **left_out)
    assert not {"fit_course", "compare_time", "fit_random_probes"} & costs.documented(config, counts).keys()
    lines = "\n".join(costs.describe(config, counts, root))
    assert "by docs/costs.md (" in lines and "by the benchmarks" not in lines
    assert "not known until these models have run here: generate_responses, extract_activations" in lines


def test_benchmarks_of_the_study_itself_come_first(root):
    ran(root, "small", {"generate_responses/a/topic/0": 10, "generate_responses/a/word_count/0": 20})
    ran(root, "small", {"write_findings": 3, "fit_general_probe/a/0": 2, "fit_general_probe/a/1": 4})
    # One that was cut short, and one of a model that was taken out.
    (root / "results/small/benchmarks/write_overview.tsv").write_text("s\th:m:s\n")
    ran(root, "small", {"extract_activations/gone/topic/0": 500})
    config, counts, here = known(root)
    assert here == {
        "generate_responses": (30.0, "small"),
        "write_findings": (3.0, "small"),
        "fit_general_probe": (15.0, "small"),
    }
    head, own, book, unknown = costs.describe(config, counts, root)
    assert own == "  48 s by the benchmarks of results/small (3 rules)"
    assert "fit_general_probe" not in book and "(14 rules, at d = 4096" in book
    assert "generate_responses" not in unknown and "extract_activations" in unknown
    jobs = int(re.search(r"for (\d+) of", head)[1])
    assert head.endswith(f" of {sum(counts.values())} jobs:")
    rest = costs.documented(config, counts).keys() | here.keys()
    assert jobs == sum(counts[rule] for rule in rest)


def test_other_studies_are_scaled_and_those_of_other_models_say_nothing_of_a_models_jobs(root):
    make_folder(root / "models/b")
    before = complete(study(study="before", prompts__bases=45), root)
    times = {"generate_responses/a/topic/0": 10, "fit_general_probe/a/0": 2, "label_responses/a/topic/0": 1}
    ran(root, "before", times, before)
    # The same block of 90, which is full now: one job of twice the responses, and the same for each layer.
    _, counts, here = known(root, prompts__bases=90)
    assert counts["generate_responses"] == 2 and here["generate_responses"] == (40.0, "before")
    assert here["fit_general_probe"] == (20.0, "before") and here["label_responses"] == (4.0, "before")
    # Two blocks of 45 are two jobs as they were.
    _, counts, here = known(root, prompts__bases=90, generation__block=45)
    assert counts["generate_responses"] == 4 and here["generate_responses"] == (40.0, "before")
    # Another model has other times; what reads its activations is much the same.
    _, _, here = known(root, prompts__bases=90, models=a_model(name="a", source="models/b"))
    assert "generate_responses" not in here and here["fit_general_probe"] == (20.0, "before")
    # The same model by another name.
    config, counts, here = known(root, prompts__bases=45, models=a_model(name="renamed"))
    assert here["generate_responses"] == (20.0, "before")
    assert (
        "by the benchmarks of results/before (3 rules, by number of responses)"
        in costs.describe(config, counts, root)[1]
    )


def test_the_pilot_says_how_long_the_study_will_generate(root):
    # 150 responses in 10 s; the study has 720 and 360.
    ran(
        root,
        "small",
        {"generate_pilot_responses/a/topic/0": 12, "generate_pilot_responses/a/word_count/0": 8},
    )
    ran(root, "small", {"label_pilot_responses/a/topic/0": 1, "generate_pilot_responses/gone/topic/0": 900})
    before = complete(study(study="before"), root)
    ran(root, "before", {"generate_responses/a/topic/0": 500, "make_prompts/topic/0": 1}, before)
    config, counts, here = known(root)
    assert counts["generate_responses"] == 2
    assert here["generate_responses"] == (pytest.approx(10 * 2 * 1080 / 150), "small, its pilot")
    assert here["label_responses"][0] == pytest.approx(2 * 1080 / 150)
    assert here["make_prompts"] == (2.0, "before")
    assert any(
        "by the benchmarks of results/small, its pilot (2 rules, by number of responses)" in line
        for line in costs.describe(config, counts, root)
    )
    # Of responses that are given since, only their labels.
    (root / "given").mkdir()
    (root / "given/all.jsonl").write_text("")
    config, counts, given = known(root, models=a_model(answers="given"))
    assert "generate_responses" not in given and given["label_responses"] == here["label_responses"]
    assert costs.describe(config, counts, root)
    # However many jobs generate them.
    _, _, in_blocks = known(root, generation__block=30)
    assert in_blocks["generate_responses"] == here["generate_responses"]
    # Once the study itself has begun, its own jobs count.
    ran(root, "small", {"generate_responses/a/topic/0": 70})
    assert known(root)[2]["generate_responses"] == (140.0, "small")


def test_of_other_studies_the_last_one_that_is_finished_counts(root):
    config = complete(study(prompts__bases=45), root)
    for number, name in enumerate(("old", "new", "unfinished")):
        done = None if name == "unfinished" else config | {"study": name}
        ran(root, name, {"write_findings": 1 + number}, done)
    os.utime(root / "results/old/report/config.json", (1, 1))
    (root / "results/broken/report").mkdir(parents=True)
    (root / "results/broken/report/config.json").write_text('{"study": "broken"}')
    _, _, here = known(root, prompts__bases=45)
    assert here == {"write_findings": (2.0, "new")}


def test_the_plan_says_the_time(root):
    config = complete(study(), root)
    text = plan.describe(config, root)
    assert re.search(r"^time         about [\d.]+ (s|min|h) of one core, for \d+ of \d+ jobs:$", text, re.M)
    assert text.index("jobs in total") < text.index("\ntime  ") < text.index("\nactivations  ")


def test_the_page_says_of_the_papers_study_what_plan_computes():
    """Times, jobs and gigabytes; and the work of a GPU, counted once more from the config."""
    files = [read_config(path) for path in (ROOT / "config.yaml", ROOT / "workflow/studies/paper.yaml")]
    config = complete(merged(files), ROOT)
    counts = plan.jobs(config, ROOT)
    hours = {rule: seconds / 3600 for rule, seconds in costs.documented(config, counts).items()}
    page = (ROOT / "docs/costs.md").read_text(encoding="utf-8")
    text = " ".join(page.split())

    table = page.partition("| of `paper.yaml` |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.splitlines()[2:]]
    left = dict(hours)
    for names, jobs, said in rows[:-2]:
        rules = re.findall(r"`(\w+)`", names)
        assert int(jobs) == sum(counts[rule] for rule in rules)
        assert said == f"{sum(left.pop(rule) for rule in rules):.1f}", rules
    (_, jobs, said), (_, every, total) = rows[-2:]
    assert (int(jobs), said) == (sum(counts[rule] for rule in left), f"{sum(left.values()):.1f}")
    timed, all_jobs = sum(counts[rule] for rule in hours), sum(counts.values())
    assert (every, total) == (f"{timed:,}", f"{sum(hours.values()):.1f}")
    assert f"The other {all_jobs - timed} of its {all_jobs:,} jobs" in text
    assert f"`snakemake -n` of `paper.yaml` ({all_jobs:,} jobs;" in text
    assert f"{hours['refit_probes']:.1f} core-hours for `paper.yaml`" in text

    # Rows of activations: ten positions, one of crossings, one of random weights.
    variants = slices.rows_per_task(config)
    responses, crossed, constrained = (
        sum(variants.values()),
        plan.crossed_rows(config),
        variants["constrained"],
    )
    parts = [10 * responses, crossed, constrained]
    whole = plan.activation_bytes(config, ROOT) / plan.GIB
    for size in (whole * part / sum(parts) for part in parts):
        assert f"{size:.1f} GiB" in text
    assert f"The sum is {whole:.1f} GiB" in text

    tasks, bases = len(config["tasks"]), config["behaviour"]["bases"]
    items, longest = config["prompts"]["items_per_base"], config["generation"]["max_new_tokens"]
    edits = 2 * (tasks + 1) + len(config["behaviour"]["strengths"])  # erased and reflected, and steered
    batch = config["generation"]["batch_size"]
    reads = tasks * longest * -(-responses // batch)
    edited = tasks * longest * (2 * -(-bases * items // batch) + -(-edits * bases * items // batch))
    texts = bases * items * config["generation"]["twin_samples"]
    blocks = {"Llama": (6.979e9, 0.525e9), "Gemma": (2.024e9, 0.590e9), "Qwen": (0.358e9, 0.136e9)}

    def terabytes(reads):
        return " / ".join(f"{2e-12 * reads * (own + head):.0f}" for own, head in blocks.values())

    def petaflops(texts, headed=True):
        tokens = texts * (60 + longest)
        return " / ".join(f"{2e-15 * tokens * (own + headed * head):.0f}" for own, head in blocks.values())

    for row in (
        f"{tasks * responses:,} responses (9 tasks × 150 content requests × {items} prompts × (4 + 2)), in",
        f"weights read {reads:,} times: {terabytes(reads)} TB |",
        f"{tasks * responses:,} forward passes (the same texts) | {petaflops(tasks * responses, False)} PF",
        f"at most {tasks * crossed:,} forward passes with the language-model head",
        f"own answers)) | {petaflops(tasks * crossed)} PFLOP",
        f"{tasks * constrained:,} forward passes | {petaflops(tasks * constrained, False)} PFLOP",
        f"{tasks * bases * items * (edits + 2):,} responses (9 × {bases} content requests × {items} prompts "
        f"× {edits + 2} edits, two of which change nothing), and {texts} texts per task read under "
        f"{edits + 1} of these |",
        f"weights read {edited:,} times: {terabytes(edited)} TB, and "
        f"{petaflops(tasks * texts * (edits + 1))} PFLOP |",
    ):
        assert row in text, row
    seconds = 2e-12 * reads * sum(map(sum, blocks.values())) / 3
    passes = [(tasks * responses, 0), (tasks * crossed, 1), (tasks * constrained, 0)]
    work = sum(
        2 * n * (60 + longest) * (own + headed * head)
        for n, headed in passes
        for own, head in blocks.values()
    )
    assert f"needs {seconds:.0f} s to read the weights and {work / 400e12:.0f} s for the forward" in text
    # What guards is off in this study.
    loading = sum(counts.get(rule, 0) for rule in costs.OF_A_MODEL)
    assert f"loading a model in each of {loading} jobs" in text
