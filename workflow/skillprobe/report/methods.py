"""The report's page of methods: what was computed, with the study's numbers, and the papers it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from skillprobe.findings.rules import RULES, VERSION
from skillprobe.report.claims import SHOWN
from skillprobe.report.html import counted, html_page, joined
from skillprobe.statistics.intervals import FIXED_PROBES, level_words
from skillprobe.storage.tables import ACROSS, task_words
from skillprobe.study.slices import on_given_activations

REFERENCES = {
    "2604.06015": "Rocchetti and Ferrara, How LLMs Follow Instructions: Skillful Coordination, Not a "
    "Universal Mechanism",
    "2606.13720": "the same authors' follow-up: ablation as I − αP, α = 1 projects out, α = 2 reflects",
    "2410.14516": "Do LLMs know internally when they follow instructions?",
    "2004.07667": "Ravfogel et al., INLP: iterative nullspace projection",
    "2306.03819": "Belrose et al., LEACE: perfect linear concept erasure in closed form",
    "2006.00995": "Elazar et al., amnesic probing: random directions of the same rank as control",
    "1909.03368": "Hewitt and Liang, control tasks and selectivity",
    "2408.15510": "Canby et al., completeness, selectivity and reliability of interventions",
    "2606.02907": "probes that fell to chance when format confounds were residualised",
    "2502.06258": "prompt states that predict length and structure",
    "2502.13329": "prompt states that predict failures",
    "1806.05759": "Morcos et al., projection-weighted canonical correlation",
    "1905.00414": "Kornblith et al., centred kernel alignment",
    "2303.10475": "survey: entailment-, PLM- and human-oriented instructions",
}


def _judge_words(judge: str | Mapping) -> str:
    """A judge's name: its kind or its model, and whether texts were labelled for it."""
    if isinstance(judge, str) or "model" not in judge:
        return judge if isinstance(judge, str) else judge["kind"]
    return judge["model"] + (" with a head on labelled texts" if judge.get("labelled") else "")


def methods_page(config: Mapping, sampled: str) -> str:
    """Steps in the order of the data; config: completed; sampled: how, of `study.sampling.described`."""
    prompts, generation, probes = config["prompts"], config["generation"], config["probes"]
    ablation, behaviour, similarity = config["ablation"], config["behaviour"], config["similarity"]
    judges = ", ".join(
        f"{task_words(task)} by {_judge_words(judge)}" for task, judge in config["judges"].items()
    )
    edits = "No responses were generated under edits in this study."
    if behaviour["bases"]:
        edits = f"""During generation, hooks erase or reflect the same subspaces, or steer along the
probes' directions, on {counted(behaviour["bases"], "request")}; compliance is compared with that under
random subspaces of the same rank, and perplexity is measured on text without constraints."""
    matches = ""
    if config["labels"]["crossings"]:
        matches = f"""Two constraints and two responses to one request, of which each satisfies one
constraint, are crossed ({counted(config["labels"]["crossings"], "time")} per request and task, if
responses allow it): a probe reads the match if it prefers the two pairs that match. The
log-probability of the responses is judged in the same way. """
    guard = config["guard"]
    if guard["bases"]:
        edits += f""" Monitors were acted on with {counted(guard["bases"], "request")} about subjects that
the study left out: from {guard["samples"]} independent responses per prompt, policies that stop, choose or
sample again are computed for {joined([f"{each:g}" for each in guard["thresholds"]])} as thresholds, and
compared at equal tokens with sampling again until the verifier is satisfied."""
    claims, draws = config["claims"], config["statistics"]["bootstrap_draws"]
    refits = config["statistics"]["refit_draws"]
    level = level_words(claims["looks"])
    across = [f"“{SHOWN[claim].short}”" for claim, rule in RULES.items() if rule.scopes[0] == ACROSS]
    needed = ", ".join(f"{claim.replace('_', ' ')} {n}" for claim, n in claims["min_tasks"].items())
    needed += f"; clusters: so many that their names can be permuted in {claims['min_partitions']} ways"
    engine = ", in vLLM" if generation["engine"] == "vllm" else ""
    made = f"""
{counted(prompts["bases"], "content request")}, the same for every task, with
{counted(prompts["items_per_base"], "instruction")} per request and task, in
{joined(prompts["instruction_types"])} wording [2303.10475] and {joined(prompts["polarities"])}
form.{" The same requests are also given without the constraint." if generation["twin_samples"] else ""}"""
    if prompts.get("file"):
        found = prompts["found"]
        numbers = joined([f"{n} of {task_words(task)}" for task, n in found["constrained"].items()])
        made = f"""
The prompts of {prompts["file"]} (SHA-256 {found["sha256"]}): {numbers}, on
{counted(found["groups"], "subject")}; {sum(found["unconstrained"].values())} of them are also given without
the constraint."""
    asked = f"""{counted(generation["samples"], "sample")} per prompt ({generation["twin_samples"]} without
the constraint; {sampled}); each sample has its own random stream{engine}. They are checked by
rules{f", or by judges ({judges})" if judges else ""}."""
    given = on_given_activations(config)
    if given:
        asked = "Their labels, satisfied or violated, came with the activations."
        found = prompts["found"]
        numbers = joined([f"{n} of {task_words(task)}" for task, n in found["constrained"].items()])
        made = f"""
Not of this study: the activations that were given are on {numbers}, of
{counted(found["groups"], "subject")}."""
    steps = {
        "Prompts": made,
        "Responses": f"""
{asked} Truncated responses are left out, and a task with
more than {probes["max_truncated"]:.0%} of them is insufficient; with more than
{probes["flag_truncated"]:.0%}, the overview warns of it.""",
        "Activations": f"""
Given, with their labels, as they were imported from the folders {
            joined([str(entry["activations"]) for entry in config["models"]])
        }; layers and positions are those that the user named."""
        if given
        else """
One teacher-forced pass over prompt and response. The output of every block is stored at the chosen
tokens; that of the last block is taken before the final norm.""",
        "Two scopes": f"""
Across prompts: pairs of responses within a test fold, as in the paper. Within prompts: pairs of responses
to the same prompt, one satisfied and one violated, so that all that the prompt says cancels; probes of
this scope are trained on activations minus their prompt's mean. The scope that decides a claim was fixed
beforehand: within prompts, but across prompts for {joined(across)}. The other scope is secondary: it has a
verdict, and never replaces the first. A task needs, across prompts, {probes["min_rows"]} responses of
{probes["min_groups"]} subjects of each class in every training part; within prompts,
{probes["min_mixed_items"]} prompts with both outcomes, of {probes["min_mixed_groups"]} subjects,
{probes["min_mixed_in_fold"]} in every test fold.""",
        "Probes": f"""
L2-regularised logistic regression, solved exactly, with the Gram matrix if there are fewer responses than
dimensions. {probes["folds"]} outer folds, the same for all tasks,
{counted(probes["fold_seeds"], "fold seed")}; inner folds select penalty and layer. All requests about one
subject are in one fold, and shuffles, permutations and bootstrap draws are of subjects, too. AUROC over
the pairs within a test fold; test folds without pairs are skipped. Controls: shuffled labels [1909.03368],
surface baselines, confounds regressed out in every fold [2606.02907], random weights.""",
        "Intervals": f"""
Estimate ± z·SE, for an AUROC on the logit scale, where SE² is the variance of bootstrap draws of subjects
about their own mean, plus the variance over fold seeds divided by their number. For specialists, the
primary general probe, transfer and erasers at the selected layers, the probes are fitted anew on {refits}
draws, with training and test subjects drawn together. All other estimates keep the probes fixed:
{draws:,} draws, the same for all estimates, and their deviations × {FIXED_PROBES:g}, since fixed probes vary
less than new subjects would make them.""",
        "Which tasks count": f"""
A task counts in a test fold if its probes' AUROC on the other folds has a lower {level} bound above
{claims["signal"]:g}: the subjects that an effect is measured on have no say in whether they are measured.
For generality this is asked of the mean of specialist and general probe. Means over tasks are taken over
the tasks and folds that count, and a finding names the tasks that count in at least three fifths of the
folds. Fewer tasks than a claim needs ({needed}) leave it insufficient.""",
        "Generality and transfer": """
A general probe of all tasks (primary: all data, centred within task, its layer chosen for each task; also
all data, matched n, and other tasks only [2410.14516]) is compared with the specialists, paired. Every
task's probe is tested on every task at one common layer, with its sign; weak transfer is a ratio of sums
over pairs of tasks that count. Clusters are tested by permuting the names of tasks.""",
        "Erasure": f"""
INLP [2004.07667] of rank {ablation["rank"]}, fitted on the source task's training folds only, for all
tasks on as many responses of each class; target probes are trained again on the erased activations and
compared with erasers of {counted(ablation["shuffles"], "shuffled labelling")} and random subspaces
[2006.00995]. Tasks that don't count, or have fewer than {ablation["min_rows"]} such responses, are only
targets. Claims are decided at one layer. Also computed: LEACE [2306.03819], reflection [2606.13720],
completeness, selectivity and reliability [2408.15510]. Simultaneous intervals over all pairs. Asymmetry is
the mean squared difference between the two directions of a pair, beyond what the sources' strengths explain
and beyond noise.""",
        "Edits during generation": edits,
        "Time": """
Probes are trained at every position; the EOS probe is also tested at earlier positions, and the
prompt's probe at later ones. On the same rows: the verifier's verdict on the text so far, and the
prompt's surface, because prompts can predict more than they seem to [2502.06258] [2502.13329]. Within
prompts, the same after the prompt's end; before it, all responses to a prompt have one state.""",
        "Planning": f"""
V is the variance between prompts of the probability of satisfaction, from pairs of responses to the same
prompt. Two held-out scores are compared by the share of V that they explain: boosted trees and a ridge
regression on the prompt's surface (params, length, phrasing, words), and these with a linear probe of the
state at the prompt's end, trained on what the surface leaves. The planning share, V(R² of both − R² of the
surface) / V(1 − R² of the surface), is of sums over the tasks whose V is above
{config["claims"]["prompt_variance"]:g} (lower 99 % bound), and a lower bound on planning. As a control of
power, labels are redrawn as if the state decided all of V along a random direction; unless enough of that is
recovered, "no planning" is never said.""",
        "Specificity, similarity, robustness": f"""
{matches}The same probes are tested on responses without the constraint. PWCCA [1806.05759] and linear CKA
[1905.00414] after PCA to rank {similarity["rank"]}, with
{counted(similarity["permutations"], "permutation")} of requests as null. Probes of some instruction
types, polarities and phrasings are tested on others, at equal numbers of responses.""",
        "Claims": f"""
The claims of [2604.06015], decided at {level} by rules that were fixed before any result was seen and
tested on planted worlds whose truth is known (rules version {VERSION}). A claim is supported where its
interval lies on one side of a threshold and contradicted where it lies on the other; two verdicts say that
a part of a supported claim is open: "planning untested" and "not beyond likelihood". What counts models
holds for all of them at once, at 1 − 0.01 / models.""",
    }
    body = [f"<h2>{title}</h2><p class=lead>{_cited(escape(text))}</p>" for title, text in steps.items()]
    lines = "".join(f"<li>{_link(number)}: {escape(title)}</li>" for number, title in REFERENCES.items())
    return html_page("Methods", [*body, f"<h2>References</h2><ul class=small>{lines}</ul>"])


def _cited(text: str) -> str:
    """Numbers of REFERENCES in brackets become links."""
    for number in REFERENCES:
        text = text.replace(f"[{number}]", f"[{_link(number)}]")
    return text


def _link(number: str) -> str:
    return f'<a href="https://arxiv.org/abs/{number}">arXiv {number}</a>'
