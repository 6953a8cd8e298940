# Do other words for the same change what is obeyed, and what probes read?


rule fit_across_wordings:
    input:
        shards=ancient(
            expand(rules.extract_activations.output.shard, task=TASKS, shard=SHARDS, allow_missing=True)
        ),
        manifests=expand(
            rules.extract_activations.output.manifest, task=TASKS, shard=SHARDS, allow_missing=True
        ),
        code=code("fit_across_wordings"),
    output:
        probes=f"{RESULTS}/probes/wordings/{{model}}/{{layer}}.h5",
    log:
        f"{RESULTS}/logs/fit_across_wordings/{{model}}/{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_across_wordings/{{model}}/{{layer}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=settings(*("seed", "tasks", "groups", "probes.position", "robustness.draws"), probes=SCOPED),
    script:
        "../scripts/fit_across_wordings.py"


rule compare_robustness:
    input:
        probes=lambda w: expand(
            rules.fit_across_wordings.output.probes,
            model=w.model,
            layer=section_layers_of("robustness", w.model),
        ),
        code=code("compare_robustness", *TASKS),
    output:
        table=f"{RESULTS}/tables/robustness/{{model}}.csv",
    log:
        f"{RESULTS}/logs/compare_robustness/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_robustness/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=lambda w: chosen(
            *("seed", "tasks", "groups", "statistics.bootstrap_draws", "claims.looks"),
            layers=section_layers_of("robustness", w.model),
        ),
    script:
        "../scripts/compare_robustness.py"


rule compare_wording:
    input:
        labels=expand(rules.label_responses.output.labels, task=TASKS, shard=SHARDS, allow_missing=True),
        code=code("compare_wording", *TASKS),
    output:
        table=f"{RESULTS}/tables/wording/{{model}}.csv",
    log:
        f"{RESULTS}/logs/compare_wording/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_wording/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=settings(
            "seed", "tasks", "groups", "statistics.bootstrap_draws", "claims.looks", "probes.min_groups"
        ),
    script:
        "../scripts/compare_wording.py"
