#!/usr/bin/env bash
# Snakemake 9.27.1: `--until a c`, where c depends on a, plans all jobs and then fails after a: "BUG: Out of jobs ready to
# be started". `--until c` alone, and two rules of which none depends on the other, work.
#
# One expects the jobs of both rules: `--until` takes several, and the dry-run counts them.
#
# It matters to whoever names a few stages, one after the other in the data: name only the last ones, or their files.
#
# Seen:            jobs of the dry-run  the run
#   --until c      a b c                works
#   --until b d    a b d                works
#   --until a c    a b c                fails
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet snakemake==9.27.1
cd "$folder"
step() { # rule, what it needs
    printf "rule $1:\n    input: \"$2\"\n    output: \"$1.txt\"\n    shell: \"touch {output}\"\n\n"
}
{
    printf 'rule all:\n    input: "c.txt", "d.txt"\n\n'
    printf 'rule a:\n    output: "a.txt"\n    shell: "touch {output}"\n\n'
    step b a.txt
    step c b.txt
    step d a.txt
} > Snakefile
wrong=0
expect() { # rules after --until, the dry-run's jobs, what is expected
    rm -f ./*.txt
    # Printed even where the run would fail.
    planned=$({ venv/bin/snakemake --cores 1 --dry-run --until $1 2>/dev/null || true; } |
        grep -oE '^[abcd] +1$' | cut -c1 | sort -u | tr '\n' ' ')
    found=works
    venv/bin/snakemake --cores 1 --until $1 > log 2>&1 || found=fails
    printf -- '--until %-6s %-8s %s\n' "$1" "$planned" "$found"
    [ "$planned" = "$2 " ] && [ "$found" = "$3" ] || wrong=1
    [ "$found" = works ] || grep -q "BUG: Out of jobs ready to be started" log || wrong=1
}
expect "c" "a b c" works
expect "b d" "a b d" works
expect "a c" "a b c" fails
exit $wrong
