# The model's own answers, sampled with a seed of their own.


rule generate_responses:
    input:
        prompts=rules.make_prompts.output.prompts,
        fetched=fetched,
        code=code("generate_responses"),
    output:
        responses=f"{RESULTS}/responses/{{model}}/{{task}}/{{shard}}.jsonl",
    log:
        f"{RESULTS}/logs/generate_responses/{{model}}/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/generate_responses/{{model}}/{{task}}/{{shard}}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=model_resource("gpu"),
        mem_mb=model_resource("mem_mb"),
        runtime=model_resource("runtime"),
    params:
        settings=response_settings(),
    script:
        "../scripts/generate_responses.py"


rule responses:
    input:
        expand(rules.generate_responses.output, model=MODELS, task=TASKS, shard=SHARDS),
