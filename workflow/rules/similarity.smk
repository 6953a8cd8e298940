# How alike are layers, tasks, what is erased for each task, and models?

# {"middle" or "last": {model: layer}}; nothing for a single model.
MODEL_DEPTHS = slices.model_depths(STUDY)


rule compare_similarity:
    input:
        shards=ancient(
            expand(rules.extract_activations.output.shard, task=TASKS, shard=SHARDS, allow_missing=True)
        ),
        manifests=expand(
            rules.extract_activations.output.manifest, task=TASKS, shard=SHARDS, allow_missing=True
        ),
        erasers=lambda w: expand(
            rules.ablate_activations.output.erasers,
            model=w.model,
            layer=section_layers_of("ablation", w.model),
        ),
        code=code("compare_similarity"),
    output:
        table=f"{RESULTS}/tables/similarity/{{model}}.csv",
    log:
        f"{RESULTS}/logs/compare_similarity/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_similarity/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=lambda w: chosen(
            *("seed", "tasks", "probes.position", "probes.max_truncated", "ablation.rank"),
            *("similarity.rank", "similarity.permutations"),
            layers=layers_of(w.model),
            task_layers=section_layers_of("similarity", w.model),
            ablated_layers=section_layers_of("ablation", w.model),
        ),
    script:
        "../scripts/compare_similarity.py"


rule compare_models:
    input:
        shards=ancient(expand(rules.extract_activations.output.shard, model=MODELS, task=TASKS, shard=SHARDS)),
        manifests=expand(rules.extract_activations.output.manifest, model=MODELS, task=TASKS, shard=SHARDS),
        code=code("compare_models"),
    output:
        table=f"{RESULTS}/tables/model_similarity.csv",
    log:
        f"{RESULTS}/logs/compare_models.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_models.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=settings(
            *("seed", "tasks", "probes.position", "probes.max_truncated"),
            *("similarity.rank", "similarity.permutations"),
            models=MODELS,
            depths=MODEL_DEPTHS,
        ),
    script:
        "../scripts/compare_models.py"
