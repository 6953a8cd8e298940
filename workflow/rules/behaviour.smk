# The same while the model writes: erased, reflected and steered by hooks, judged by the verifiers.


rule edit_behaviour:
    input:
        prompts=expand(rules.make_prompts.output.prompts, shard=SHARDS, allow_missing=True),
        labels=expand(rules.label_responses.output.labels, shard=SHARDS, allow_missing=True),
        shards=ancient(expand(rules.extract_activations.output.shard, shard=SHARDS, allow_missing=True)),
        manifests=expand(rules.extract_activations.output.manifest, shard=SHARDS, allow_missing=True),
        erasers=lambda w: expand(
            rules.ablate_activations.output.erasers, model=w.model, layer=edited_layers_of(w.model)
        ),
        world=WORLD_FILE,
        fetched_judge=fetched_judge,
        fetched=fetched,
        code=task_code("edit_behaviour"),
    output:
        responses=f"{RESULTS}/behaviour/{{model}}/{{task}}.jsonl",
        perplexities=f"{RESULTS}/behaviour/{{model}}/{{task}}.perplexity.jsonl",
    log:
        f"{RESULTS}/logs/edit_behaviour/{{model}}/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/edit_behaviour/{{model}}/{{task}}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=editing_gpus,
        # The model that answers, and the one that judges.
        mem_mb=lambda w: model_resource("mem_mb")(w) + judge_resource("mem_mb", 0)(w),
        runtime=model_resource("runtime"),
    params:
        settings=lambda w: chosen(
            *("seed", "groups", "probes.position", "activations.tokens_per_batch"),
            *("ablation.rank", "behaviour.bases", "behaviour.samples", "behaviour.strengths"),
            generation=generation(w.model),
            probes=PROTOCOL,
            model=identity(w.model),
            layers=edited_layers_of(w.model),
            judge=judge(w.task),
        ),
    script:
        "../scripts/edit_behaviour.py"


rule compare_behaviour:
    input:
        responses=expand(rules.edit_behaviour.output.responses, task=TASKS, allow_missing=True),
        perplexities=expand(rules.edit_behaviour.output.perplexities, task=TASKS, allow_missing=True),
        code=code("compare_behaviour"),
    output:
        table=f"{RESULTS}/tables/behaviour/{{model}}.csv",
    log:
        f"{RESULTS}/logs/compare_behaviour/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_behaviour/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=settings("seed", "tasks", "statistics.bootstrap_draws", "claims.looks", probes=PROTOCOL),
    script:
        "../scripts/compare_behaviour.py"
