#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The core is pure: no clock, no files, no sockets, no environment, no randomness, no locale, no exit. The symbols tell.
set -eu
lib=${builddir:-.}/src/libcore.a
[ -f "$lib" ] || { echo "purity: $lib is missing" >&2; exit 1; }
command -v nm >/dev/null || exit 77
forbidden='open|openat|open64|creat|read|write|pread|pwrite|close|fopen|fopen64|fread|fwrite|fclose|fputs|puts|printf|fprintf|__printf_chk|__fprintf_chk|stat|fstat|lstat|stat64|unlink|rename|mkdir|opendir|readdir|socket|connect|accept|send|recv|poll|select|ioctl|mmap|time|clock|clock_gettime|gettimeofday|nanosleep|usleep|sleep|localtime|localtime_r|gmtime|gmtime_r|strftime|getenv|secure_getenv|setenv|rand|random|srand|getrandom|setlocale|localeconv|strtod|strtof|atof|strcoll|toupper|tolower|__ctype_b_loc|__ctype_tolower_loc|__ctype_toupper_loc|exit|_exit|abort|__assert_fail|syslog|perror|system|popen|fork|execve|getpid|getuid|geteuid|gethostname|uname|signal|sigaction|raise|kill'
bad=$(nm -u "$lib" | awk '$1 == "U" { print $2 }' | sed 's/@.*//' | sort -u | grep -xE "$forbidden" || test $? = 1)
if [ -n "$bad" ]; then
        echo "purity: src/core uses: $(echo "$bad" | tr '\n' ' ')" >&2
        exit 1
fi
# No mutable globals either: nothing in the sections that can be written once the program runs (.data.rel.ro cannot).
case ${SANITIZED:-no} in
no)
        data=$(size -A "$lib" | awk '$1 ~ /^\.(data|bss|tdata|tbss)$/ && $2 > 0 { n += $2 } END { print n + 0 }')
        [ "$data" = 0 ] || { echo "purity: $data bytes of mutable globals in src/core" >&2; exit 1; }
        ;;
esac
