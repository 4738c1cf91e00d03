# SPDX-License-Identifier: Apache-2.0
# What a person types in a shell in the course of some work: seventy-odd commands. $web is a web server, $ssh a host for
# ssh that is set up; the home directory is empty.
set -e
shopt -s expand_aliases
alias ssh="ssh -F $ssh" scp="scp -q -F $ssh"
cd ~
pwd
ls -la
mkdir -p src/tool notes
cd src/tool
git init -q
git config user.name bench
git config user.email bench@localhost
vim -es -u NONE -c 'normal iint twice(int n);' -c 'wq' tool.h
vim -es -u NONE -c 'normal i#include "tool.h"' -c 'normal oint twice(int n) { return 2 * n; }' -c 'wq' twice.c
vim -es -u NONE -c 'normal i#include <stdio.h>' -c 'normal o#include "tool.h"' \
  -c 'normal oint main(void) { printf("%d\n", twice(21)); return 0; }' -c 'wq' main.c
printf 'tool: main.o twice.o\n\t$(CC) -o $@ $^\nclean:\n\trm -f tool *.o\n' > Makefile
cat Makefile
make -s
./tool
ls
printf 'tool\n*.o\n' > .gitignore
git status --short
git add .
git commit -q -m 'A tool'
git log --oneline
less main.c
grep -n twice *.c
vim -es -u NONE -c '%s/21/42/' -c 'wq' main.c
git diff
make -s
./tool | tee ../../notes/result
git commit -q -a -m 'Another number'
make -s clean
git checkout -q -b other
sed -i 's/42/43/' main.c
git diff --stat
git commit -q -a -m 'Yet another'
git checkout -q -
git merge -q other
cd ~
cp -r src/tool copy
diff -r src/tool copy
rm -rf copy
tar -czf tool.tar.gz src/tool
tar -tzf tool.tar.gz | head -3
mkdir unpacked
tar -xzf tool.tar.gz -C unpacked
find unpacked -name '*.c' | xargs wc -l
find . -name '*.h' -print
rm -r unpacked
curl -s -o page.html "$web/page.html"
head -5 page.html
grep -c p page.html
curl -s "$web/data.csv" > data.csv
sort -t, -k2 -n data.csv | tail -3
cut -d, -f1 data.csv | sort | uniq -c | sort -rn > notes/counts
cat notes/counts notes/result
python3 -c 'import csv; print(sum(int(row[1]) for row in csv.reader(open("data.csv"))))'
python3 -c 'import json; json.dump({"done": True}, open("notes/state.json", "w"))'
cp data.csv data.old.csv
mv data.old.csv notes/
gzip -k data.csv
zcat data.csv.gz | wc -l
gunzip -c data.csv.gz > again.csv
cmp data.csv again.csv
rm again.csv data.csv.gz
chmod 600 notes/state.json
ln -s notes/counts counts
touch todo
echo 'call back' >> todo
vim -es -u NONE -c 'normal Gomake tea' -c 'wq' todo
scp todo there:
ssh there 'ls -l todo; cat todo'
ssh there 'tar -cf - todo' > fetched.tar
scp there:todo todo.there
diff todo todo.there
du -sh .
df -h . > notes/space
ps aux | grep -c sh
date
rm -f todo.there fetched.tar counts
ls -R notes
