# How often the analyses say what is true: planted worlds, judged by the code and the rules that judge a model.
CALIBRATION = f"{RESULTS}/calibration"
# A world without any signal has no effects to choose from.
PLANTED = [
    f"{CALIBRATION}/{world}/{auroc}/{bases}/{seed}.csv"
    for world in STUDY["calibration"]["worlds"]
    for auroc in (STUDY["calibration"]["aurocs"] if world != "noise" else [0.5])
    for bases in STUDY["calibration"]["bases"]
    for seed in range(STUDY["calibration"]["seeds"])
]


wildcard_constraints:
    world="|".join(STUDY["calibration"]["worlds"]),
    auroc=r"0\.\d+",
    bases=r"\d+",
    seed=r"\d+",


rule judge_world:
    input:
        code=code("judge_world", *TASKS),
    output:
        verdicts=f"{CALIBRATION}/{{world}}/{{auroc}}/{{bases}}/{{seed}}.csv",
    log:
        f"{RESULTS}/logs/judge_world/{{world}}/{{auroc}}/{{bases}}/{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_world/{{world}}/{{auroc}}/{{bases}}/{{seed}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=settings(
            *(
                "seed",
                "study",
                "tasks",
                "generation.samples",
                "ablation",
                "statistics",
                "claims",
            ),
            probes=PROBES,
            items_per_base=STUDY["prompts"]["items_per_base"],
            hidden_size=STUDY["calibration"]["hidden_size"],
            num_layers=STUDY["calibration"]["num_layers"],
        ),
    script:
        "../scripts/judge_world.py"


rule tabulate_calibration:
    input:
        verdicts=PLANTED,
        code=code("tabulate_calibration"),
    output:
        table=f"{RESULTS}/tables/calibration.csv",
        power=f"{RESULTS}/tables/power.csv",
        text=f"{RESULTS}/calibration.md",
    log:
        f"{RESULTS}/logs/tabulate_calibration.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate_calibration.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=settings("tasks", "prompts", "generation", "calibration"),
    script:
        "../scripts/tabulate_calibration.py"


rule calibrate:
    input:
        rules.tabulate_calibration.output,
