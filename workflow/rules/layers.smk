# At which depth each task's signal emerges, and whether the categories differ in it.


rule compare_layers:
    input:
        specialists=lambda w: expand(
            rules.fit_specialist_probe.output.probe, model=w.model, task=TASKS, layer=layers_of(w.model)
        ),
        code=code("compare_layers", *TASKS),
    output:
        table=f"{RESULTS}/tables/layers/{{model}}.csv",
        draws=f"{RESULTS}/tables/layers/{{model}}.h5",
    log:
        f"{RESULTS}/logs/compare_layers/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_layers/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=layer_settings(
            *("seed", "tasks", "groups", "statistics.bootstrap_draws"),
            *("claims.signal", "claims.emergence_share", "claims.looks"),
        ),
    script:
        "../scripts/compare_layers.py"
