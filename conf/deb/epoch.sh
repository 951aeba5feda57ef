# SPDX-License-Identifier: Apache-2.0
# Sourced: SOURCE_DATE_EPOCH, unless it is set, is when the source was committed, or in a tarball when NEWS.md was edited.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
        SOURCE_DATE_EPOCH=$([ -e "$srcdir/.git" ] && git -C "$srcdir" log -1 --format=%ct 2>/dev/null) ||
                SOURCE_DATE_EPOCH=$(stat -c %Y "$srcdir/NEWS.md")
fi
export SOURCE_DATE_EPOCH
