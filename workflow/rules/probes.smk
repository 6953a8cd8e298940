# Linear probes of "satisfied": a specialist for each task, and general probes of all tasks together.


rule fit_specialist_probe:
    input:
        shards=ancient(expand(rules.extract_activations.output.shard, shard=SHARDS, allow_missing=True)),
        manifests=expand(rules.extract_activations.output.manifest, shard=SHARDS, allow_missing=True),
        code=code("fit_specialist_probe"),
    output:
        probe=f"{RESULTS}/probes/specialist/{{model}}/{{task}}/{{layer}}.h5",
    log:
        f"{RESULTS}/logs/fit_specialist_probe/{{model}}/{{task}}/{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_specialist_probe/{{model}}/{{task}}/{{layer}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=settings("seed", "groups", probes=PROBES),
    script:
        "../scripts/fit_specialist_probe.py"


rule fit_surface_probes:
    input:
        labels=expand(rules.label_responses.output.labels, shard=SHARDS, allow_missing=True),
        code=code("fit_surface_probes"),
    output:
        probes=f"{RESULTS}/probes/surface/{{model}}/{{task}}.h5",
    log:
        f"{RESULTS}/logs/fit_surface_probes/{{model}}/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_surface_probes/{{model}}/{{task}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=settings("seed", "groups", probes=PROTOCOL),
    script:
        "../scripts/fit_surface_probes.py"


rule fit_random_probes:
    input:
        shards=ancient(
            expand(rules.extract_random_activations.output.shard, shard=SHARDS, allow_missing=True)
        ),
        manifests=expand(rules.extract_random_activations.output.manifest, shard=SHARDS, allow_missing=True),
        code=code("fit_random_probes"),
    output:
        probes=f"{RESULTS}/probes/random/{{model}}/{{task}}.h5",
    log:
        f"{RESULTS}/logs/fit_random_probes/{{model}}/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_random_probes/{{model}}/{{task}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=lambda w: chosen(
            "seed", "groups", "probes.position", probes=PROTOCOL, layers=random_layers_of(w.model)
        ),
    script:
        "../scripts/fit_random_probes.py"


rule fit_general_probe:
    input:
        shards=ancient(
            expand(rules.extract_activations.output.shard, task=TASKS, shard=SHARDS, allow_missing=True)
        ),
        manifests=expand(
            rules.extract_activations.output.manifest, task=TASKS, shard=SHARDS, allow_missing=True
        ),
        code=code("fit_general_probe"),
    output:
        probe=f"{RESULTS}/probes/general/{{model}}/{{layer}}.h5",
    log:
        f"{RESULTS}/logs/fit_general_probe/{{model}}/{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_general_probe/{{model}}/{{layer}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        settings=settings("seed", "tasks", "groups", "probes.position", probes=SCOPED),
    script:
        "../scripts/fit_general_probe.py"


rule refit_probes:
    input:
        shards=ancient(
            expand(rules.extract_activations.output.shard, task=TASKS, shard=SHARDS, allow_missing=True)
        ),
        manifests=expand(
            rules.extract_activations.output.manifest, task=TASKS, shard=SHARDS, allow_missing=True
        ),
        specialists=lambda w: expand(
            rules.fit_specialist_probe.output.probe, model=w.model, task=TASKS, layer=layers_of(w.model)
        ),
        generals=lambda w: expand(
            rules.fit_general_probe.output.probe, model=w.model, layer=layers_of(w.model)
        ),
        code=code("refit_probes"),
    output:
        refits=f"{RESULTS}/probes/refits/{{model}}.h5",
    log:
        f"{RESULTS}/logs/refit_probes/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/refit_probes/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        settings=lambda w: chosen(
            *("seed", "tasks", "groups", "probes.position", "probes.feature_scaling"),
            "statistics.refit_draws",
            layers=layers_of(w.model),
        ),
    script:
        "../scripts/refit_probes.py"


rule probes:
    input:
        specialists=[
            path
            for model in MODELS
            for path in expand(
                rules.fit_specialist_probe.output.probe, model=model, task=TASKS, layer=layers_of(model)
            )
        ],
        surface=expand(rules.fit_surface_probes.output.probes, model=MODELS, task=TASKS),
        random=expand(rules.fit_random_probes.output.probes, model=RANDOM_WEIGHTS, task=TASKS),
        generals=[
            path
            for model in MODELS
            for path in expand(rules.fit_general_probe.output.probe, model=model, layer=layers_of(model))
        ],
        refits=expand(rules.refit_probes.output.refits, model=MODELS),
