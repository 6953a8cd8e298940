"""Make an ordinary model folder of a GGUF file, once."""

from skillprobe.study.job import start

settings = start(snakemake)

from skillprobe.models import conversion, fetching
from skillprobe.storage import files

name = snakemake.wildcards.model
entry = settings["model"] | {"name": name}
fetched = files.read_json(snakemake.input.fetched[0]) if snakemake.input.fetched else None
path = fetching.gguf_path(entry, fetched)
files.write_json(snakemake.output.converted, conversion.convert(name, path, entry, fetching.HOME))
