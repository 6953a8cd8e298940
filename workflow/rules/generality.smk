# Specialist against general probes, at every layer and at the layer chosen by inner folds.


rule compare_generality:
    input:
        specialists=lambda w: expand(
            rules.fit_specialist_probe.output.probe, model=w.model, task=TASKS, layer=layers_of(w.model)
        ),
        generals=lambda w: expand(
            rules.fit_general_probe.output.probe, model=w.model, layer=layers_of(w.model)
        ),
        code=code("compare_generality", *TASKS),
    output:
        table=f"{RESULTS}/tables/generality/{{model}}.csv",
    log:
        f"{RESULTS}/logs/compare_generality/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_generality/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=layer_settings("seed", "tasks", "prompts", "statistics"),
    script:
        "../scripts/compare_generality.py"


rule merge_generality:
    input:
        tables=expand(rules.compare_generality.output.table, model=MODELS),
        code=code("merge_tables"),
    output:
        table=f"{RESULTS}/tables/generality.csv",
    log:
        f"{RESULTS}/logs/merge_generality.log",
    benchmark:
        f"{RESULTS}/benchmarks/merge_generality.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings(models=MODELS),
    script:
        "../scripts/merge_tables.py"
