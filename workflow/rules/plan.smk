# What the study is going to cost, before anything runs. (A plan that can't fit is refused by common.smk.)


rule plan:
    log:
        f"{RESULTS}/logs/plan.log",
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        settings=settings(*STUDY),
    script:
        "../scripts/print_plan.py"
