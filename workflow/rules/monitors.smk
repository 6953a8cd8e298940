# For each task, which probe to read while a response is written, how its scores become probabilities, and whether that
# says more than what is known without the model's states.


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


rule fit_trivial_monitors:
    input:
        shards=ancient(expand(rules.extract_activations.output.shard, shard=SHARDS, allow_missing=True)),
        manifests=expand(rules.extract_activations.output.manifest, shard=SHARDS, allow_missing=True),
        labels=expand(rules.label_responses.output.labels, shard=SHARDS, allow_missing=True),
        world=WORLD_FILE,
        fetched_judge=fetched_judge,
        code=task_code("fit_trivial_monitors"),
    output:
        held_out=f"{RESULTS}/monitors/{{model}}/trivial/{{task}}.h5",
    log:
        f"{RESULTS}/logs/fit_trivial_monitors/{{model}}/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_trivial_monitors/{{model}}/{{task}}.tsv"
    conda:
        JUDGE_ENVIRONMENT
    resources:
        gpu=judge_resource("gpu", 0),
        mem_mb=judge_resource("mem_mb", 2000),
        runtime=60,
    params:
        settings=task_settings("seed", "groups", probes=PROTOCOL),
    script:
        "../scripts/fit_trivial_monitors.py"


rule compare_monitors:
    input:
        monitors=expand(rules.fit_monitor.output.held_out, task=TASKS, allow_missing=True),
        trivial=expand(rules.fit_trivial_monitors.output.held_out, task=TASKS, allow_missing=True),
        code=code("compare_monitors", *TASKS),
    output:
        curves=f"{RESULTS}/tables/monitors/{{model}}.csv",
        reliability=f"{RESULTS}/tables/monitors_reliability/{{model}}.csv",
        summary=f"{RESULTS}/tables/monitors_summary/{{model}}.csv",
        draws=f"{RESULTS}/tables/monitors_summary/{{model}}.h5",
    log:
        f"{RESULTS}/logs/compare_monitors/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_monitors/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=settings(
            *("seed", "tasks", "groups", "statistics.bootstrap_draws", "claims.looks"), probes=SCOPED
        ),
    script:
        "../scripts/compare_monitors.py"
