# What the study is going to cost, before anything runs, whether the disk has room for it, and what a pilot says.
# No benchmark here: it would count as a result, and the plan would be printed only once.


rule plan:
    log:
        f"{RESULTS}/logs/plan.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        settings=settings(*STUDY, contents=CONTENTS),
    script:
        "../scripts/print_plan.py"
