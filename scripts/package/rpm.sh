# build_rpm makes a .rpm of the tree that scripts/package.sh, which sources this file, has staged.

build_rpm() {
  root=$work/rpm
  mkdir -- "$root"
  # Debian alone has a directory for those of packages.
  cp -a -- "$work/tree" "$root/tree"
  if [ -d "$root/tree/usr/share/zsh" ]; then
    mv -- "$root/tree/usr/share/zsh/vendor-completions" "$root/tree/usr/share/zsh/site-functions"
  fi
  settle "$root/tree"
  {
    (cd "$root/tree" && find usr etc -type d \( -name mirrorlatch -o -path '*/mirrorlatch/*' \) -printf '%%dir "/%p"\n')
    (cd "$root/tree" && find usr \( -type f -o -type l \) -printf '"/%p"\n')
    (cd "$root/tree" && find etc -type f -printf '%%config(noreplace) "/%p"\n')
  } | sort >"$root/files"
  needed='nodejs(engine) >= 20.19'
  [ -z "$bundled" ] || needed=/bin/sh
  rpmbuild -bb --quiet --target "$rpm_arch" --define "_topdir $root" --define "tree $root/tree" \
    --define "ml_version $version" --define "ml_release $revision" --define "ml_summary $summary" \
    --define "ml_needed $needed" --define "ml_files $root/files" scripts/package/mirrorlatch.spec >"$root/said" 2>&1 || {
    cat "$root/said" >&2
    stop 'rpmbuild failed.'
  }
  rpm=mirrorlatch-$version-$revision.$rpm_arch.rpm
  cp -- "$root/RPMS/$rpm_arch/$rpm" "$out/$rpm"
  printf '%s\n' "$out/$rpm"
}
