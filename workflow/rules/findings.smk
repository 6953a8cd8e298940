# What the tables say about each claim of the study.
JUDGED = ["generality", "transfer_summary", "ablation_summary", "layers", "specificity"]
JUDGED += ["time_summary", "monitors_summary"] if TIME else []


rule write_findings:
    input:
        tables=expand(f"{RESULTS}/tables/{{analysis}}/{{model}}.csv", analysis=JUDGED, model=MODELS),
        draws=expand(f"{RESULTS}/tables/{{analysis}}/{{model}}.h5", analysis=JUDGED, model=MODELS),
        transfer=merged("transfer"),
        reported=REPORTED,
        code=code("write_findings", *TASKS),
    output:
        findings=f"{RESULTS}/findings.json",
        table=f"{RESULTS}/tables/findings.csv",
    log:
        f"{RESULTS}/logs/write_findings.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_findings.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "claims", models=MODELS, analyses=JUDGED),
    script:
        "../scripts/write_findings.py"
