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
# No mutable globals either (initialised or zeroed data that can be written).
data=$(nm "$lib" | awk 'NF == 3 && $2 ~ /^[BbDdCGgSs]$/ { print $3 }' | grep -vE '^(__odr_asan|__asan|\.L|__llvm|__profc|__profd|__sancov|__gcov|gcov)' || test $? = 1)
case ${SANITIZED:-no} in
no) if [ -n "$data" ]; then
        echo "purity: mutable globals in src/core: $(echo "$data" | tr '\n' ' ')" >&2
        exit 1
    fi ;;
esac
