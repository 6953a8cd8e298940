# Do probes read whether text and constraint match? On crossings, and on the same requests without the constraint.


rule compare_specificity:
    input:
        shards=ancient(
            expand(rules.extract_activations.output.shard, task=TASKS, shard=SHARDS, allow_missing=True)
        ),
        manifests=expand(
            rules.extract_activations.output.manifest, task=TASKS, shard=SHARDS, allow_missing=True
        ),
        crossings=expand(rules.make_crossings.output.crossings, task=TASKS, shard=CROSSED, allow_missing=True),
        crossed=ancient(expand(rules.extract_crossings.output.shards, shard=CROSSED, allow_missing=True)),
        crossed_manifests=expand(rules.extract_crossings.output.manifests, shard=CROSSED, allow_missing=True),
        specialists=lambda w: expand(
            rules.fit_specialist_probe.output.probe, model=w.model, task=TASKS, layer=layers_of(w.model)
        ),
        code=code("compare_specificity", *TASKS),
    output:
        table=f"{RESULTS}/tables/specificity/{{model}}.csv",
        draws=f"{RESULTS}/tables/specificity/{{model}}.h5",
    log:
        f"{RESULTS}/logs/compare_specificity/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_specificity/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=lambda w: chosen(
            *("seed", "tasks", "groups", "statistics.bootstrap_draws"),
            *("claims.looks", "claims.signal", "claims.crossings", "claims.crossing_groups"),
            probes=PROTOCOL | {"position": STUDY["probes"]["position"]},
            layers=layers_of(w.model),
        ),
    script:
        "../scripts/compare_specificity.py"
