"""The tables: what a row of each is, and every column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from skillprobe.catalogue.fields import (
    TABLE,
    Field,
    File,
    Values,
    auroc,
    case,
    count,
    difference,
    number,
    share,
    string,
)

_SCOPES = (
    case("across", "pairs of responses within a test fold, whatever their prompts"),
    case("within", "pairs of responses to one prompt"),
)
_CATEGORIES = ("structural", "lexical", "semantic", "stylistic", "mean", "all")
_NUMBER_OR_NAME = Values("number or text")

# Columns that mean the same wherever they are.
SHARED: Mapping[str, Field] = {
    each.name: each
    for each in (
        string("model", "a model's name, as in the config"),
        string("scope", "which pairs of responses are compared", *_SCOPES),
        string(
            "task", "a task's name; `mean`: the mean over tasks; `all`: something that is said of all tasks"
        ),
        string(
            "category",
            "the task's; `mean` or `all` where the task is",
            *(case(name, "") for name in _CATEGORIES),
        ),
        Field(
            "layer",
            "0 for the embeddings, k for the output of block k; `selected`: for each test fold the layer "
            "that the inner folds chose",
            _NUMBER_OR_NAME,
        ),
        number(
            "depth", "the layer divided by the number of blocks; empty at `selected`", 0, 1, "relative depth"
        ),
        number("lower95", "lower end of the 95 % interval of `estimate`, in its unit"),
        number("upper95", "upper end of it"),
        number(
            "lower99", "lower end of the interval that decides claims, of level 1 − 0.01 / `claims.looks`"
        ),
        number("upper99", "upper end of it"),
        count("n", "tested responses (without those of calibration groups)"),
        count("n_groups", "subjects that these are about"),
        count("n_tasks", "how many tasks the row is of; may be empty where it is of one"),
        string("tasks", "names of these tasks, separated by blanks"),
        share(
            "truncated",
            "the task's responses that were cut short at `generation.max_new_tokens`, and left out",
        ),
        string(
            "status",
            "empty; or why there is no number (`insufficient: …`, `no signal: …`) or what to beware of "
            "(`constant scores`: all scores are equal, so the AUROC is ½)",
        ),
    )
}
_BOUNDS = ("lower95", "upper95", "lower99", "upper99")
_ESTIMATE = " ".join(("estimate", *_BOUNDS))
_UNIT_OF_QUANTITY = number("estimate", "of the quantity, in its unit and range")


def _columns(names: str | Sequence[str], own: Iterable[Field] = ()) -> tuple[Field, ...]:
    """Of these names, in their order: `own` ones, and else the shared ones."""
    known = SHARED | {each.name: each for each in own}
    return tuple(known[name] for name in (names.split() if isinstance(names, str) else names))


def _table(
    name: str,
    what: str,
    each: str,
    names: str | Sequence[str],
    *own: Field,
    by_model: bool = True,
    when: str = "",
) -> File:
    """tables/<name>.csv, of all models; by_model: and tables/<name>/<model>.csv, of one."""
    paths = (f"tables/{name}.csv", *((f"tables/{name}/<model>.csv",) if by_model else ()))
    return File(paths, what, TABLE, _columns(names, own), each=each, when=when)


_COMPLIANCE = (
    share("compliance", "responses that satisfy the constraint, of the n"),
    number("lower95", "lower end of the 95 % interval of `compliance`", 0, 1, "share"),
    number("upper95", "upper end of it", 0, 1, "share"),
    count("n", "responses that were not cut short, and that the judge decides"),
    share("truncated", "responses that were cut short at `generation.max_new_tokens`"),
    share("undecided", "other responses that the judge leaves undecided (`judges.<task>.margin`), left out"),
    share(
        "twin_compliance",
        "responses to the same requests without the constraint that satisfy it all the same",
    ),
    count("n_twin", "of how many that is"),
    count("distinct_responses", "different texts among the n"),
    share("mixed", "prompts with both satisfied and violated responses, of n_items"),
    count("n_items", "prompts with at least two responses that were not cut short"),
    number("n_per_item", "their mean number of these", 0),
)
_COMPLIANCE_NAMES = (
    "model task category compliance lower95 upper95 n n_groups truncated undecided twin_compliance "
    "n_twin distinct_responses mixed n_items n_per_item"
)
_PROBES = (
    case("specialist", "one for each task: trained on the responses to this task alone"),
    case("general_all", "one for all tasks: trained on the responses to all tasks together"),
    case(
        "general_centred",
        "as `general_all`, with each task's mean state taken off first, so that it can't tell tasks apart: "
        "the general probe of the claim",
    ),
    case(
        "general_matched",
        "as `general_all`, on a sample of as many responses as the mean specialist has: the same n",
    ),
    case(
        "general_leave_one_out",
        "one for each task: trained on all tasks but this one; can be below ½",
    ),
    case(
        "residualised",
        "control: a specialist of states from which what length and phrasing predict is taken off "
        "(`probes.confounds`)",
    ),
    case(
        "shuffled",
        "control: a specialist trained and tested on labels that were shuffled between subjects; the mean of "
        "`probes.shuffles`",
    ),
    case("random_weights", "control: a specialist of the states of the model with random weights"),
    case(
        "surface_<baseline>",
        "control: a probe that doesn't see the model but the response's `length`, the phrasing (`template`), "
        "the `prompt_words` or the `response_words` alone",
    ),
)
_METRICS = (
    case("auroc", "0 to 1, ½ is chance"),
    case("balanced_accuracy", "0 to 1, ½ is chance"),
    case("accuracy", "0 to 1, chance is the larger of base_rate and 1 − base_rate"),
    case("log_loss", "from 0, nats"),
)
_GENERALITY = (
    string(
        "probe",
        "which probe is tested, on responses to the row's task in folds that it was not trained on. A "
        "specialist has seen one task, a general probe several (definitions.md, Generality and Controls)",
        *_PROBES,
        case(
            "specialist_minus_<probe>",
            "paired difference, −1 to 1: the specialist's AUROC minus that of the named probe on the same "
            "responses",
        ),
    ),
    string("metric", "what is measured on held-out responses", *_METRICS),
    number("estimate", "the metric, mean over fold seeds; its range is the metric's", -1),
    count("n_items", "prompts within which responses are compared; empty across prompts"),
    share("base_rate", "satisfied responses among the n"),
    number(
        "detectable",
        "the AUROC that would be found to be above 0.55 in 80 % of studies with this standard error",
        0.55,
        None,
        "AUROC",
    ),
)
_FALLS = (
    number("lower_simultaneous99", "lower end of the interval of `net` that holds for all cells at once"),
    number("upper_simultaneous99", "upper end of it"),
)
_CELL = string(
    "cell",
    "what the simultaneous interval says; empty where nothing is said",
    case("dependent", "the target needs what was erased"),
    case("independent", "it doesn't"),
    case("undecided", "neither is shown"),
)
_SOURCE = string("source", "the task whose signal is erased")
_TARGET = string("target", "the task whose probe is tested")
_METHODS = (
    case("inlp", "INLP of `ablation.rank` directions: the primary eraser"),
    case("inlp_stopped", "INLP until inner folds find nothing more"),
    case("inlp_reflected", "INLP with α = 2: the subspace is turned round"),
    case("leace", "LEACE, one direction"),
)
_TRANSFER = (
    string("source", "the task that the probe was trained on"),
    string("target", "the task that it is tested on"),
    auroc(
        "estimate", "of the source's probe on held-out responses of the target; below ½ its sign is opposite"
    ),
    number(
        "lower_simultaneous95",
        "lower end of the 95 % interval that holds for all cells at once",
        0,
        1,
        "AUROC",
    ),
    number("upper_simultaneous95", "upper end of it", 0, 1, "AUROC"),
    number("ratio", "(estimate − ½) / (the target's own − ½); nan where the target doesn't count"),
    *(number(f"ratio_{bound}", f"`{bound}` of the ratio") for bound in _BOUNDS),
    count("source_place", "the source's place in the order of the hierarchical clustering, from 0"),
    count("target_place", "the target's"),
)
_NULLS = (
    string(
        "measure",
        "how alike the two are",
        case("pwcca", "mean of the two below"),
        case("pwcca_first", "PWCCA with the weights of the first"),
        case("pwcca_second", "PWCCA with the weights of the second"),
        case("cka", "linear CKA"),
        case("overlap", "of subspaces: mean squared cosine of the principal angles"),
        case("largest_cosine", "of subspaces: cosine of the smallest principal angle"),
    ),
    number("estimate", "of the measure, after PCA; 1: the same", 0, 1),
    number("null", "its mean over permutations (of subspaces: over random ones)", 0, 1),
    number("null_upper95", "its 95 % quantile over these", 0, 1),
    number("p", "one-sided, of the estimate among these; not corrected for the number of pairs", 0, 1),
    count("n", "rows that are compared (of tasks: subjects' means; of models: prompts)"),
    count("n_groups", "subjects among these; empty for subspaces"),
    count("rank", "dimensions of the narrower side"),
    share("variance", "the variance that PCA keeps, of the side where that is less; empty for subspaces"),
)
_POSITION = string(
    "position",
    "where the activations were read",
    case("prompt_<percent>", "so far through the prompt; `prompt_100` is its last token"),
    case("onset", "first token of the response"),
    case("body_<percent>", "so far through the response"),
    case("last", "last token before EOS"),
    case("eos", "end of the response"),
    case("token_<k>", "k-th token of the response"),
    case("tokens_<k>", "span: a response's last stored position between these numbers of tokens"),
)
_COURSE = (
    string(
        "probe",
        "what is tested there",
        case("trained", "a probe that was trained at the position"),
        case("eos_back", "the probe of `eos`"),
        case("prompt_forward", "the probe of the prompt's last token"),
        case("text", "baseline: the verifier's verdict on the response so far, and the params"),
        case("length", "baseline: the number of tokens so far"),
        case("words", "baseline: the words so far"),
        case("surface", "baseline: the prompt's length, words, phrasing and params"),
        case("trained_minus_<baseline>", "paired difference, −1 to 1"),
    ),
    _POSITION,
    number("estimate", "AUROC, 0 to 1; of a difference −1 to 1", -1, 1, "AUROC"),
    share("valid", "the task's responses that have this position to themselves"),
)
_TIME_QUANTITIES = (
    auroc("prompt", "AUROC at the prompt's last token"),
    auroc("surface", "AUROC of the prompt's surface there"),
    difference("beyond_surface", "prompt − surface"),
    difference("onset_jump", "AUROC at onset − prompt"),
    difference("eos_gain", "AUROC at eos − at last"),
    difference("gain", "AUROC at eos − prompt"),
    difference("beyond_text", "AUROC at eos − what the text decides there"),
    number("gain_beyond_text", "gain − the same of the text", -2, 2, "AUROC"),
    difference("eos_above_chance", "AUROC at eos − ½"),
    number(
        "slope", "change of the AUROC over the body of the response, by least squares", None, None, "AUROC"
    ),
    number("between_variance", "V, variance between prompts of the chance to satisfy", -0.26, 0.26),
    number("surface_r2", "share of V that the prompt's surface explains; noise can take it out of 0 to 1"),
    number("both_r2", "share of V that surface and prompt probe explain together"),
    number("planning_share", "P: of what the surface leaves of V, the share that the prompt probe explains"),
    number("recovered", "r: the same of labels that the state decides along a random direction"),
)
_READERS = (
    case("monitor", "the monitor that docs/monitor.md describes"),
    case("prefix", "trivial monitor: the verifier on the text so far"),
    case("params", "trivial monitor: the prompt's params, and how many tokens are written"),
    case("both", "trivial monitor: the two together"),
    case("trivial", "at each stage, the one of these three with the highest inner AUROC"),
    case("together", "monitor and trivial, combined by a logistic regression"),
)
_READER = string(
    "reader",
    "what says how likely satisfaction is",
    *_READERS,
    case("monitor_minus_trivial", "paired difference"),
    case("together_minus_trivial", "paired difference"),
)
_BRIER = (
    number("brier", "the Brier score: mean squared distance of probability and label", 0, 1),
    number("brier_skill", "1 − the Brier score / that of the other folds' base rate; at most 1", None, 1),
)
_MONITOR_SUMMARY = (
    number("auroc", "mean over the positions in the middle; of a difference −1 to 1", -1, 1, "AUROC"),
    *_BRIER,
    share(
        "calibration_error",
        "expected calibration error: mean distance of a bin's share from its probability; noise makes it "
        "larger, so it has no interval",
    ),
    share("missed", "violated responses that are never flagged, at a threshold from the other folds"),
    share("false_alarms", "satisfied responses that are flagged"),
    number("delay_tokens", "tokens written when a violated response is first flagged, median", 0),
    share("delay_share", "the same as a share of the answer"),
)
_RELIABILITY = (
    _READER,
    count("bin", "from the lowest probability on; 0 where there are none"),
    number("probability", "mean of the bin's", 0, 1, "share"),
    share("estimate", "satisfied responses in the bin"),
    count("n", "responses times positions in the bin, mean over fold seeds"),
)
_MONITOR_QUALITY = (
    _READER,
    string(
        "quantity",
        "what is measured",
        number("auroc", "0 to 1, ½ is chance; of a difference −1 to 1", -1, 1, "AUROC"),
        *_BRIER,
    ),
    _POSITION,
    _UNIT_OF_QUANTITY,
)
_SPECIFICITY = (
    auroc("constrained", "AUROC of the specialist on the task's responses"),
    auroc("twins", "the same probe on responses to the requests without the constraint"),
    difference("specificity", "the first − the second"),
    *(
        number(
            name, f"mean projection of {which} on the probe's direction", None, None, "standard deviations"
        )
        for name, which in (
            ("satisfied", "satisfied responses"),
            ("violated", "violated responses"),
            ("twin_satisfied", "satisfied responses without the constraint"),
            ("twin_violated", "violated responses without the constraint"),
        )
    ),
    share("row_space_constrained", "variance within the task that lies in the space of all tasks' probes"),
    share("row_space_twins", "the same without the constraint"),
    share("row_space_random", "what would lie in a random space of this size"),
    share("match", "crossings whose contrast s₀₀ + s₁₁ − s₀₁ − s₁₀ is positive; ½ is chance"),
    share("match_n", "of counts: the same where relations are equal or numbers near"),
    share("match_one_relation", "of counts: the same where relations are equal"),
    share("likelihood_match", "the same of the responses' log-probabilities; ½ is chance"),
    difference("match_beyond_likelihood", "match − max(L, 1 − L), L the likelihood's", "share"),
    auroc("same_answers_with", "AUROC on the same responses, read with the constraint"),
    auroc("same_answers_without", "the same, read without it"),
    difference("same_answers_difference", "the first − the second"),
)
_SIMILAR = (
    Field("first", "what is compared: a layer, or a task", _NUMBER_OR_NAME),
    Field("second", "with what", _NUMBER_OR_NAME),
)
_ROBUSTNESS = (
    string(
        "contrast",
        "what differs between training and test",
        case("type", "instruction types"),
        case("polarity", "asked to do, or not to do (of type `human`)"),
        case("held_out", "phrasings"),
        case("diversity", "the number of phrasings"),
    ),
    string(
        "trained_on",
        "wordings that the probe was trained on",
        *(case(name, "an instruction type") for name in ("human", "plm", "entailment")),
        case("other_types", "both other types"),
        *(case(name, "a polarity") for name in ("positive", "negated")),
        case("other_phrasings", "phrasings but those that are tested"),
        case("any_phrasing", "phrasings with those that are tested"),
        case("phrasings", "`n_phrasings` of them"),
        case("within", "mean over the tested groups of their own probes"),
        case("across", "mean over the tested groups of the other groups' probes"),
        *(
            case(name, "paired difference, −1 to 1")
            for name in ("within_minus_across", "others_minus_across", "any_minus_other", "most_minus_fewest")
        ),
    ),
    string(
        "tested_on", "an instruction type or polarity, `held_out` or `unseen` phrasings; empty of summaries"
    ),
    count("n_phrasings", "of the contrast `diversity`: phrasings that were trained on; empty elsewhere"),
    number("estimate", "AUROC, 0 to 1; of a difference −1 to 1", -1, 1, "AUROC"),
)
_WORDING = (
    string(
        "by",
        "what prompts are told apart by",
        case("instruction_type", ""),
        case("polarity", "of prompts of type `human`"),
        case("phrasing", ""),
    ),
    string("wording", "one of these, or a difference such as `human_minus_plm`"),
    number("estimate", "compliance, 0 to 1; of a difference −1 to 1", -1, 1, "share"),
    count("n", "responses that were not cut short"),
)
_BEHAVIOUR_QUANTITIES = (
    share("compliance", "satisfied responses under the condition"),
    share("unedited", "the same without an edit"),
    difference("change", "the first − the second, paired", "share"),
    number("change_minus_random", "change − that under the random subspace", -2, 2, "share"),
    number("perplexity_ratio", "perplexity of unedited text under the condition, over that without", 0),
)
_CONDITION = string(
    "condition",
    "what is done to hidden states while the model writes",
    case("identity", "hooks that change nothing"),
    case("erase:<task>", "the task's subspace is erased"),
    case("flip:<task>", "it is reflected"),
    case("random", "a random subspace of equal rank is erased"),
    case("random_flip", "it is reflected"),
    case("steer:<strength>", "so many standard deviations are added along the task's own direction"),
    *(case(name, "mean over conditions of this edit") for name in ("erase", "flip")),
)
_BEHAVIOUR = (
    _CONDITION,
    string(
        "task", "the task that responses are to; of means, `own`: the edited task, `others`: the other tasks"
    ),
    string("quantity", "what is measured", *_BEHAVIOUR_QUANTITIES),
    _UNIT_OF_QUANTITY,
    count("n", "pairs of responses; tokens for perplexity; cells for means"),
    share("truncated", "pairs with a response that was cut short, left out"),
)
_EDIT = string("edit", "of the model while it writes", case("erase", "erased"), case("flip", "reflected"))
_AGREEMENT = (
    _EDIT,
    _SOURCE,
    string("target", "the task that is tested"),
    number("fall_auroc", "net fall of the target's AUROC (`net` of tables/ablation.csv)", -2, 2, "AUROC"),
    number("fall_compliance", "fall of its compliance, beyond that under a random subspace", -2, 2, "share"),
    number("lower99", "lower end of the 99 % interval of fall_compliance"),
    number("upper99", "upper end of it"),
    Field("dependent", "1: the cell is dependent in tables/ablation.csv", Values("integer", 0, 1)),
    Field("lost", "1: the interval of fall_compliance is above 0", Values("integer", 0, 1)),
)
_SETTING = Values("number or text")
_GUARD_SETTING = (
    string(
        "policy",
        "what is done with responses while they are written",
        case("plain", "one response, as it comes"),
        case("verify_again", "written, verified, and sampled again until one satisfies; needs no monitor"),
        case("stop_on_prefix", "the same, and stopped as soon as the verifier knows that it can't satisfy"),
        case("best_of", "several written; the one of the highest probability at its end"),
        case("stop_early", "stopped where the probability falls below the threshold, and sampled again"),
        case("stop_early_verified", "the same; what is not stopped must satisfy the verifier, too"),
        case("steer", "moved along the monitor's probe where the probability is below the threshold"),
    ),
    Field("threshold", "of the probability; empty without one; `all`: the mean over all settings", _SETTING),
    Field("tries", "starts at most; `all`: the mean over all settings", _SETTING),
    Field("strength", "of steering, in standard deviations; empty or `all` else", _SETTING),
)
_GUARD = (
    *_GUARD_SETTING,
    string(
        "quantity",
        "what is measured",
        share("compliance", "the chance that an answer satisfies"),
        number(
            "tokens", "tokens spent per prompt; 1: as many as one plain response has", 0, None, "multiple"
        ),
        difference("gain", "compliance minus that of `verify_again` at equal tokens", "share"),
        difference("gain_over_prefix", "compliance minus that of `stop_on_prefix` at equal tokens", "share"),
    ),
    _UNIT_OF_QUANTITY,
    count("n", "prompts; of the mean over tasks: tasks"),
    share("truncated", "the pool's responses that were cut short; they count as they are"),
)
_CLAIMS = (
    string("claim", "a claim's name, as in findings.json"),
    string("headline", "whether this scope decides", case("yes", ""), case("no", "")),
)
_VERDICTS = (
    case("supported", ""),
    case("supported, planning untested", ""),
    case("supported, not beyond likelihood", ""),
    case("contradicted", ""),
    case("inconclusive", "the interval decides neither"),
    case("insufficient", "too few data; no evidence for either"),
)
_FINDINGS_NAMES = (
    "model claim scope headline verdict estimate lower99 upper99 level n_tasks fewest_tasks tasks "
    "n_responses n_subjects reason rule paper"
)
_FINDINGS = (
    string("model", "a model's name, or `all models`"),
    *_CLAIMS,
    string("verdict", "docs/findings.md", *_VERDICTS),
    number("estimate", "what the rule is about, in the unit that it names"),
    number("level", "of the interval", 0.99, 1),
    count("n_tasks", "tasks that count; of all models, in every one of them"),
    count("fewest_tasks", "tasks that count in the model that has the fewest"),
    count("n_responses", "tested responses of these tasks, in all of them together"),
    count("n_subjects", "subjects that they are about, in the task that has the most"),
    string("reason", "why it is insufficient, or what was left open"),
    string("rule", "the rule in words, with its thresholds"),
    string("paper", "what the paper reports"),
)
_PLANTED = (
    string("world", "a kind of planted activations, `calibration.worlds`"),
    number("auroc", "that specialists were planted to reach", 0.5, 1, "AUROC"),
    count("bases", "content requests"),
    string("truth", "the verdict that is right"),
)
_SIMULATED = (
    string("quantity", "whose interval is looked at"),
    string("probes", "", case("refitted", "fitted anew on each draw"), case("fixed", "kept")),
)
_JUDGES = (
    string("model", "of the encoder, as the config names it"),
    string("labels", "what the head tells apart"),
    count("n", "labelled texts"),
    count("n_groups", "groups of them; a fold holds whole groups"),
    share("accuracy", "labelled texts whose label the head says that never saw their group"),
    number("lower95", "lower end of the 95 % interval of `accuracy`, over groups", 0, 1, "share"),
    number("upper95", "upper end of it", 0, 1, "share"),
    share("balanced_accuracy", "accuracy, as the mean over labels"),
    share("majority", "texts with the most frequent label: the accuracy of always saying that"),
    number("auroc", "of each label against the others, mean over labels", 0, 1, "AUROC"),
    share("undecided", "texts within `judges.<task>.margin` of another label"),
    share("accuracy_decided", "accuracy on the other texts"),
)
_WHEN_PLANTED = "after `snakemake calibrate`"

TABLES = (
    _table(
        "compliance",
        "How often does each model comply?",
        "model and task",
        _COMPLIANCE_NAMES,
        *_COMPLIANCE,
        by_model=False,
    ),
    _table(
        "judges",
        "How good are the judges that were fitted to labelled texts?",
        "task",
        "task model labels n n_groups accuracy lower95 upper95 balanced_accuracy majority auroc undecided "
        "accuracy_decided",
        *_JUDGES,
        by_model=False,
        when="for judges with `labelled`",
    ),
    _table(
        "generality",
        "Specialist and general probes, and controls.",
        "model, scope, task, layer, probe and metric",
        f"model scope task category layer probe metric {_ESTIMATE} n n_groups n_items "
        "truncated base_rate detectable n_tasks tasks status depth",
        *_GENERALITY,
    ),
    _table(
        "transfer",
        "Each task's probe on every task.",
        "model, scope, layer, source and target",
        f"model scope layer source target {_ESTIMATE} lower_simultaneous95 "
        "upper_simultaneous95 ratio ratio_lower95 ratio_upper95 ratio_lower99 ratio_upper99 "
        "n n_groups truncated source_place target_place status",
        *_TRANSFER,
    ),
    _table(
        "transfer_summary",
        "How much transfers, and whether tasks form groups.",
        "model, scope, layer, quantity and grouping",
        f"model scope layer quantity grouping {_ESTIMATE} p p_other n_permutations n_tasks tasks status",
        string(
            "quantity",
            "what is measured",
            number("ratio", "Σ(T_ij − ½) / Σ(T_jj − ½) over pairs of tasks that count"),
            number("block", "mean of T̃ within groups − between, after row and column means are removed"),
        ),
        string(
            "grouping",
            "of `block`",
            case("paper", "the paper's groups of tasks"),
            case("categories", "the four"),
        ),
        _UNIT_OF_QUANTITY,
        number("p", "of the permutation test, that groups are more alike; nan for `ratio`", 0, 1),
        number("p_other", "of its other side", 0, 1),
        count("n_permutations", "distinct ways to name the tasks"),
    ),
    _table(
        "ablation",
        "Each task's signal erased from every task's activations.",
        "model, scope, layer, source, target, method and probe",
        f"model scope layer source target method probe before after {_ESTIMATE} null random "
        "net net_lower95 net_upper95 net_lower99 net_upper99 lower_simultaneous99 "
        "upper_simultaneous99 cell n n_groups truncated status",
        _SOURCE,
        _TARGET,
        string("method", "the eraser", *_METHODS),
        string(
            "probe",
            "the target's",
            case("retrained", "trained on erased activations"),
            case("frozen", "trained before"),
        ),
        auroc("before", "of the target, before"),
        auroc("after", "of the target, after"),
        difference("estimate", "the fall: before − after"),
        difference("null", "mean fall under erasers of shuffled labels; of inlp, retrained, only"),
        difference("random", "mean fall under random subspaces; of inlp, retrained, only"),
        number("net", "the fall − null", -2, 2, "AUROC"),
        *(number(f"net_{bound}", f"`{bound}` of net") for bound in _BOUNDS),
        *_FALLS,
        _CELL,
    ),
    _table(
        "ablation_curve",
        "The target's AUROC by the number of erased directions.",
        "model, scope, layer, source, target and rank",
        f"model scope layer source target rank {_ESTIMATE} status",
        _SOURCE,
        _TARGET,
        count("rank", "erased directions of INLP"),
        auroc("estimate", "of the retrained target, first fold seed"),
    ),
    _table(
        "ablation_summary",
        "What the matrix of falls says.",
        "model, scope, layer, quantity and method",
        f"model scope layer quantity method {_ESTIMATE} n_tasks tasks n_cells status",
        string(
            "quantity",
            "what is measured",
            number("diagonal", "mean net fall of a task's own AUROC", -2, 2, "AUROC"),
            share("dependent", "dependent cells off the diagonal"),
            share("independent", "independent cells off the diagonal"),
            number(
                "asymmetry",
                "mean squared asymmetry that strengths don't explain",
                None,
                None,
                "squared AUROC",
            ),
            number("asymmetry_whole", "mean squared asymmetry with them", None, None, "squared AUROC"),
            number("completeness", "how much of what was to go has gone; mostly 0 to 1, 1 is best"),
            number("selectivity", "how much of the others' is kept; mostly 0 to 1, 1 is best"),
            number("reliability", "harmonic mean of the two"),
        ),
        string("method", "the eraser", *_METHODS),
        _UNIT_OF_QUANTITY,
        count("n_cells", "pairs of tasks"),
    ),
    _table(
        "layers",
        "The depth at which each task's signal emerges.",
        "model, scope, task and quantity",
        f"model scope task category quantity {_ESTIMATE} truncated n_tasks tasks status",
        string(
            "quantity",
            "what is measured",
            number(
                "emergence", "first depth at half of the task's own maximum above ½", 0, 1, "relative depth"
            ),
            number("emergence_95", "first depth at 95 % of it", 0, 1, "relative depth"),
            number("centroid", "mean depth, weighted by the AUROC above ½", 0, 1, "relative depth"),
            number("tau", "Kendall's τ-b of category rank and emergence (task `all`)", -1, 1),
            number("tau_95", "the same of emergence_95", -1, 1),
            number("tau_centroid", "the same of centroid", -1, 1),
        ),
        _UNIT_OF_QUANTITY,
    ),
    _table(
        "time",
        "Probes at every position, and what the text so far decides.",
        "model, scope, layer, task, probe and position",
        f"model scope layer task category probe position {_ESTIMATE} n n_groups truncated valid status",
        *_COURSE,
        when="if positions from the prompt's end to eos are stored",
    ),
    _table(
        "time_summary",
        "When is it known: at the prompt's end, or as the text is written?",
        "model, scope, layer, task and quantity",
        f"model scope layer task category quantity {_ESTIMATE} n_tasks tasks status",
        string("quantity", "what is measured", *_TIME_QUANTITIES),
        _UNIT_OF_QUANTITY,
        when="as tables/time.csv",
    ),
    _table(
        "monitors",
        "How well monitors tell, by position and number of tokens, and what is told without a model.",
        "model, scope, task, reader, position and quantity",
        f"model scope task category reader position quantity {_ESTIMATE} n n_groups status",
        *_MONITOR_QUALITY,
        when="as tables/time.csv",
    ),
    _table(
        "monitors_reliability",
        "How often a response is satisfied by a monitor's probability, in the middle of the answer.",
        "model, task, reader and bin",
        f"model task category reader bin probability {_ESTIMATE} n status",
        *_RELIABILITY,
        when="as tables/time.csv",
    ),
    _table(
        "monitors_summary",
        "Do monitors add to what is known without the model's states, in the middle of the answer?",
        "model, scope, task, quantity and reader",
        f"model scope task category quantity reader {_ESTIMATE} n_tasks tasks status",
        _READER,
        string("quantity", "what is measured", *_MONITOR_SUMMARY),
        _UNIT_OF_QUANTITY,
        when="as tables/time.csv",
    ),
    _table(
        "specificity",
        "Do probes read the match of text and constraint?",
        "model, scope, layer, task and quantity",
        f"model scope layer task category quantity {_ESTIMATE} n n_groups truncated n_tasks tasks status",
        string("quantity", "what is measured", *_SPECIFICITY),
        _UNIT_OF_QUANTITY,
        count("n", "responses, or crossings"),
    ),
    _table(
        "similarity",
        "How alike are layers, tasks, and what is erased for tasks?",
        "model, kind, layer, pair and measure",
        "model kind layer first second measure estimate null null_upper95 p n n_groups rank variance status",
        string(
            "kind",
            "what is compared",
            case("layers", "two layers"),
            case("tasks", "two tasks"),
            case("subspaces", "what is erased for two tasks"),
        ),
        Field("layer", "of tasks and subspaces; empty for layers", Values("integer", 0)),
        *_SIMILAR,
        *_NULLS,
    ),
    _table(
        "model_similarity",
        "How alike are models?",
        "depth, pair of models and measure",
        "depth first first_layer second second_layer measure estimate null null_upper95 p n n_groups rank "
        "variance status",
        string("depth", "which layers", case("middle", "the middle ones"), case("last", "the last ones")),
        string("first", "a model"),
        count("first_layer", "its layer"),
        string("second", "another model"),
        count("second_layer", "its layer"),
        *_NULLS,
        by_model=False,
        when="with two models or more",
    ),
    _table(
        "robustness",
        "Do probes carry over to other wordings of the instruction?",
        "model, scope, layer, task, contrast, training and test",
        "model scope layer task category contrast trained_on tested_on n_phrasings "
        f"{_ESTIMATE} n n_groups n_tasks truncated status",
        *_ROBUSTNESS,
    ),
    _table(
        "wording",
        "Compliance by instruction type, polarity and phrasing.",
        "model, task and wording",
        f"model task category by wording {_ESTIMATE} n n_groups n_tasks status",
        *_WORDING,
    ),
    _table(
        "behaviour",
        "Compliance and perplexity while hidden states are edited.",
        "model, condition, task and quantity",
        f"model condition task quantity {_ESTIMATE} n n_groups truncated status",
        *_BEHAVIOUR,
        when="if `behaviour.bases` is above 0",
    ),
    _table(
        "guard",
        "What acting on the monitors brings for the tokens that it costs.",
        "model, task, policy, setting and quantity",
        f"model task policy threshold tries strength quantity {_ESTIMATE} n n_groups truncated status",
        *_GUARD,
        when="if `guard.bases` is above 0",
    ),
    _table(
        "agreement",
        "Do responses depend on a signal where activations do?",
        "model, edit, source and target",
        "model edit source target fall_auroc fall_compliance lower99 upper99 dependent lost",
        *_AGREEMENT,
        by_model=False,
        when="as tables/behaviour.csv",
    ),
    _table(
        "agreement_summary",
        "How far the two matrices agree.",
        "model, edit and quantity",
        "model edit quantity estimate p n_permutations n_tasks n_cells dependent lost both status",
        _EDIT,
        string(
            "quantity",
            "what is measured",
            number("rank_correlation", "Spearman's, of the cells off the diagonal", -1, 1),
            number("within", "the same after row and column effects are removed", -1, 1),
        ),
        _UNIT_OF_QUANTITY,
        number("p", "one-sided, by permuting the names of the tasks", 0, 1),
        count("n_permutations", "of how many"),
        count("n_cells", "cells off the diagonal"),
        count("dependent", "cells that are dependent"),
        count("lost", "cells whose compliance falls"),
        count("both", "cells that are both"),
        by_model=False,
        when="as tables/behaviour.csv",
    ),
    _table(
        "findings",
        "The verdict on each claim.",
        "model, claim and scope",
        _FINDINGS_NAMES,
        *_FINDINGS,
        by_model=False,
    ),
    _table(
        "calibration",
        "How often the verdicts on planted worlds were right.",
        "world, size, claim and scope",
        ("world", "auroc", "bases", "scope", "specialist", "claim", "truth", "n_seeds")
        + tuple(each.name for each in _VERDICTS)
        + ("right", "wrong", "met"),
        *_PLANTED,
        string("scope", "as elsewhere; `headline`: of any claim"),
        auroc("specialist", "that specialists reached, mean"),
        *_CLAIMS,
        count("n_seeds", "worlds"),
        *(count(each.name, "worlds with this verdict") for each in _VERDICTS),
        share("right", "right verdicts"),
        share("wrong", "wrong verdicts"),
        string("met", "whether the asked rates are met", case("yes", ""), case("no", ""), case("unsure", "")),
        by_model=False,
        when=_WHEN_PLANTED,
    ),
    _table(
        "power",
        "How many content requests a verdict takes.",
        "claim, scope, world, effect and size",
        "claim scope world truth auroc specialist bases n_seeds right needed",
        *_PLANTED,
        *_CLAIMS,
        auroc("specialist", "that specialists reached, mean"),
        count("n_seeds", "worlds"),
        share("right", "right verdicts"),
        number(
            "needed", "the fewest requests with at least 80 % right verdicts; nan: more than were tried", 0
        ),
        by_model=False,
        when=_WHEN_PLANTED,
    ),
    _table(
        "coverage",
        "How often intervals miss, in simulated studies.",
        "quantity, scope and kind of draws",
        "quantity scope probes n_studies truth sd se missed95 missed99 met",
        *_SIMULATED,
        count("n_studies", "simulated studies"),
        number("truth", "mean over the studies"),
        number("sd", "standard deviation over them", 0),
        number("se", "standard error that the mean half-width of the 95 % intervals stands for", 0),
        share("missed95", "95 % intervals without the truth"),
        share("missed99", "99 % intervals without it"),
        string("met", "whether few enough miss", case("yes", ""), case("no", ""), case("unsure", "")),
        by_model=False,
        when=_WHEN_PLANTED,
    ),
)


def meanings(name: str) -> dict[str, str]:
    """{column: what it is} of tables/<name>.csv, and {"column.case": what that is}."""
    (found,) = (each for each in TABLES if each.paths[0] == f"tables/{name}.csv")
    columns = {each.name: each.text for each in found.fields}
    return columns | {f"{each.name}.{case.name}": case.text for each in found.fields for case in each.cases}


_COUNT_OR_EMPTY = Values("integer", 0)
_PILOT = (
    count("satisfied", "satisfied responses that were not cut short"),
    count("violated", "violated ones"),
    number("median_tokens", "their median length", 0, None, "tokens"),
    Field("most_tokens", "their largest length", Values("integer", 0, None, "tokens")),
    *(
        string(
            scope,
            f"whether the study as configured will have enough data {scope} prompts",
            case("sufficient", ""),
            case("insufficient", ""),
        )
        for scope in ("across", "within")
    ),
    number("rows", "responses of the rarer outcome that the study is expected to have in a training part", 0),
    number("groups", "subjects that these are about", 0),
    number("mixed_items", "prompts with both outcomes that it is expected to have", 0),
    number("mixed_groups", "subjects that these are about", 0),
    number("mixed_per_fold", "such prompts in the test fold with the fewest", 0),
    *(
        Field(
            f"needed_{key}",
            f"the value of {of} that alone would be enough; empty: it is, or none",
            _COUNT_OR_EMPTY,
        )
        for key, of in (
            ("bases", "`prompts.bases`"),
            ("items_per_base", "`prompts.items_per_base`"),
            ("samples", "`generation.samples`"),
        )
    ),
)
_PILOT_NAMES = (
    f"{_COMPLIANCE_NAMES} satisfied violated median_tokens most_tokens across within rows groups mixed_items "
    "mixed_groups mixed_per_fold needed_bases needed_items_per_base needed_samples"
)
# Of single jobs, put together in others.
PARTS = (
    File(
        ("pilot/pilot.csv",),
        "What the pilot found, and whether the study will have enough data.",
        TABLE,
        _columns(_PILOT_NAMES, (*_COMPLIANCE, *_PILOT)),
        each="model and task",
        when="after `snakemake pilot`",
    ),
    File(
        ("calibration/<world>/<auroc>/<bases>/<seed>.csv",),
        "Verdicts on one planted world.",
        TABLE,
        _columns(
            "world auroc bases seed claim scope headline truth verdict outcome estimate lower99 upper99 "
            "n_tasks specialist",
            (
                *_PLANTED,
                *_CLAIMS,
                count("seed", "of the world"),
                string("verdict", "docs/findings.md", *_VERDICTS),
                string("outcome", "of the verdict", case("right", ""), case("wrong", ""), case("open", "")),
                number("estimate", "what the rule is about"),
                auroc("specialist", "that specialists reached, mean"),
            ),
        ),
        each="claim and scope",
        when=_WHEN_PLANTED,
    ),
    File(
        ("calibration/coverage/<first>-<end>.csv",),
        "Estimates and intervals of some simulated studies.",
        TABLE,
        _columns(
            f"quantity scope probes seed {_ESTIMATE}",
            (
                *_SIMULATED,
                count("seed", "of the study"),
                number("estimate", "of the quantity"),
            ),
        ),
        each="study, quantity, scope and kind of draws",
        when=_WHEN_PLANTED,
    ),
)


def _figure(name: str, source: str, names: str, *own: Field, within: bool = False) -> File:
    """figures/<name>.csv; source: the table that it shows; within: and its figure within prompts."""
    paths = (f"figures/{name}.csv", *((f"figures/{name}_within.csv",) if within else ()))
    return File(
        paths, f"The numbers in the figure: rows of {source}.", TABLE, _columns(names, own), each="mark"
    )


def _panel(*cases: Field) -> Field:
    return string("panel", "the part of the figure", *cases)


FIGURES = (
    _figure("scorecard", "tables/findings.csv", _FINDINGS_NAMES, *_FINDINGS),
    _figure(
        "compliance",
        "tables/compliance.csv",
        "model task category compliance lower95 upper95 n n_groups twin_compliance n_twin",
        *_COMPLIANCE,
    ),
    _figure(
        "generality",
        "tables/generality.csv at the selected layers",
        "model task category probe estimate lower95 upper95 n n_groups status",
        *_GENERALITY,
        number("estimate", "AUROC, 0 to 1; of a difference −1 to 1", -1, 1, "AUROC"),
        within=True,
    ),
    _figure(
        "layers",
        "tables/generality.csv at each layer",
        "model task category probe layer depth estimate lower95 upper95 n status",
        string("probe", "which probe is tested", *_PROBES),
        auroc("estimate", "of the probe at this layer"),
        within=True,
    ),
    _figure(
        "time",
        "tables/time.csv",
        "model task category probe position estimate lower95 upper95 n n_groups valid status",
        *_COURSE,
        within=True,
    ),
    _figure(
        "monitors/<model>",
        "tables/monitors.csv and monitors_reliability.csv of one model",
        "panel model task category reader position bin probability estimate lower95 upper95 n status",
        _panel(
            case("course", "AUROC by position, tables/monitors.csv"),
            case("reliability", "tables/monitors_reliability.csv"),
        ),
        _READER,
        string("position", "where; empty in the reliability"),
        Field("bin", "of probabilities; empty in the course", _COUNT_OR_EMPTY),
        number("probability", "mean of the bin; empty in the course", 0, 1, "share"),
        number("estimate", "AUROC, or the share that is satisfied", 0, 1),
    ),
    _figure(
        "specificity",
        "tables/specificity.csv",
        "model scope task category quantity estimate lower95 upper95 n n_groups status",
        string("quantity", "what is measured", *_SPECIFICITY),
        _UNIT_OF_QUANTITY,
    ),
    _figure(
        "robustness",
        "tables/robustness.csv and wording.csv",
        "panel model task category trained_on tested_on n_phrasings estimate lower95 upper95 n n_groups "
        "n_tasks status",
        _panel(
            *(case(name, "a contrast of tables/robustness.csv") for name in ("type", "polarity", "held_out")),
            case("diversity", "the same"),
            case("compliance", "tables/wording.csv"),
        ),
        *_ROBUSTNESS,
        within=True,
    ),
    _figure(
        "transfer",
        "tables/transfer.csv at the selected layer",
        "model source target estimate lower_simultaneous95 upper_simultaneous95 ratio n n_groups status",
        *_TRANSFER,
        within=True,
    ),
    _figure(
        "similarity",
        "tables/similarity.csv and model_similarity.csv",
        "panel model layer first second measure estimate null null_upper95 p n n_groups rank variance status",
        _panel(
            *(case(name, "a kind of tables/similarity.csv") for name in ("layers", "tasks", "subspaces")),
            *(case(f"models_{depth}", "tables/model_similarity.csv") for depth in ("middle", "last")),
        ),
        Field("layer", "of tasks and subspaces; empty else", _COUNT_OR_EMPTY),
        Field("first", "what is compared: a layer, task or model", _NUMBER_OR_NAME),
        Field("second", "with what", _NUMBER_OR_NAME),
        *_NULLS,
    ),
    _figure(
        "ablation",
        "tables/ablation.csv and ablation_curve.csv at the selected layer",
        "panel model source target status before after null net net_lower95 net_upper95 lower_simultaneous99 "
        "upper_simultaneous99 cell n n_groups rank estimate lower95 upper95",
        _panel(
            case("matrix", "cells of inlp, retrained"),
            case("curves", "AUROC by the number of erased directions"),
        ),
        _SOURCE,
        string("target", "the task whose probe is tested; `mean`: mean of the others"),
        auroc("before", "of the target, before"),
        auroc("after", "of the target, after"),
        difference("null", "mean fall under erasers of shuffled labels"),
        number("net", "the fall − null", -2, 2, "AUROC"),
        *(number(f"net_{bound}", f"`{bound}` of net") for bound in _BOUNDS),
        *_FALLS,
        _CELL,
        count("rank", "erased directions; empty in the matrix"),
        auroc("estimate", "the target's AUROC then; empty in the matrix"),
        within=True,
    ),
    _figure(
        "behaviour",
        "tables/behaviour.csv",
        f"panel model condition strength task quantity {_ESTIMATE} n n_groups truncated status",
        _panel(
            case("erase", "compliance while a subspace is erased"),
            case("flip", "compliance while it is reflected"),
            case("steer", "compliance by strength of steering"),
            case("text", "perplexity of unedited text"),
        ),
        number("strength", "of steering; empty else", None, None, "standard deviations"),
        *_BEHAVIOUR,
    ),
    _figure(
        "guard",
        "tables/guard.csv",
        "model task policy threshold tries strength tokens tokens_lower95 tokens_upper95 estimate lower95 "
        "upper95 n n_groups status",
        *_GUARD_SETTING,
        number("tokens", "tokens spent per prompt; 1: as many as one plain response has", 0),
        number("tokens_lower95", "lower end of their 95 % interval"),
        number("tokens_upper95", "upper end of it"),
        share("estimate", "compliance"),
        count("n", "prompts; of the mean over tasks: tasks"),
    ),
    _figure(
        "agreement",
        "tables/agreement.csv",
        "model edit source target fall_auroc fall_compliance lower99 upper99 dependent lost",
        *_AGREEMENT,
    ),
)
