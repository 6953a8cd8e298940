"""Take the user's own answers to the prompts of one task and shard, in the tokens of one model."""

from skillprobe.study.job import model_entry, start

settings = start(snakemake)

from skillprobe.models.taken import take_task
from skillprobe.prompts.answers import assigned, read_answers
from skillprobe.storage import files

items = files.read_jsonl(snakemake.input.prompts)
names = {item["item"] for item in items}
sizes = {key: settings[f"generation.{key}"] for key in ("samples", "twin_samples")}
# Those to other prompts are other jobs'.
own = [answer for answer in read_answers(snakemake.input.answers) if answer.item in names]
answers = assigned(own, items, settings["tasks"], sizes)
responses = take_task(model_entry(snakemake, settings), items, answers, sizes)
files.write_jsonl(snakemake.output.responses, responses)
