# Do the answers depend on a signal where the activations do?


rule compare_agreement:
    input:
        ablation=merged("ablation"),
        behaviour=merged("behaviour"),
        code=code("compare_agreement"),
    output:
        cells=f"{RESULTS}/tables/agreement.csv",
        summary=f"{RESULTS}/tables/agreement_summary.csv",
    log:
        f"{RESULTS}/logs/compare_agreement.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_agreement.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", models=MODELS),
    script:
        "../scripts/compare_agreement.py"


# Nothing if no prompt is to be answered under edits.
BEHAVIOUR = [merged("behaviour")] if STUDY["behaviour"]["bases"] else []
AGREEMENT = [*rules.compare_agreement.output] if BEHAVIOUR else []


rule ablation:
    input:
        merged("ablation"),
        merged("ablation_curve"),
        merged("ablation_summary"),
        BEHAVIOUR,
        AGREEMENT,
