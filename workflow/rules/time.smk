# When is it known: a probe at every position, beside what the text so far decides.


rule fit_course:
    input:
        shards=ancient(
            expand(rules.extract_activations.output.shard, task=TASKS, shard=SHARDS, allow_missing=True)
        ),
        manifests=expand(
            rules.extract_activations.output.manifest, task=TASKS, shard=SHARDS, allow_missing=True
        ),
        code=code("fit_course"),
    output:
        course=f"{RESULTS}/time/{{model}}/{{layer}}.h5",
    log:
        f"{RESULTS}/logs/fit_course/{{model}}/{{layer}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_course/{{model}}/{{layer}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=settings("seed", "tasks", "groups", probes=SCOPED),
    script:
        "../scripts/fit_course.py"


rule fit_prefix_baselines:
    input:
        shards=ancient(expand(rules.extract_activations.output.shard, shard=SHARDS, allow_missing=True)),
        manifests=expand(rules.extract_activations.output.manifest, shard=SHARDS, allow_missing=True),
        labels=expand(rules.label_responses.output.labels, shard=SHARDS, allow_missing=True),
        world=WORLD_FILE,
        fetched_judge=fetched_judge,
        code=task_code("fit_prefix_baselines"),
    output:
        baselines=f"{RESULTS}/time/{{model}}/baselines/{{task}}.h5",
    log:
        f"{RESULTS}/logs/fit_prefix_baselines/{{model}}/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_prefix_baselines/{{model}}/{{task}}.tsv"
    conda:
        JUDGE_ENVIRONMENT
    resources:
        gpu=judge_resource("gpu", 0),
        mem_mb=judge_resource("mem_mb", 2000),
        runtime=60,
    params:
        settings=task_settings("seed", "groups", probes=SCOPED),
    script:
        "../scripts/fit_prefix_baselines.py"


rule fit_planning:
    input:
        shards=ancient(expand(rules.extract_activations.output.shard, shard=SHARDS, allow_missing=True)),
        manifests=expand(rules.extract_activations.output.manifest, shard=SHARDS, allow_missing=True),
        labels=expand(rules.label_responses.output.labels, shard=SHARDS, allow_missing=True),
        code=code("fit_planning"),
    output:
        scores=f"{RESULTS}/time/{{model}}/planning/{{task}}.h5",
    log:
        f"{RESULTS}/logs/fit_planning/{{model}}/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_planning/{{model}}/{{task}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=lambda w: chosen(
            *("seed", "groups", "claims.prompt_variance"),
            probes=PROTOCOL,
            layers=section_layers_of("time", w.model),
        ),
    script:
        "../scripts/fit_planning.py"


rule compare_time:
    input:
        courses=lambda w: expand(
            rules.fit_course.output.course, model=w.model, layer=section_layers_of("time", w.model)
        ),
        baselines=expand(rules.fit_prefix_baselines.output.baselines, task=TASKS, allow_missing=True),
        planning=expand(rules.fit_planning.output.scores, task=TASKS, allow_missing=True),
        code=code("compare_time", *TASKS),
    output:
        curves=f"{RESULTS}/tables/time/{{model}}.csv",
        summary=f"{RESULTS}/tables/time_summary/{{model}}.csv",
        draws=f"{RESULTS}/tables/time_summary/{{model}}.h5",
    log:
        f"{RESULTS}/logs/compare_time/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_time/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=lambda w: chosen(
            *("seed", "tasks", "groups", "statistics.bootstrap_draws"),
            *("claims.signal", "claims.prompt_variance", "claims.looks"),
            layers=section_layers_of("time", w.model),
        ),
    script:
        "../scripts/compare_time.py"
