# Each task's signal erased from every task's activations: which task needs what another uses?


# Of all layers' probes, so that the ablation of a layer needs those of its own layer only.
rule select_ablation_layer:
    input:
        specialists=lambda w: expand(
            rules.fit_specialist_probe.output.probe,
            model=w.model,
            task=TASKS,
            layer=section_layers_of("ablation", w.model),
        ),
        code=code("select_ablation_layer"),
    output:
        selected=f"{RESULTS}/ablation/{{model}}/selected.json",
    log:
        f"{RESULTS}/logs/select_ablation_layer/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/select_ablation_layer/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=lambda w: chosen(
            *("seed", "tasks", "groups", "statistics.bootstrap_draws", "claims.signal", "claims.looks"),
            layers=section_layers_of("ablation", w.model),
        ),
    script:
        "../scripts/select_ablation_layer.py"


rule ablate_activations:
    input:
        shards=ancient(
            expand(rules.extract_activations.output.shard, task=TASKS, shard=SHARDS, allow_missing=True)
        ),
        manifests=expand(
            rules.extract_activations.output.manifest, task=TASKS, shard=SHARDS, allow_missing=True
        ),
        probes=expand(rules.fit_specialist_probe.output.probe, task=TASKS, allow_missing=True),
        selected=rules.select_ablation_layer.output.selected,
        code=code("ablate_activations"),
    output:
        scores=f"{RESULTS}/ablation/{{model}}/{{layer}}.h5",
        erasers=f"{RESULTS}/erasers/{{model}}/{{layer}}.h5",
    log:
        f"{RESULTS}/logs/ablate_activations/{{model}}/{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/ablate_activations/{{model}}/{{layer}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        settings=lambda w: chosen(
            *("seed", "tasks", "groups", "statistics.bootstrap_draws", "statistics.refit_draws"),
            *("claims.signal", "claims.looks", "probes.position", "probes.feature_scaling"),
            ablation={key: value for key, value in STUDY["ablation"].items() if key != "layers"},
        ),
    script:
        "../scripts/ablate_activations.py"


rule compare_ablation:
    input:
        specialists=lambda w: expand(
            rules.fit_specialist_probe.output.probe,
            model=w.model,
            task=TASKS,
            layer=section_layers_of("ablation", w.model),
        ),
        scores=lambda w: expand(
            rules.ablate_activations.output.scores,
            model=w.model,
            layer=section_layers_of("ablation", w.model),
        ),
        code=code("compare_ablation", *TASKS),
    output:
        cells=f"{RESULTS}/tables/ablation/{{model}}.csv",
        curves=f"{RESULTS}/tables/ablation_curve/{{model}}.csv",
        summary=f"{RESULTS}/tables/ablation_summary/{{model}}.csv",
        draws=f"{RESULTS}/tables/ablation_summary/{{model}}.h5",
    log:
        f"{RESULTS}/logs/compare_ablation/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_ablation/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=lambda w: chosen(
            *("seed", "tasks", "groups", "statistics.bootstrap_draws", "claims.signal", "claims.looks"),
            *("claims.dependent", "claims.dependent_share"),
            *("claims.independent", "claims.independent_share"),
            layers=section_layers_of("ablation", w.model),
        ),
    script:
        "../scripts/compare_ablation.py"
