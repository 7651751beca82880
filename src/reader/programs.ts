/**
 * How a command uses the lists (the index, the metadata) that its package manager keeps:
 *
 * - `refresh`: it fetches the lists; it needs the current snapshot, which is worth remembering;
 * - `reuse`: it relies on the fetched lists; it needs the snapshot that they came from;
 * - `pin`: it fetches what it needs by itself, or is not known; any single snapshot will do;
 * - `none`: it does not read the mirror.
 */
export type Use = 'refresh' | 'reuse' | 'pin' | 'none';

/** A package manager's command line: how a call of it uses the lists. */
export interface Program {
  readonly family: string;
  /** The command that fetches the lists. */
  readonly refresh?: string;
  /** Matches the base name of the program. */
  readonly names: RegExp;
  /** Options whose value may be the next word. */
  readonly valued: readonly string[];
  readonly subcommands: Readonly<Partial<Record<Use, readonly string[]>>>;
  /** Subcommands, also of two words, that work with what is on this host. */
  readonly local?: readonly string[];
  /** For a subcommand that is not listed. */
  readonly otherwise: Use;
  /** For a call without a subcommand. */
  readonly bare: Use;
  /**
   * Options that override the use. The first rule with a given option applies, if the subcommand is
   * among `of` or, where `of` is absent, if the use is not `none`.
   */
  readonly options: readonly {
    readonly names: readonly string[];
    readonly use: Use;
    readonly of?: readonly string[];
    readonly isLocal?: boolean;
  }[];
  /** The subcommand is an option, as in `pacman -S`. */
  readonly subcommandIsOption?: boolean;
}

/** Splits a text into words. */
function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}

const APT_VALUED = words('-o --option -c --config-file -t --target-release');

/**
 * Whatever opens apt's cache counts as `reuse`: with file: sources and without Acquire::GzipIndexes
 * the files in /var/lib/apt/lists are symlinks into the mirror, so even `apt show` reads it.
 */
const APT: Program = {
  family: 'apt',
  refresh: 'apt-get update',
  names: /^apt(-get)?$/,
  // apt-get(8), OPTIONS
  valued: [
    ...APT_VALUED,
    ...words(`
      --default-release -a --host-architecture -P --build-profiles --with-source -e --error-on -S
      --snapshot
    `),
  ],
  subcommands: { refresh: ['update'], none: words('clean distclean help moo edit-sources') },
  // apt(8), apt-get(8), apt-cache(8), apt-mark(8), apt-file(1)
  local: words(`
    list search find show showsrc policy depends rdepends madison showpkg pkgnames stats dump dumpavail unmet check indextargets
    auto manual hold unhold showauto showmanual showhold remove purge autoremove autopurge autoclean
  `),
  otherwise: 'reuse',
  bare: 'none',
  options: [
    { names: words('-h --help -v --version'), use: 'none' },
    { names: ['-U', '--update'], use: 'refresh' },
  ],
};

export const PROGRAMS: readonly Program[] = [
  {
    ...APT,
    options: [
      ...APT.options,
      {
        // apt-get(8), OPTIONS
        names: words(
          '-s --simulate --just-print --dry-run --recon --no-act --print-uris --no-download',
        ),
        use: 'reuse',
        isLocal: true,
      },
    ],
  },
  {
    ...APT,
    names: /^(apt-(cache|mark|file|sortpkgs)|unattended-upgrades?)$/,
    bare: 'reuse',
  },
  {
    family: 'apt',
    names: /^aptitude(-curses)?$/,
    // aptitude(8), OPTIONS
    valued: [
      ...APT_VALUED,
      ...words(`
        -F --display-format -O --sort -S -w --width --add-user-tag --add-user-tag-to
        --remove-user-tag --remove-user-tag-from --group-by --log-file --log-level
        --show-package-names
      `),
    ],
    subcommands: { refresh: ['update'], none: ['clean', 'help'] },
    local: words('search show versions why why-not remove purge autoclean'),
    otherwise: 'reuse',
    bare: 'reuse',
    options: [
      { names: ['-h', '--help', '--version'], use: 'none' },
      { names: ['-u'], use: 'refresh' },
    ],
  },
  {
    // Its commands fetch the metadata themselves if it is too old.
    family: 'dnf',
    refresh: 'dnf makecache',
    names: /^(dnf|yum|microdnf)(-?\d)?$/,
    // dnf(8), OPTIONS
    valued: words(`
      -c --config --installroot --enableplugin --disableplugin --releasever --setopt -R
      --randomwait -d --debuglevel -e --errorlevel --rpmverbosity --enablerepo --disablerepo
      --repo --repoid -x --exclude --excludepkgs --disableexcludes --disableexcludepkgs
      --repofrompath --color --destdir --downloaddir --comment --advisory --advisories --bz --bzs
      --cve --cves --sec-severity --secseverity --forcearch --forarch --arch
    `),
    subcommands: {
      refresh: ['makecache', 'mc'],
      none: words('alias autoremove clean erase help mark remove rm'),
    },
    // dnf(8), dnf5(8)
    local: [
      ...words(`
        list ls search se info if repoquery rq repolist repoinfo provides whatprovides prov wp check check-update check-upgrade
        deplist updateinfo list-updateinfo list-security list-sec info-updateinfo info-security info-sec summary-updateinfo history
        hist grouplist groupinfo
      `),
      ...words('group groups grp module environment advisory repo').flatMap((kind) =>
        words('list info summary provides').map((word) => `${kind} ${word}`),
      ),
    ],
    otherwise: 'pin',
    bare: 'none',
    options: [
      { names: words('-h --help --help-cmd --version'), use: 'none' },
      { names: ['-C', '--cacheonly'], use: 'reuse', isLocal: true },
    ],
  },
  {
    // `install` refreshes a repository with autorefresh, from the reused snapshot.
    family: 'zypper',
    refresh: 'zypper refresh',
    names: /^zypper$/,
    // zypper(8), GLOBAL OPTIONS
    valued: words(`
      -c --config --userdata -s --table-style -D --reposd-dir -C --cache-dir --raw-cache-dir
      --solv-cache-dir --pkg-cache-dir -p --plus-repo --plus-content --releasever -R --root
      --installroot
    `),
    subcommands: {
      refresh: words('refresh ref refresh-services refs'),
      pin: ['shell', 'sh'],
      none: words(`
        help ? repos lr addrepo ar removerepo rr renamerepo nr modifyrepo mr clean cc services ls
        addservice as modifyservice ms removeservice rs addlock al removelock rl locks ll
        cleanlocks cl locales lloc licenses versioncmp vcmp targetos tos needs-rebooting ps
        subcommand log
      `),
    },
    // zypper(8); with autorefresh, they fetch lists that are too old
    local: words(`
      search se info if patch-info pattern-info product-info patches pch packages pa patterns pt products pd what-provides wp
      list-updates lu list-patches lp patch-check pchk remove rm purge-kernels
    `),
    otherwise: 'reuse',
    bare: 'none',
    options: [{ names: words('-h --help -V --version'), use: 'none' }],
  },
  {
    family: 'pacman',
    refresh: 'pacman -Sy',
    names: /^pacman$/,
    subcommandIsOption: true,
    // pacman(8), OPTIONS
    valued: words(`
      -b --dbpath -r --root --arch --ask --assume-installed --cachedir --color --config --gpgdir
      --hookdir --ignore --ignoregroup --logfile --overwrite --print-format --sysroot
    `),
    subcommands: {
      reuse: ['-S', '--sync'],
      pin: ['-U', '--upgrade'],
      none: words(`
        -D --database -F --files -Q --query -R --remove -T --deptest -V --version -h --help
      `),
    },
    // Of files, unless it is given a URL.
    local: ['-U', '--upgrade'],
    otherwise: 'pin',
    bare: 'none',
    options: [
      { names: words('-h --help -V --version'), use: 'none' },
      { names: ['-c', '--clean'], of: ['-S', '--sync'], use: 'none' },
      // Also with -u: later commands install by the lists that this one fetched.
      { names: ['-y', '--refresh'], of: ['-S', '--sync'], use: 'refresh' },
      {
        names: words('-s --search -l --list -i --info -g --groups'),
        of: ['-S', '--sync'],
        use: 'none',
      },
      // -F has lists of its own, which -S does not read.
      { names: ['-y', '--refresh'], of: ['-F', '--files'], use: 'pin' },
    ],
  },
  {
    family: 'apk',
    refresh: 'apk update',
    names: /^apk(\.static)?$/,
    // apk(8), GLOBAL OPTIONS; -t is from apk-add(8)
    valued: words(`
      -p --root -X --repository --arch --cache-dir --cache-max-age --keys-dir --progress-fd
      --repositories-file --timeout --wait -t --virtual
    `),
    subcommands: {
      refresh: ['update'],
      none: words('audit del index info list mkndx mkpkg policy search stats'),
    },
    otherwise: 'reuse',
    bare: 'none',
    options: [
      { names: words('-h --help -V --version'), use: 'none' },
      { names: ['-U', '--update-cache', '--update'], use: 'refresh' },
      { names: ['--no-cache'], use: 'pin' },
    ],
  },
  {
    // It keeps no lists: each command reads the index itself.
    family: 'pip',
    names: /^pip[\d.]*$/,
    // pip --help, General Options
    valued: words(`
      --python --log --keyring-provider --proxy --retries --timeout --exists-action --trusted-host
      --cert --client-cert --cache-dir --use-feature --use-deprecated
    `),
    subcommands: {
      none: words('cache check completion config debug freeze hash help inspect show uninstall'),
    },
    // With --outdated, it requests what there is of the packages that are installed.
    local: ['list'],
    otherwise: 'pin',
    bare: 'none',
    options: [{ names: words('-h --help -V --version'), use: 'none' }],
  },
  {
    // It keeps no lists, either.
    family: 'npm',
    names: /^npm$/,
    // npm help config
    valued: words(`
      --access --before --cache -C --prefix --depth --globalconfig --include --install-strategy --location -L --loglevel
      --node-options --omit --otp --registry --scope --script-shell --tag --userconfig -w --workspace
    `),
    subcommands: { none: words('completion help help-search') },
    // npm help npm; what a script requests is not known
    local: words(`
      ls list la ll explain why query prefix root pkg config c get set cache fund outdated version sbom edit explore
      uninstall un remove rm r unlink prune rebuild rb shrinkwrap pack init
      run run-script rum urn test tst t start stop restart
    `),
    otherwise: 'pin',
    bare: 'none',
    options: [{ names: words('-h --help -v --version'), use: 'none' }],
  },
  {
    family: 'npm',
    names: /^npx$/,
    // npm help npx
    valued: words('-p --package -c --call -w --workspace'),
    subcommands: {},
    otherwise: 'pin',
    bare: 'none',
    options: [],
  },
];

/** A program that runs the command after its own options. */
export interface Wrapper {
  readonly names: RegExp;
  readonly valued: readonly string[];
  /** Words between the options and the command, such as timeout's duration. */
  readonly operands?: number;
  /** `NAME=value` may stand before the command. */
  readonly takesAssignments?: boolean;
}

export const WRAPPERS: readonly Wrapper[] = [
  {
    names: /^sudo$/,
    // sudo(8)
    valued: words(`
      -C --close-from -D --chdir -g --group -h --host -p --prompt -R --chroot -r --role -T
      --command-timeout -t --type -U --other-user -u --user
    `),
    takesAssignments: true,
  },
  { names: /^doas$/, valued: ['-C', '-u'] },
  { names: /^env$/, valued: words('-C --chdir -u --unset'), takesAssignments: true },
  { names: /^nice$/, valued: ['-n', '--adjustment'] },
  { names: /^ionice$/, valued: words('-c --class -n --classdata') },
  { names: /^time$/, valued: words('-f --format -o --output') },
  { names: /^timeout$/, valued: words('-k --kill-after -s --signal'), operands: 1 },
  { names: /^stdbuf$/, valued: words('-e --error -i --input -o --output') },
  { names: /^(chronic|command|eatmydata|exec|nohup|setsid)$/, valued: [] },
];
