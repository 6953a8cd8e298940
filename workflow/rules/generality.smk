# Specialist against general probes, at every layer and at the layer chosen by inner folds.


rule compare_generality:
    input:
        specialists=lambda w: expand(
            rules.fit_specialist_probe.output.probe, model=w.model, task=TASKS, layer=layers_of(w.model)
        ),
        generals=lambda w: expand(
            rules.fit_general_probe.output.probe, model=w.model, layer=layers_of(w.model)
        ),
        surface=expand(rules.fit_surface_probes.output.probes, task=TASKS, allow_missing=True),
        random=lambda w: expand(
            rules.fit_random_probes.output.probes, model=[w.model] if RANDOM_WEIGHTS else [], task=TASKS
        ),
        refits=rules.refit_probes.output.refits,
        code=code("compare_generality", *TASKS),
    output:
        table=f"{RESULTS}/tables/generality/{{model}}.csv",
        draws=f"{RESULTS}/tables/generality/{{model}}.h5",
    log:
        f"{RESULTS}/logs/compare_generality/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_generality/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=layer_settings(
            *("seed", "tasks", "groups", "statistics.bootstrap_draws", "claims.signal", "claims.looks")
        ),
    script:
        "../scripts/compare_generality.py"
