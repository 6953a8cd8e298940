# One teacher-forced pass over each prompt and answer; all layers at a few positions. Or the user's own activations,
# which another tool has saved.


rule extract_activations:
    input:
        labels=rules.label_responses.output.labels,
        fetched=fetched,
        code=code("extract_activations"),
    output:
        shard=f"{RESULTS}/activations/{{model}}/{{task}}/{{shard}}.h5",
        # Small, so that Snakemake compares it by content; who reads the shard depends on this.
        manifest=f"{RESULTS}/activations/{{model}}/{{task}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/extract_activations/{{model}}/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract_activations/{{model}}/{{task}}/{{shard}}.tsv"
    wildcard_constraints:
        model=one_of(LOADED_MODELS),
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=model_resource("gpu"),
        mem_mb=model_resource("mem_mb"),
        runtime=model_resource("runtime"),
    params:
        settings=model_settings("study", "activations"),
    script:
        "../scripts/extract_activations.py"


rule take_activations:
    input:
        labels=rules.take_labels.output.labels,
        given=ancient(given_activations),
        code=code("take_activations"),
    output:
        shard=f"{RESULTS}/activations/{{model}}/{{task}}/{{shard}}.h5",
        manifest=f"{RESULTS}/activations/{{model}}/{{task}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/take_activations/{{model}}/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/take_activations/{{model}}/{{task}}/{{shard}}.tsv"
    wildcard_constraints:
        model=one_of(GIVEN_MODELS),
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=activation_settings,
    script:
        "../scripts/take_activations.py"


rule extract_random_activations:
    input:
        labels=rules.label_responses.output.labels,
        fetched=fetched,
        code=code("extract_random_activations"),
    output:
        shard=f"{RESULTS}/random_activations/{{model}}/{{task}}/{{shard}}.h5",
        manifest=f"{RESULTS}/random_activations/{{model}}/{{task}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/extract_random_activations/{{model}}/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract_random_activations/{{model}}/{{task}}/{{shard}}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=model_resource("gpu"),
        mem_mb=model_resource("mem_mb"),
        runtime=model_resource("runtime"),
    params:
        settings=model_settings(
            "study", "seed", "activations.dtype", "activations.tokens_per_batch", "probes.position"
        ),
    script:
        "../scripts/extract_random_activations.py"


rule activations:
    input:
        expand(rules.extract_activations.output, model=MODELS, task=TASKS, shard=SHARDS),
