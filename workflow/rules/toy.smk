# The shipped toy models: trained into results/toy/, and put into place by `make publish-toys`.
# (Not written to workflow/resources/ directly: git sets new times there, and they would be trained again.)
from skillprobe import tasks

# The seed is of the first weights. From 0 and 2, Llama doesn't learn within one pass to copy a term.
TOY_MODELS = {
    "toy-llama": {"family": "llama", "follow_up": True, "seed": 3},
    "toy-gemma2": {"family": "gemma2", "follow_up": False, "seed": 0},
    "toy-qwen2": {"family": "qwen2", "follow_up": True, "seed": 0},
    # The toy without follow-up, which was never asked whether it had obeyed: workflow/studies/follow_up.yaml.
    "toy-qwen2-plain": {"family": "qwen2", "follow_up": False, "seed": 0},
}
TOY_CORPUS = {"examples": 100_000, "seed": 1}
TOY_WORLD = in_repository("workflow/skillprobe/tasks/worlds/toy.json")


rule make_toy_corpus:
    input:
        world=TOY_WORLD,
        code=code("make_toy_corpus", *tasks.NAMES),
    output:
        corpus="results/toy/corpus.jsonl",
    log:
        "results/toy/logs/make_toy_corpus.log",
    benchmark:
        "results/toy/benchmarks/make_toy_corpus.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        settings=json.dumps(TOY_CORPUS),
    script:
        "../scripts/make_toy_corpus.py"


rule train_toy_model:
    input:
        world=TOY_WORLD,
        corpus=rules.make_toy_corpus.output.corpus,
        code=code("train_toy_model", *tasks.NAMES),
    output:
        model=directory("results/toy/models/{toy}"),
    log:
        "results/toy/logs/train_toy_model/{toy}.log",
    benchmark:
        "results/toy/benchmarks/train_toy_model/{toy}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=lambda w: json.dumps(TOY_MODELS[w.toy], sort_keys=True),
    script:
        "../scripts/train_toy_model.py"


rule write_model_card:
    input:
        world=TOY_WORLD,
        corpus=rules.make_toy_corpus.output.corpus,
        model=rules.train_toy_model.output.model,
        code=code("write_model_card", *tasks.NAMES),
    output:
        card="results/toy/cards/{toy}.md",
    log:
        "results/toy/logs/write_model_card/{toy}.log",
    benchmark:
        "results/toy/benchmarks/write_model_card/{toy}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        settings=lambda w: chosen(
            "seed",
            "prompts",
            corpus=TOY_CORPUS,
            generation=sampling.generation_of_toys(STUDY),
            training=TOY_MODELS[w.toy],
        ),
    script:
        "../scripts/write_model_card.py"


rule train_toy_models:
    input:
        expand(rules.write_model_card.output.card, toy=TOY_MODELS),
