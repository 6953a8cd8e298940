# How often the analyses say what is true: planted worlds, judged by the code and the rules that judge a model.
CALIBRATION = f"{RESULTS}/calibration"
# Worlds without any signal have no effects to choose from.
WITHOUT_EFFECT = ("noise", "subjects")
PLANTED = [
    f"{CALIBRATION}/{world}/{auroc}/{bases}/{seed}.csv"
    for world in STUDY["calibration"]["worlds"]
    for auroc in (STUDY["calibration"]["aurocs"] if world not in WITHOUT_EFFECT else [0.5])
    for bases in STUDY["calibration"]["bases"]
    for seed in range(STUDY["calibration"]["seeds"])
]
# Of simulated studies, for the intervals' coverage; each job simulates a block of them.
STUDIES_AT_ONCE = 10
SIMULATED = [
    f"{CALIBRATION}/coverage/{first}-{min(first + STUDIES_AT_ONCE, STUDY['calibration']['studies'])}.csv"
    for first in range(0, STUDY["calibration"]["studies"], STUDIES_AT_ONCE)
]


wildcard_constraints:
    world="|".join(STUDY["calibration"]["worlds"]),
    auroc=r"0\.\d+",
    bases=r"\d+",
    seed=r"\d+",
    first=r"\d+",
    end=r"\d+",


JUDGED_BY = settings(
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
    **{name: STUDY["calibration"][name] for name in ("hidden_size", "num_layers", "refits")},
)


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
        settings=JUDGED_BY,
    script:
        "../scripts/judge_world.py"


rule simulate_studies:
    input:
        code=code("simulate_studies", *TASKS),
    output:
        studies=f"{CALIBRATION}/coverage/{{first}}-{{end}}.csv",
    log:
        f"{RESULTS}/logs/simulate_studies/{{first}}-{{end}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/simulate_studies/{{first}}-{{end}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        settings=JUDGED_BY,
    script:
        "../scripts/simulate_studies.py"


rule tabulate_calibration:
    input:
        verdicts=PLANTED,
        studies=SIMULATED,
        code=code("tabulate_calibration"),
    output:
        table=f"{RESULTS}/tables/calibration.csv",
        power=f"{RESULTS}/tables/power.csv",
        coverage=f"{RESULTS}/tables/coverage.csv",
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
