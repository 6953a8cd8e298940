# Pages for `snakemake --report`: an abstract with the numbers filled in, the tables, and example answers.


report: "../report/workflow.rst"


rule write_overview:
    input:
        compliance=rules.summarise_compliance.output.table,
        generality=merged("generality"),
        transfer=merged("transfer"),
        findings=rules.write_findings.output.findings,
        fetched=expand(rules.fetch_model.output.fetched, model=FETCHED_MODELS),
        reported=REPORTED,
        time=TIME[1:],
        behaviour=BEHAVIOUR,
        agreement=AGREEMENT[1:],
        code=code("write_overview"),
    output:
        page=shown_page("overview", "Overview", "One signal, or many skills?"),
        methods=shown_page("methods", "Overview", "Methods"),
        config=f"{RESULTS}/report/config.json",
    log:
        f"{RESULTS}/logs/write_overview.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_overview.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        settings=settings(
            *STUDY,
            contents=CONTENTS,
            identities={model: identity(model) for model in MODELS},
            own_sampling=sampling.own_of_folders(STUDY, ROOT),
            generations={model: generation(model) for model in MODELS},
        ),
    script:
        "../scripts/write_overview.py"


rule write_table_pages:
    input:
        compliance=rules.summarise_compliance.output.table,
        generality=merged("generality"),
        findings=rules.write_findings.output.findings,
        code=code("write_table_pages"),
    output:
        compliance=shown_page("compliance", "Responses", "How often does each model comply?", "table"),
        generality=shown_page(
            "generality", "Probes", "Is one general probe as good as a specialist?", "table"
        ),
        findings=shown_page("findings", "Overview", "What decides each claim?", "table"),
    log:
        f"{RESULTS}/logs/write_table_pages.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_table_pages.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        settings=settings("tasks", "claims.looks", models=MODELS),
    script:
        "../scripts/write_table_pages.py"


rule write_examples:
    input:
        labels=expand(rules.label_responses.output.labels, model=MODELS, task=TASKS, shard=SHARDS),
        code=code("write_examples"),
    output:
        page=shown_page("examples", "Responses", "Example prompts and responses"),
    log:
        f"{RESULTS}/logs/write_examples.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_examples.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("seed", "tasks", "report", models=MODELS),
    script:
        "../scripts/write_examples.py"


rule report_pages:
    input:
        rules.write_overview.output,
        rules.write_table_pages.output,
        rules.write_examples.output,
