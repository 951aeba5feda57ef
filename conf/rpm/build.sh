#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: build.sh VERSION (from make rpm, in the build directory; $srcdir and $MAKE are make's)
# Builds daemonlet-VERSION-1.ARCH.rpm there.
set -eu
version=$1
command -v rpmbuild >/dev/null || { echo "make rpm: rpmbuild is missing; no package is built" >&2; exit 1; }
export LC_ALL=C.UTF-8 TZ=UTC0
umask 022
mkdir -p packages/rpm
exec 9>packages/rpm/lock
flock 9
. "$srcdir/conf/deb/epoch.sh"
name=daemonlet-$version
rm -rf packages/rpm/*/
"$MAKE" -s distdir distdir="packages/rpm/$name"
cd packages/rpm
mkdir SOURCES
tar --sort=name --owner=0 --group=0 --numeric-owner -cJf "SOURCES/$name.tar.xz" "$name"
packager=${PACKAGER:-daemonlet maintainers <maintainers@daemonlet.invalid>}
sed -e "s|@VERSION@|$version|" -e "s|@PACKAGER@|$packager|" \
        -e "s|@DATE@|$(date -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')|" "$name/conf/rpm/daemonlet.spec.in" >daemonlet.spec
unset MAKEFLAGS MAKELEVEL MFLAGS
# A script of rpm that only bash runs has sh in its first line, also where sh is another shell.
compress=$(rpm --eval '%{?__brp_compress}')
# configure knows what is missing better than a database of packages that may be empty.
rpmbuild --quiet -bb --nodeps --define "_topdir $PWD" --define "_buildhost localhost" \
        ${compress:+--define "__brp_compress bash $compress"} \
        --define "use_source_date_epoch_as_buildtime 1" --define "clamp_mtime_to_source_date_epoch 1" daemonlet.spec
mv RPMS/*/"$name"-*.rpm ../..
