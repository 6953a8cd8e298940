# Instructions: content request (the base) x task x params x phrasing, each with its unconstrained prompt; or those of
# the user's own file.


rule make_prompts:
    input:
        world=WORLD_FILE,
        own=ancient(OWN_PROMPTS),
        code=task_code("make_prompts"),
    output:
        prompts=f"{RESULTS}/prompts/{{task}}/{{shard}}.jsonl",
    log:
        f"{RESULTS}/logs/make_prompts/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/make_prompts/{{task}}/{{shard}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        settings=prompt_settings,
    script:
        "../scripts/make_prompts.py"
