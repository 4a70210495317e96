# A session of about a hundred commands of BusyBox, the same in the guest as on Linux: each says its
# number, then what it writes, errors too, and how it ends. The argument is an empty folder. What is
# written may go to a terminal or not, so no command is to make a difference of that.
cd "$1" || exit 1
umask 022
export LC_ALL=C TZ=UTC
n=0
t() { n=$((n + 1)); echo "[$n] $*"; "$@" 2>&1; echo "= $?"; }
s() { n=$((n + 1)); echo "[$n] $1"; sh -c "$1" 2>&1; echo "= $?"; }

# Files and folders.
t mkdir -p a/b/c
t mkdir a
t touch a/one a/two
s 'echo hello > a/b/hello; cat a/b/hello'
s 'printf "%s\n" pear apple fig apple > fruit; sort fruit'
t sort -u fruit
t uniq -c fruit
t wc fruit
t head -n 2 fruit
t tail -n 1 fruit
t cp fruit a/copy
t cmp fruit a/copy
s 'echo more >> a/copy; cmp fruit a/copy'
s 'diff fruit a/copy'
t mv a/copy a/moved
t ls -1 a
t ls -1R a
s 'ls -l a/moved | awk "{print \$1, \$2, \$5}"'
t ln -s moved a/link
t readlink a/link
t cat a/link
t ln a/moved a/hard
s 'stat -c "%h %s %F" a/hard'
t chmod 640 a/hard
s 'stat -c %a a/moved'
t rm a/hard
t rmdir a/b
t rm -r a/b
t test -e a/b
t test -d a
s 'find a -type f | sort'
t find a -name "m*"
t du -s nowhere
t cat nowhere
t basename /x/y/z.c .c
t dirname /x/y/z
s 'realpath a/../a/link | sed "s|.*/||"'
s 'touch -d "2020-02-03 04:05:06" old; stat -c %Y old; date -r old'
t truncate -s 1000 hole
s 'wc -c < hole'
s 'dd if=/dev/zero of=zeros bs=1k count=64 2>/dev/null; md5sum zeros'
s 'dd if=/dev/urandom of=random bs=4096 count=16 2>/dev/null; wc -c < random'
s 'cp random same; cmp random same && echo equal'
s 'rmdir $(mktemp -d tmp.XXXXXX)'

# Text.
t grep -n apple fruit
t grep -c p fruit
t grep -v apple fruit
t sed 's/apple/plum/;2d' fruit
s 'cut -d: -f1,3 <<E
a:b:c
d:e:f
E'
s 'echo abc | tr a-c A-C'
s 'awk "{ n += length(\$0) } END { print n, NR }" fruit'
s 'seq 1 5 | paste -s -d+'
s 'seq 1 100 | awk "{ s += \$1 } END { print s }"'
s 'echo "1 2 3" | xargs -n 1 echo item'
s 'printf "%05d %x %s\n" 42 255 end'
t expr 6 '*' 7
s 'echo "2^64" | bc'
t factor 360360
s 'echo hello | rev'
s 'nl fruit'
s 'od -c fruit | head -n 2'
s 'hexdump -C fruit | head -n 1'
s 'base64 fruit'
s 'base64 fruit | base64 -d'
s 'sha256sum fruit'
s 'fold -w 3 fruit | head -n 3'
s 'tac fruit'
s 'strings -n 4 fruit | wc -l'
s 'tee one two < fruit > three; cat one two three | md5sum'

# Archives.
t tar cf all.tar a fruit
s 'tar tf all.tar | sort'
s 'mkdir out; tar xf all.tar -C out; cat out/fruit; ls -1 out/a'
s 'gzip -c fruit | gunzip'
s 'gzip -c zeros | wc -c'
s 'find a | sort | cpio -o -H newc 2>/dev/null | cpio -t 2>/dev/null'

# The shell.
s 'for i in 1 2 3; do echo -n "$i "; done; echo'
s 'i=0; while [ $i -lt 3 ]; do i=$((i+1)); done; echo $i'
s 'case abc in a*) echo yes;; *) echo no;; esac'
s 'f() { return 3; }; f; echo $?'
s 'x=outer; (x=inner); echo $x'
s 'echo $(echo nested $(echo deeper))'
s 'HOME=/home; echo ${UNSET:-default} ${#HOME} ${HOME#/ho}'
s 'set -- a b c; shift; echo $# $1 "$@"'
s 'echo a* fr*'
s 'echo one; echo two >&2'
s 'exit 7'
s 'nosuchcommand'
s './nosuchfile'
s 'false | true; echo $?'
s 'false || echo other; true && echo both'
s 'yes | head -n 3'
s 'trap "echo bye" EXIT; exit 2'
s 'trap "echo caught" USR1; kill -USR1 $$; echo after'
s 'sh -c "kill -TERM \$\$"; echo $?'
s 'sleep 1000 & kill $!; wait $!; echo $?'
s 'echo a | (read x; echo got $x)'
s 'exec 3> three; echo third >&3; exec 3>&-; cat three'
s 'echo out > file; cat < file > file2; cat file2'
s 'seq 1 20000 | md5sum'
s 'seq 1 20000 | tail -n 1'
s 'sleep 0.01; echo slept'
s 'timeout 1 sleep 1000; echo $?'
s 'env -i A=1 env'
s 'A=2 sh -c "echo \$A"'
s 'cd a && pwd | grep -c /a'
s 'echo $((2**10 - 7 % 4))'
s 'uname -s -m'
s 'tty < /dev/null'
s 'test -c /dev/null && test -c /dev/zero && test -c /dev/urandom && echo devices'
s 'head -c 4 /dev/zero | od -b'
s 'nc -l -p 4711 > heard & until echo said | nc 127.0.0.1 4711 2>/dev/null; do :; done; wait; cat heard'
s 'rm -rf a out; ls -1'
