# Hub models, downloaded where Snakemake itself runs: the jobs that load them need no network.


localrules:
    fetch_model,


rule fetch_model:
    input:
        code=code("fetch_model"),
    output:
        fetched=f"{RESULTS}/models/{{model}}.json",
    log:
        f"{RESULTS}/logs/fetch_model/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch_model/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        settings=model_settings(),
    script:
        "../scripts/fetch_model.py"
