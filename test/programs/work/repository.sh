#!/usr/bin/env bash
# A repository with many commits, then everything that reads it. $1: how many commits. Names, dates and messages are fixed, so that every
# hash is the same each time.
set -euo pipefail
commits=$1
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org

at() {
    export GIT_AUTHOR_DATE="$1 +0000" GIT_COMMITTER_DATE="$1 +0000"
}

git init -q -b main repository
cd repository
git config gc.auto 0
git config advice.detachedHead false

for ((i = 1; i <= commits; i++)); do
    at $((1700000000 + i * 60))
    file=dir$((i % 7))/file$((i % 31)).txt
    mkdir -p "dir$((i % 7))"
    for ((k = 0; k < 30; k++)); do
        printf 'line %d of change %d: %d\n' "$k" "$i" $((i * k * 7919 % 10007))
    done >>"$file"
    if ((i % 9 == 0)); then
        sed -i "1,5s/line/row/" "$file"
    fi
    git add -A
    git commit -q -m "change $i" -m "in $file"
done

# A long history at once, by the stream that importers use.
{
    for ((i = 1; i <= commits * 2; i++)); do
        body="imported $i $((i * 31337 % 65537))"
        printf 'commit refs/heads/imported\ncommitter C <c@example.org> %d +0000\ndata %d\nmessage %d\n' $((1600000000 + i)) $((8 + ${#i})) "$i"
        printf 'M 100644 inline f%d\ndata %d\n%s\n' $((i % 53)) "${#body}" "$body"
    done
    printf 'done\n'
} | git fast-import --quiet --done

git log --oneline | tail -n 3
git log --stat --format='%H %an %ad %s' -n 60
git log --all --graph --format=%h | tail -n 20
git diff HEAD~$((commits / 2)) HEAD
git diff --word-diff HEAD~3 HEAD
git blame -s dir1/file1.txt | head -n 20
git grep -c 'row 3' || echo 'none'

at 1800000000
git checkout -q -b side HEAD~10
printf 'on the side\n' >side.txt
git add side.txt
git commit -q -m 'side'
git rebase -q main
git checkout -q main
git merge -q --no-ff -m 'merge' side
git tag -a -m 'tagged' v1
git stash list
git repack -q -a -d --depth=50 --window=20
git gc --quiet --prune=now
git fsck --full --strict
git rev-list --objects --all | sort | git hash-object --stdin
git cat-file --batch-all-objects --batch-check | git hash-object --stdin
git archive --format=tar HEAD | git hash-object --stdin
cd ..
git clone -q repository clone
git -C clone log --format=%H -n 5
git clone -q --bare --no-local repository bare
git -C bare rev-parse main v1 imported
git -C clone status --short --branch
