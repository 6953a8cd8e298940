#!/usr/bin/env bash
# Snakemake 9.27.1: a module can't be imported in part if it makes a rule of another (`use rule a as b with:`) and later
# names rules.b.output. With b written out it can.
#
# A module's rules that aren't imported stay in its namespace `rules`, so that its later rules can name their files.
# One expects the same of a rule that is made of another; but it is skipped before it is registered.
#
# It matters to whoever imports single rules of a workflow: that fails because of rules that have nothing to do with
# them. (After an import of all rules it works, since the namespace then has them already.)
#
# Seen:                          written out   made of another
#   use rule *                   works         works
#   use rule a                   works         fails
#   use rule *, then a with:     works         works
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet snakemake==9.27.1
cd "$folder"
first='rule a:\n    output: "a.txt"\n    shell: "touch {output}"\n\n'
last='\n\nrule c:\n    input: rules.b.output\n    output: "c.txt"\n    shell: "touch {output}"\n'
printf "${first}rule b:\n    output: \"b.txt\"\n    shell: \"touch {output}\"${last}" > written.smk
printf "${first}use rule a as b with:\n    output: \"b.txt\"${last}" > made.smk
wrong=0
expect() { # module, the import, what is expected
    printf "module m:\n    snakefile: \"$1\"\n\n$2\n" > Snakefile
    found=works
    venv/bin/snakemake --cores 1 --dry-run a.txt > log 2>&1 || found=fails
    printf '%-12s %-40s %s\n' "$1" "${2//\\n/ }" "$found"
    [ "$found" = "$3" ] || wrong=1
    [ "$found" = works ] || grep -q "Rule b is not defined in this workflow" log || wrong=1
}
change='use rule * from m\n\nuse rule a from m with:\n    threads: 2\n'
expect written.smk 'use rule * from m' works
expect written.smk 'use rule a from m' works
expect written.smk "$change" works
expect made.smk 'use rule * from m' works
expect made.smk 'use rule a from m' fails
expect made.smk "$change" works
exit $wrong
