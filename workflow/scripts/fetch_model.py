"""Download a hub model, once, where there is a network."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.models import hub
from skillprobe.storage import files

found = hub.fetch_model(settings["model"] | {"name": snakemake.wildcards.model})
files.write_json(snakemake.output.fetched, found)
