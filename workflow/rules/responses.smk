# The model's own answers, sampled with a seed of their own; or those of the user's, made elsewhere.


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
    wildcard_constraints:
        model=one_of(GENERATED_MODELS),
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


rule take_answers:
    input:
        prompts=rules.make_prompts.output.prompts,
        answers=ancient(answer_files),
        fetched=fetched,
        code=code("take_answers"),
    output:
        responses=f"{RESULTS}/responses/{{model}}/{{task}}/{{shard}}.jsonl",
    log:
        f"{RESULTS}/logs/take_answers/{{model}}/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/take_answers/{{model}}/{{task}}/{{shard}}.tsv"
    wildcard_constraints:
        model=one_of(ANSWERED_MODELS),
    conda:
        "../../envs/cpu.yaml"
    resources:
        gpu=0,
        mem_mb=2000,
        runtime=30,
    params:
        settings=answer_settings,
    script:
        "../scripts/take_answers.py"


rule responses:
    input:
        expand(rules.generate_responses.output, model=LOADED_MODELS, task=TASKS, shard=SHARDS),
