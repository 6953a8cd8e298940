# The figures: SVG for the report, PNG for slides, and what each shows as CSV.


rule plot_scorecard:
    input:
        table=rules.write_findings.output.table,
        code=code("plot_scorecard"),
    output:
        svg=shown_figure("scorecard", "Overview", "Claims and verdicts, by model"),
        png=f"{RESULTS}/figures/scorecard.png",
        data=f"{RESULTS}/figures/scorecard.csv",
    log:
        f"{RESULTS}/logs/plot_scorecard.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_scorecard.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("claims", "figures", models=MODELS),
    script:
        "../scripts/plot_scorecard.py"


rule plot_compliance:
    input:
        table=rules.summarise_compliance.output.table,
        code=code("plot_compliance"),
    output:
        svg=shown_figure("compliance", "Responses", "How often does each model comply?"),
        png=f"{RESULTS}/figures/compliance.png",
        data=f"{RESULTS}/figures/compliance.csv",
    log:
        f"{RESULTS}/logs/plot_compliance.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_compliance.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_compliance.py"


rule plot_generality:
    input:
        table=merged("generality"),
        code=code("plot_generality"),
    output:
        svg=shown_figure("generality", "Probes", "Is one general probe as good as a specialist?"),
        png=f"{RESULTS}/figures/generality.png",
        data=f"{RESULTS}/figures/generality.csv",
        within_svg=shown_figure(
            "generality_within", "Probes", "Is one general probe as good as a specialist, within one prompt?"
        ),
        within_png=f"{RESULTS}/figures/generality_within.png",
        within_data=f"{RESULTS}/figures/generality_within.csv",
    log:
        f"{RESULTS}/logs/plot_generality.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_generality.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_generality.py"


rule plot_layers:
    input:
        table=merged("generality"),
        emergence=merged("layers"),
        code=code("plot_layers"),
    output:
        svg=shown_figure("layers", "Probes", "Where in the network can satisfaction be read?"),
        png=f"{RESULTS}/figures/layers.png",
        data=f"{RESULTS}/figures/layers.csv",
        within_svg=shown_figure(
            "layers_within", "Probes", "Where in the network can satisfaction be read, within one prompt?"
        ),
        within_png=f"{RESULTS}/figures/layers_within.png",
        within_data=f"{RESULTS}/figures/layers_within.csv",
    log:
        f"{RESULTS}/logs/plot_layers.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_layers.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_layers.py"


rule plot_time:
    input:
        table=merged("time"),
        code=code("plot_time"),
    output:
        svg=shown_figure("time", "Probes", "When can satisfaction be read?"),
        png=f"{RESULTS}/figures/time.png",
        data=f"{RESULTS}/figures/time.csv",
        within_svg=shown_figure("time_within", "Probes", "When can satisfaction be read, within one prompt?"),
        within_png=f"{RESULTS}/figures/time_within.png",
        within_data=f"{RESULTS}/figures/time_within.csv",
    log:
        f"{RESULTS}/logs/plot_time.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_time.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_time.py"


rule plot_monitors:
    input:
        curves=rules.compare_monitors.output.curves,
        reliability=rules.compare_monitors.output.reliability,
        code=code("plot_monitors", *TASKS),
    output:
        svg=shown_figure("monitors/{model}", "Monitors", "Does a monitor of {model} add to the text so far?"),
        png=f"{RESULTS}/figures/monitors/{{model}}.png",
        data=f"{RESULTS}/figures/monitors/{{model}}.csv",
    log:
        f"{RESULTS}/logs/plot_monitors/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_monitors/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures"),
    script:
        "../scripts/plot_monitors.py"


rule plot_specificity:
    input:
        table=merged("specificity"),
        code=code("plot_specificity"),
    output:
        svg=shown_figure("specificity", "Probes", "Do probes read the match or only the text?"),
        png=f"{RESULTS}/figures/specificity.png",
        data=f"{RESULTS}/figures/specificity.csv",
    log:
        f"{RESULTS}/logs/plot_specificity.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_specificity.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_specificity.py"


rule plot_robustness:
    input:
        table=merged("robustness"),
        wording=merged("wording"),
        code=code("plot_robustness"),
    output:
        svg=shown_figure("robustness", "Probes", "Does the wording of the instruction matter?"),
        png=f"{RESULTS}/figures/robustness.png",
        data=f"{RESULTS}/figures/robustness.csv",
        within_svg=shown_figure(
            "robustness_within", "Probes", "Does the wording of the instruction matter, within one prompt?"
        ),
        within_png=f"{RESULTS}/figures/robustness_within.png",
        within_data=f"{RESULTS}/figures/robustness_within.csv",
    log:
        f"{RESULTS}/logs/plot_robustness.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_robustness.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_robustness.py"


rule plot_transfer:
    input:
        table=merged("transfer"),
        code=code("plot_transfer", *TASKS),
    output:
        svg=shown_figure("transfer", "Probes", "Does one task's probe work on another?"),
        png=f"{RESULTS}/figures/transfer.png",
        data=f"{RESULTS}/figures/transfer.csv",
        within_svg=shown_figure(
            "transfer_within", "Probes", "Does one task's probe work on another, within one prompt?"
        ),
        within_png=f"{RESULTS}/figures/transfer_within.png",
        within_data=f"{RESULTS}/figures/transfer_within.csv",
    log:
        f"{RESULTS}/logs/plot_transfer.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_transfer.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_transfer.py"


rule plot_similarity:
    input:
        table=merged("similarity"),
        models=MODEL_SIMILARITY,
        code=code("plot_similarity", *TASKS),
    output:
        svg=shown_figure("similarity", "Probes", "How alike are layers, tasks and models?"),
        png=f"{RESULTS}/figures/similarity.png",
        data=f"{RESULTS}/figures/similarity.csv",
    log:
        f"{RESULTS}/logs/plot_similarity.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_similarity.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_similarity.py"


rule plot_ablation:
    input:
        cells=merged("ablation"),
        curves=merged("ablation_curve"),
        code=code("plot_ablation", *TASKS),
    output:
        svg=shown_figure("ablation", "Probes", "Does erasing one task's signal hurt the others?"),
        png=f"{RESULTS}/figures/ablation.png",
        data=f"{RESULTS}/figures/ablation.csv",
        within_svg=shown_figure(
            "ablation_within", "Probes", "Does erasing one task's signal hurt the others, within one prompt?"
        ),
        within_png=f"{RESULTS}/figures/ablation_within.png",
        within_data=f"{RESULTS}/figures/ablation_within.csv",
    log:
        f"{RESULTS}/logs/plot_ablation.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_ablation.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_ablation.py"


rule plot_behaviour:
    input:
        table=merged("behaviour"),
        code=code("plot_behaviour", *TASKS),
    output:
        svg=shown_figure("behaviour", "Behaviour", "Do responses change when a signal is edited?"),
        png=f"{RESULTS}/figures/behaviour.png",
        data=f"{RESULTS}/figures/behaviour.csv",
    log:
        f"{RESULTS}/logs/plot_behaviour.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_behaviour.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", "claims.looks", models=MODELS),
    script:
        "../scripts/plot_behaviour.py"


rule plot_agreement:
    input:
        cells=rules.compare_agreement.output.cells,
        summary=rules.compare_agreement.output.summary,
        code=code("plot_agreement", *TASKS),
    output:
        svg=shown_figure("agreement", "Behaviour", "Do responses depend on a signal where activations do?"),
        png=f"{RESULTS}/figures/agreement.png",
        data=f"{RESULTS}/figures/agreement.csv",
    log:
        f"{RESULTS}/logs/plot_agreement.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_agreement.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_agreement.py"


rule plot_guard:
    input:
        table=merged("guard"),
        code=code("plot_guard"),
    output:
        svg=shown_figure("guard", "Guard", "Does acting on the monitors pay?"),
        png=f"{RESULTS}/figures/guard.png",
        data=f"{RESULTS}/figures/guard.csv",
    log:
        f"{RESULTS}/logs/plot_guard.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_guard.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "figures", models=MODELS),
    script:
        "../scripts/plot_guard.py"


rule figures:
    input:
        rules.plot_scorecard.output,
        rules.plot_compliance.output,
        rules.plot_generality.output,
        rules.plot_layers.output,
        rules.plot_time.output if TIME else [],
        expand(rules.plot_monitors.output, model=MODELS) if TIME else [],
        rules.plot_specificity.output,
        rules.plot_robustness.output,
        rules.plot_transfer.output,
        rules.plot_ablation.output,
        rules.plot_similarity.output,
        [rules.plot_behaviour.output, rules.plot_agreement.output] if BEHAVIOUR else [],
        rules.plot_guard.output if GUARD else [],
