# What the tables say about each claim of the study.


rule write_findings:
    input:
        generality=merged("generality"),
        transfer_summary=merged("transfer_summary"),
        ablation_summary=merged("ablation_summary"),
        layers=merged("layers"),
        specificity=merged("specificity"),
        time_summary=TIME[1:],
        code=code("write_findings"),
    output:
        findings=f"{RESULTS}/findings.json",
    log:
        f"{RESULTS}/logs/write_findings.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_findings.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        settings=settings("tasks", "claims", models=MODELS),
    script:
        "../scripts/write_findings.py"
