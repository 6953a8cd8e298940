# For each task, which probe to read while a response is written, and how its scores become probabilities.


rule fit_monitor:
    input:
        shards=ancient(expand(rules.extract_activations.output.shard, shard=SHARDS, allow_missing=True)),
        manifests=expand(rules.extract_activations.output.manifest, shard=SHARDS, allow_missing=True),
        labels=expand(rules.label_responses.output.labels, shard=SHARDS, allow_missing=True),
        code=code("fit_monitor"),
    output:
        monitor=f"{RESULTS}/monitors/{{model}}/{{task}}.safetensors",
        held_out=f"{RESULTS}/monitors/{{model}}/{{task}}.h5",
    log:
        f"{RESULTS}/logs/fit_monitor/{{model}}/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_monitor/{{model}}/{{task}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=lambda w: chosen(
            *("seed", "groups"),
            probes=PROTOCOL,
            layers=section_layers_of("time", w.model),
            model=identity(w.model),
        ),
    script:
        "../scripts/fit_monitor.py"


# Nothing if a position that they start or end at is not stored.
rule monitors:
    input:
        expand(rules.fit_monitor.output, model=MODELS, task=TASKS) if slices.over_time(STUDY) else [],
