# Each analysis' tables of one model, put into one of all models.


rule merge_tables:
    input:
        tables=expand(f"{RESULTS}/tables/{{{{analysis}}}}/{{model}}.csv", model=MODELS),
        code=code("merge_tables"),
    output:
        table=merged("{analysis}"),
    log:
        f"{RESULTS}/logs/merge_tables/{{analysis}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/merge_tables/{{analysis}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings(models=MODELS),
    script:
        "../scripts/merge_tables.py"


rule transfer:
    input:
        merged("transfer"),
        merged("transfer_summary"),


# Nothing of models if there is but one.
MODEL_SIMILARITY = [rules.compare_models.output.table] if MODEL_DEPTHS else []


rule similarity:
    input:
        merged("similarity"),
        MODEL_SIMILARITY,


# Nothing if a position that these start or end at is not stored.
TIME = [merged("time"), merged("time_summary")] if slices.over_time(STUDY) else []


# Likewise.
MONITORS = [merged(f"monitors{part}") for part in ("", "_reliability", "_summary")] if TIME else []


rule time:
    input:
        TIME,


rule monitors:
    input:
        expand(rules.fit_monitor.output, model=MODELS, task=TASKS) if TIME else [],
        MONITORS,


rule robustness:
    input:
        merged("robustness"),
        merged("wording"),
