#!/usr/bin/env bash
# Arrays, associative arrays, expansions, functions that call themselves, subshells, pipes.
set -euo pipefail
scale=$1

declare -A table
list=()
for ((i = 0; i < 4000 * scale; i++)); do
    key=k$((i * 7919 % 1009))
    table[$key]+="$i,"
    list+=("value $i")
    if ((i % 5 == 0)); then
        unset "table[$key]"
    fi
done
total=0
for key in "${!table[@]}"; do
    total=$((total + ${#table[$key]}))
done
printf 'table %d %d %d\n' "${#table[@]}" "$total" "${#list[@]}"

text=
for ((i = 0; i < 1500; i++)); do
    text+="word$((i % 83)) "
done
text=${text//word1/W}
read -r -a words <<<"$text"
printf 'text %d %d %s\n' "${#text}" "${#words[@]}" "${words[*]:10:5}"

fibonacci() {
    if (($1 < 2)); then
        echo "$1"
    else
        echo $(($(fibonacci $(($1 - 1))) + $(fibonacci $(($1 - 2)))))
    fi
}
printf 'fibonacci %s\n' "$(fibonacci $((6 + scale)))"

for ((i = 0; i < 10 * scale; i++)); do
    (
        unset list
        printf '%s\n' "${!table[@]}" | sort | head -n 2 | tr '\n' ' '
    )
done
printf '\npipes %s\n' "$(seq 1 $((20000 * scale)) | while read -r n; do [[ $n == *77* ]] && echo "$n"; done | wc -l)"
