# Every task's probes on every task's rows: does what one skill reads serve another?


rule transfer_probes:
    input:
        shards=ancient(
            expand(rules.extract_activations.output.shard, task=TASKS, shard=SHARDS, allow_missing=True)
        ),
        manifests=expand(
            rules.extract_activations.output.manifest, task=TASKS, shard=SHARDS, allow_missing=True
        ),
        probes=expand(rules.fit_specialist_probe.output.probe, task=TASKS, allow_missing=True),
        code=code("transfer_probes"),
    output:
        scores=f"{RESULTS}/probes/transfer/{{model}}/{{layer}}.h5",
    log:
        f"{RESULTS}/logs/transfer_probes/{{model}}/{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer_probes/{{model}}/{{layer}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=settings("tasks", "probes.position"),
    script:
        "../scripts/transfer_probes.py"


rule compare_transfer:
    input:
        specialists=lambda w: expand(
            rules.fit_specialist_probe.output.probe, model=w.model, task=TASKS, layer=layers_of(w.model)
        ),
        scores=lambda w: expand(rules.transfer_probes.output.scores, model=w.model, layer=layers_of(w.model)),
        refits=rules.refit_probes.output.refits,
        code=code("compare_transfer", *TASKS),
    output:
        cells=f"{RESULTS}/tables/transfer/{{model}}.csv",
        summary=f"{RESULTS}/tables/transfer_summary/{{model}}.csv",
        draws=f"{RESULTS}/tables/transfer_summary/{{model}}.h5",
    log:
        f"{RESULTS}/logs/compare_transfer/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_transfer/{{model}}.tsv"
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
        "../scripts/compare_transfer.py"
