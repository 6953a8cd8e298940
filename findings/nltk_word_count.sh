#!/usr/bin/env bash
# nltk 3.10.4: RegexpTokenizer(r"\w+") finds other words than in 3.9.4, and than re.findall(r"\w+", text).
#
# It compiles patterns with the package `regex` now, to end searches that take too long. There, combining marks, such
# as the vowel signs of Hindi and Kannada, and the variation selector that follows many emoji, belong to \w. In Python's
# re they don't. One expects the same words of the same pattern.
#
# It matters to IFEval, whose checkers count words so: a response in Kannada has 12 words instead of 32, so verdicts on
# "at least 20 words" depend on the version of nltk.
#
# Seen:                              re   nltk 3.9.4   nltk 3.10.4
#   two words of Hindi                5            5             2
#   three words and an emoji          3            3             4
#   two words, with an accent of its own (U+0301)
#                                     2            2             2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/words.py" <<'EOF'
import re
from nltk.tokenize import RegexpTokenizer

for text in ("नमस्ते दुनिया", "here is food 🍽️", "cafe\u0301 noir"):
    print(len(re.findall(r"\w+", text)), len(RegexpTokenizer(r"\w+").tokenize(text)))
EOF
for version in 3.9.4 3.10.4; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet "nltk==$version"
    "$folder/$version/bin/python" "$folder/words.py" > "$folder/$version.txt"
done
paste -d' ' "$folder/3.9.4.txt" "$folder/3.10.4.txt" | tee "$folder/seen"
diff "$folder/seen" - <<'EOF'
5 5 5 2
3 3 3 4
2 2 2 2
EOF
