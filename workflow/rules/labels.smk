# What the verifiers and judges say of each answer; or the labels that came with the user's own activations.


rule label_responses:
    input:
        prompts=rules.make_prompts.output.prompts,
        responses=rules.generate_responses.output.responses,
        world=WORLD_FILE,
        fetched_judge=fetched_judge,
        code=task_code("label_responses"),
    output:
        labels=f"{RESULTS}/labels/{{model}}/{{task}}/{{shard}}.jsonl",
    log:
        f"{RESULTS}/logs/label_responses/{{model}}/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/label_responses/{{model}}/{{task}}/{{shard}}.tsv"
    wildcard_constraints:
        model=one_of(LOADED_MODELS),
    conda:
        JUDGE_ENVIRONMENT
    resources:
        gpu=judge_resource("gpu", 0),
        mem_mb=judge_resource("mem_mb", 1000),
        runtime=20,
    params:
        settings=task_settings(),
    script:
        "../scripts/label_responses.py"


rule take_labels:
    input:
        given=ancient(given_labels),
        code=code("take_labels"),
    output:
        labels=f"{RESULTS}/labels/{{model}}/{{task}}/{{shard}}.jsonl",
    log:
        f"{RESULTS}/logs/take_labels/{{model}}/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/take_labels/{{model}}/{{task}}/{{shard}}.tsv"
    wildcard_constraints:
        model=one_of(GIVEN_MODELS),
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=activation_settings,
    script:
        "../scripts/take_labels.py"


rule summarise_compliance:
    input:
        labels=expand(rules.label_responses.output, model=MODELS, task=TASKS, shard=SHARDS),
        code=code("summarise_compliance", *TASKS),
    output:
        table=f"{RESULTS}/tables/compliance.csv",
        text=f"{RESULTS}/tables/compliance.txt",
    log:
        f"{RESULTS}/logs/summarise_compliance.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise_compliance.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=settings("tasks", "seed", "statistics.bootstrap_draws", models=MODELS),
    script:
        "../scripts/summarise_compliance.py"
