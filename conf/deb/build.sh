#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: build.sh VERSION (from make deb, in the build directory; $srcdir and $MAKE are make's)
# Builds daemonlet_VERSION_ARCH.deb there: the same bytes from the same source and SOURCE_DATE_EPOCH, whoever builds.
set -eu
version=$1
for program in dpkg dpkg-deb; do
        command -v "$program" >/dev/null || { echo "make deb: $program is missing; no package is built" >&2; exit 1; }
done
export LC_ALL=C.UTF-8 TZ=UTC0
umask 022
mkdir -p packages/deb
exec 9>packages/deb/lock
flock 9
. "$srcdir/conf/deb/epoch.sh"

# A copy of what is distributed, as a source directory that was configured cannot be built from elsewhere.
"$MAKE" -s distdir distdir=packages/deb/daemonlet
mkdir -p packages/deb/build
cd packages/deb
here=$PWD root=$PWD/root arch=$(dpkg --print-architecture)
(
        cd build
        [ config.status -nt ../daemonlet/configure ] ||
                CFLAGS="${CFLAGS--O2} -ffile-prefix-map=$here=." ../daemonlet/configure -q --disable-maintainer-mode \
                        --prefix=/usr --sysconfdir=/etc --localstatedir=/var --runstatedir=/run
        "$MAKE" -s
        rm -rf "$root"
        "$MAKE" -s install-strip DESTDIR="$root"
)

# ---- what Debian has beside what make install does ----
doc=$root/usr/share/doc/daemonlet
strip --remove-section=.comment --remove-section=.note "$root/usr/bin/daemonlet"
install -D -m 0644 daemonlet/conf/rpm/90-daemonlet.preset "$root/usr/lib/systemd/system-preset/90-daemonlet.preset"
install -m 0644 daemonlet/README.md daemonlet/NEWS.md "$doc"
install -m 0644 daemonlet/conf/deb/copyright "$doc/copyright"
maintainer=${PACKAGER:-daemonlet maintainers <maintainers@daemonlet.invalid>}
cat >"$doc/changelog" <<END
daemonlet ($version) unstable; urgency=medium

  * Built from the sources of this version; NEWS.md tells what is new.

 -- $maintainer  $(date -d "@$SOURCE_DATE_EPOCH" -R)
END
gzip -9n "$doc/changelog" "$doc/NEWS.md" "$root"/usr/share/man/man?/*

# ---- control ----
depends() { # the packages of the libraries, with their versions where dpkg-dev is there to tell them
        if command -v dpkg-shlibdeps >/dev/null; then
                mkdir -p debian
                printf 'Source: daemonlet\n\nPackage: daemonlet\nArchitecture: any\n' >debian/control
                dpkg-shlibdeps -O -eroot/usr/bin/daemonlet | sed -n 's/^shlibs:Depends=//p'
        else
                objdump -p root/usr/bin/daemonlet | awk '$1 == "NEEDED" { print $2 }' | while read -r library; do
                        ldd root/usr/bin/daemonlet | awk -v l="$library" '$1 == l { sub("^/usr", "", $3); print "*" $3 }'
                done | xargs dpkg -S | sed 's/:.*//' | sort -u | paste -sd , | sed 's/,/, /g'
        fi
}
size() { # in KiB, each file rounded up, as dpkg-gencontrol counts
        find root -type f -printf '%s\n' -o -printf '1\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }'
}
mkdir root/DEBIAN
depends=$(depends)
[ -n "$depends" ] || { echo "make deb: the packages of the libraries are not known" >&2; exit 1; }
size=$(size)
sed -e "s|@VERSION@|$version|" -e "s|@ARCH@|$arch|" -e "s|@MAINTAINER@|$maintainer|" -e "s|@DEPENDS@|$depends|" \
        -e "s|@SIZE@|$size|" -e '/^#/d' daemonlet/conf/deb/control.in >root/DEBIAN/control
echo /etc/daemonlet/daemonlet.conf >root/DEBIAN/conffiles
for script in postinst prerm postrm; do
        install -m 0755 "daemonlet/conf/deb/$script" root/DEBIAN
done
(cd root && find usr lib -type f 2>/dev/null | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)
find root -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=daemonlet_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build root "$package"
mv "$package" ../..
