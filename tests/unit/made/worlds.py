"""Settings of planted worlds that are small."""

from skillprobe.study.schema import fill_defaults, load_schema

TASKS = ["word_count", "json_format", "term_inclusion", "topic", "toxicity"]


def small_settings(**changes):
    """What `judge_world` needs: the defaults, but less of everything that takes time."""
    config = fill_defaults({}, load_schema())
    settings = {
        "seed": 0,
        "study": "test",
        "tasks": TASKS,
        "generation.samples": 4,
        "items_per_base": 2,
        "probes": config["probes"] | {"penalties": [1e-3, 1e-2], "fold_seeds": 1},
        "ablation": config["ablation"] | {"rank": 2, "max_rank": 2, "shuffles": 2},
        "statistics": {"bootstrap_draws": 200, "refit_draws": 100},
        "claims": config["claims"],
        "hidden_size": 24,
        "num_layers": 3,
        "refits": False,
    }
    return settings | changes
