# build_deb makes a .deb of the tree that scripts/package.sh, which sources this file, has staged.

build_deb() {
  root=$work/deb
  cp -a -- "$work/tree" "$root"
  doc=$root/usr/share/doc/mirrorlatch
  {
    printf 'mirrorlatch (%s-%s) unstable; urgency=medium\n\n' "$version" "$revision"
    printf '  * Packaged by scripts/package.sh. changelog.gz has the changes.\n\n'
    printf ' -- %s  %s\n' "$(maintainer)" "$(date -R -d "@$SOURCE_DATE_EPOCH")"
  } | gzip -n9 >"$doc/changelog.Debian.gz"
  install -D -m 644 -- scripts/package/lintian-overrides "$root/usr/share/lintian/overrides/mirrorlatch"

  control=$root/DEBIAN
  mkdir -- "$control"
  for script in postinst prerm postrm; do install -m 755 -- "scripts/package/$script" "$control"; done
  (cd "$root" && find etc -type f | sort | sed 's,^,/,') >"$control/conffiles"
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$control/md5sums"
  print_control >"$control/control"
  settle "$root"

  deb=$out/mirrorlatch_$version-${revision}_$deb_arch.deb
  # What several threads compress depends on their number.
  DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group -Zxz -z1 --build "$root" "$deb" >/dev/null
  printf '%s\n' "$deb"
}

maintainer() {
  printf '%s <%s>' "${DEBFULLNAME-The authors of mirrorlatch}" "${DEBEMAIL-mirrorlatch@invalid.invalid}"
}

print_control() {
  depends='rsync (>= 3.1.3), util-linux (>= 2.31), mount, adduser, libc6'
  if [ -n "$bundled" ]; then
    depends="$depends (>= 2.28), libgcc-s1, libstdc++6 (>= 5)"
  else
    depends="$depends, nodejs (>= 20.19)"
  fi
  # deb-control(5): each file in units of 1 KiB, and 1 KiB for everything else.
  size=$(cd "$root" && find etc usr \( -type f -printf '%s\n' \) -o -printf '0\n' |
    awk '{ sum += $1 ? int(($1 + 1023) / 1024) : 1 } END { print sum }')
  cat <<CONTROL
Package: mirrorlatch
Version: $version-$revision
Architecture: $deb_arch
Maintainer: $(maintainer)
Installed-Size: $size
Depends: $depends
Suggests: logrotate, openssh-client
Section: net
Priority: optional
Description: $summary
 mirrorlatch builds a whole new snapshot of a mirror beside the old one, where
 no reader can see it, and publishes it in one rename. It also runs package
 managers so that they see one snapshot from start to end, and serves mirrors
 by HTTP, with one snapshot for each run of a client.
CONTROL
}
