# A few labelled responses, and what they say to change in the config before the study is run. No file of the study is
# made of them: their prompts and random numbers are others.


# No study's own: those are smaller.
PILOT_SEED = STUDY["seed"] + 2**32
PILOT_SAMPLES = slices.pilot_samples(STUDY)
# Their inputs, not by `rules.…`: a workflow that imports some rules of this one hasn't those that are made of others.
PILOT_PROMPTS = f"{RESULTS}/pilot/prompts/{{task}}/{{shard}}.jsonl"
PILOT_RESPONSES = f"{RESULTS}/pilot/responses/{{model}}/{{task}}/{{shard}}.jsonl"
PILOT_LABELS = f"{RESULTS}/pilot/labels/{{model}}/{{task}}/{{shard}}.jsonl"


use rule make_prompts as make_pilot_prompts with:
    output:
        prompts=f"{RESULTS}/pilot/prompts/{{task}}/{{shard}}.jsonl",
    log:
        f"{RESULTS}/logs/make_pilot_prompts/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/make_pilot_prompts/{{task}}/{{shard}}.tsv"
    params:
        settings=pilot_settings,


use rule generate_responses as generate_pilot_responses with:
    input:
        prompts=PILOT_PROMPTS,
        fetched=fetched,
        code=code("generate_responses"),
    output:
        responses=f"{RESULTS}/pilot/responses/{{model}}/{{task}}/{{shard}}.jsonl",
    log:
        f"{RESULTS}/logs/generate_pilot_responses/{{model}}/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/generate_pilot_responses/{{model}}/{{task}}/{{shard}}.tsv"
    params:
        settings=response_settings(PILOT_SEED, PILOT_SAMPLES),


use rule label_responses as label_pilot_responses with:
    input:
        prompts=PILOT_PROMPTS,
        responses=PILOT_RESPONSES,
        world=WORLD_FILE,
        fetched_judge=fetched_judge,
        code=task_code("label_responses"),
    output:
        labels=f"{RESULTS}/pilot/labels/{{model}}/{{task}}/{{shard}}.jsonl",
    log:
        f"{RESULTS}/logs/label_pilot_responses/{{model}}/{{task}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/label_pilot_responses/{{model}}/{{task}}/{{shard}}.tsv"
    params:
        settings=task_settings(),


rule summarise_pilot:
    input:
        labels=expand(PILOT_LABELS, model=GENERATED_MODELS, task=TASKS, shard=0),
        fetched=expand(rules.fetch_model.output.fetched, model=FETCHED_MODELS),
        world=WORLD_FILE,
        code=code("summarise_pilot", *TASKS),
    output:
        table=f"{RESULTS}/pilot/pilot.csv",
        text=f"{RESULTS}/pilot/pilot.txt",
        asked=f"{RESULTS}/pilot/pilot.json",
    log:
        f"{RESULTS}/logs/summarise_pilot.log",
    benchmark:
        f"{RESULTS}/benchmarks/summarise_pilot.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=settings(
            *(
                "study",
                "seed",
                "tasks",
                "prompts",
                "pilot",
                "generation",
                "judges",
                "statistics.bootstrap_draws",
            ),
            probes={key: STUDY["probes"][key] for key in slices.SIZES},
            contents=CONTENTS,
            # What was answered elsewhere needs no pilot.
            models=[slices.model_entry(STUDY, model) for model in GENERATED_MODELS],
            generations={model: generation(model) for model in GENERATED_MODELS},
            asked=sources.pilot_of(STUDY),
        ),
    script:
        "../scripts/summarise_pilot.py"


# No benchmark here: it would count as a result, and the text would be printed only once.
rule pilot:
    input:
        text=rules.summarise_pilot.output.text,
    log:
        f"{RESULTS}/logs/pilot.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    script:
        "../scripts/print_pilot.py"
