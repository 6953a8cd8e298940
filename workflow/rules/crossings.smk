# Constraints crossed with answers to the same request: does a probe read whether they match?

# With labels.crossings: 0 nothing is crossed, and no match is looked for.
CROSSED = SHARDS if STUDY["labels"]["crossings"] else []


rule make_crossings:
    input:
        prompts=rules.make_prompts.output.prompts,
        labels=rules.label_responses.output.labels,
        # Of all tasks: whatever was written on the same request may be read under this task's constraint.
        responses=expand(rules.generate_responses.output.responses, task=TASKS, allow_missing=True),
        world=WORLD_FILE,
        fetched_judge=fetched_judge,
        code=task_code("make_crossings"),
    output:
        crossings=f"{RESULTS}/crossings/{{model}}/{{task}}/{{shard}}.jsonl",
    log:
        f"{RESULTS}/logs/make_crossings/{{model}}/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/make_crossings/{{model}}/{{task}}/{{shard}}.tsv"
    conda:
        JUDGE_ENVIRONMENT
    resources:
        gpu=judge_resource("gpu", 0),
        mem_mb=judge_resource("mem_mb", 1000),
        runtime=30,
    params:
        settings=lambda w: chosen("seed", "labels", judge=judge(w.task), prompts=prompts_of(w.task)),
    script:
        "../scripts/make_crossings.py"


rule extract_crossings:
    # Of all tasks, whose crossings are made of the same responses: those of one take less time than to load the model.
    input:
        crossings=expand(rules.make_crossings.output.crossings, task=TASKS, allow_missing=True),
        fetched=fetched,
        code=code("extract_crossings"),
    output:
        shards=expand(
            f"{RESULTS}/crossing_activations/{{model}}/{{task}}/{{shard}}.h5", task=TASKS, allow_missing=True
        ),
        manifests=expand(
            f"{RESULTS}/crossing_activations/{{model}}/{{task}}/{{shard}}.json",
            task=TASKS,
            allow_missing=True,
        ),
    log:
        f"{RESULTS}/logs/extract_crossings/{{model}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract_crossings/{{model}}/{{shard}}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=model_resource("gpu"),
        mem_mb=model_resource("mem_mb"),
        runtime=model_resource("runtime"),
    params:
        settings=model_settings(
            "study", "tasks", "activations.dtype", "activations.tokens_per_batch", "probes.position"
        ),
    script:
        "../scripts/extract_crossings.py"
