# Act on the monitors: responses to prompts about new subjects, stopped, sampled again, chosen and steered.


rule guard_responses:
    input:
        monitor=rules.fit_monitor.output.monitor,
        # Steering takes its unit from them.
        shards=ancient(expand(rules.extract_activations.output.shard, shard=SHARDS, allow_missing=True)),
        manifests=expand(rules.extract_activations.output.manifest, shard=SHARDS, allow_missing=True),
        world=WORLD_FILE,
        fetched_judge=fetched_judge,
        fetched=fetched,
        code=task_code("guard_responses"),
    output:
        pool=f"{RESULTS}/guard/{{model}}/{{task}}.h5",
        responses=f"{RESULTS}/guard/{{model}}/{{task}}.jsonl",
    log:
        f"{RESULTS}/logs/guard_responses/{{model}}/{{task}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/guard_responses/{{model}}/{{task}}.tsv"
    conda:
        "../../envs/gpu.yaml"
    resources:
        gpu=editing_gpus,
        # The model that answers, and the one that judges.
        mem_mb=lambda w: model_resource("mem_mb")(w) + judge_resource("mem_mb", 0)(w),
        runtime=model_resource("runtime"),
    params:
        settings=lambda w: chosen(
            *("seed", "guard.samples", "guard.strengths", "guard.steer_below", "guard.steered"),
            bases=slices.guarded_bases(STUDY),
            prompts=prompts_of(w.task),
            generation=generation(w.model),
            model=identity(w.model),
            judge=judge(w.task),
        ),
    script:
        "../scripts/guard_responses.py"


rule compare_guard:
    input:
        pools=expand(rules.guard_responses.output.pool, task=TASKS, allow_missing=True),
        code=code("compare_guard"),
    output:
        table=f"{RESULTS}/tables/guard/{{model}}.csv",
    log:
        f"{RESULTS}/logs/compare_guard/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_guard/{{model}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=settings(
            *(
                "seed",
                "tasks",
                "guard.thresholds",
                "guard.tries",
                "probes.max_truncated",
                "probes.min_groups",
            ),
            *("statistics.bootstrap_draws", "claims.looks"),
        ),
    script:
        "../scripts/compare_guard.py"


# Nothing if no prompt is asked, or there are no monitors.
GUARD = [merged("guard")] if slices.guarded(STUDY) else []


rule guard:
    input:
        GUARD,
