"""The config of a study: checked against the schema and across keys, and completed with its defaults.

Planning reads this for every command, so it needs neither torch nor the network.
"""

from collections.abc import Mapping
from pathlib import Path

from skillprobe.errors import UserError
from skillprobe.study.checks import (
    check_ablation,
    check_activations,
    check_depths,
    check_engine,
    check_guard,
    check_judges,
    check_language,
    check_models,
    check_probes,
    check_prompts,
    check_renamed,
    check_section_layers,
    check_tasks,
)
from skillprobe.study.own_activations import check_sources, use_activations
from skillprobe.study.schema import check_schema, fill_defaults, load_schema, plain
from skillprobe.study.slices import over_time
from skillprobe.study.sources import groups

# results/toy/ is where the toy models are trained, results/models/ has converted ones; pilot/ is a folder in
# a study's own.
RESERVED_STUDIES = ("toy", "models", "pilot")


def complete(config: Mapping, root: str | Path) -> dict:
    """The config, checked and with every default filled in, as a new plain dict.

    root: where Snakemake runs, which relative paths start from. So that configs that mean the same are equal,
    lists whose order means nothing (layers, penalties, instruction types, polarities) come out sorted,
    numbers as int or float as the schema has it, `num_layers` is filled in and judges of tasks not studied
    are left out.
    Raises UserError: one sentence that names the key and says what to do.
    """
    root = Path(root)
    config = plain(config)
    check_renamed(config)
    check_schema(config)
    check_depths(config)
    config = fill_defaults(config, load_schema())
    sections = [
        config[name]
        for name in ("probes", "ablation", "behaviour", "time", "similarity", "robustness", "guard")
    ]
    for values in [config, *sections, *config["models"]]:
        for key in ("layers", "penalties", "strengths", "thresholds", "tries"):
            if isinstance(values.get(key), list):
                values[key].sort()
    for section, key in (
        ("prompts", "instruction_types"),
        ("prompts", "polarities"),
        ("probes", "confounds"),
    ):
        known = load_schema()["properties"][section]["properties"][key]["items"]["enum"]
        config[section][key].sort(key=known.index)

    if config["study"] in RESERVED_STUDIES:
        raise UserError(
            f"study can't be '{config['study']}': results/{config['study']}/ is reserved; choose another name"
        )
    check_sources(config)
    check_tasks(config)
    use_activations(config, root)
    world = check_prompts(config, root)
    check_models(config, root)
    check_language(config, root, world)
    check_engine(config)
    check_judges(config, root, world)
    check_activations(config, root)
    check_probes(config, groups(config, root))
    check_ablation(config)
    check_section_layers(config, "time", needed=over_time(config))
    check_section_layers(config, "similarity")
    check_section_layers(config, "robustness")
    check_guard(config, world)
    return config
