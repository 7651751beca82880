import fc from 'fast-check';
import { expect, test } from 'vitest';
import { presetFor } from '../../../src/reader/presets.ts';

/** Command lines by their preset; none of their words contains a space. */
const COMMANDS = {
  'apt refresh': [
    'apt-get update',
    'apt-get -qq update',
    'apt-get -q=2 update',
    'apt update',
    'aptitude update',
    'apt-get -o Dir::Etc::sourcelist=/tmp/x update',
    'apt-get -oAcquire::Retries=3 update',
    'apt-get -c install update',
    'apt-get --option install update',
    'apt-get --option=install update',
    'apt-get -yo install update',
    'apt-get -t install update',
    'apt-get -t=install update',
    'apt-get update -o install',
    'apt-get -- update',
    'apt-get install --update hello',
    'apt install -U hello',
    'aptitude -u',
    'apt-file update',
    '/usr/bin/apt-get update',
    'sudo apt-get update',
    'sudo -u root -E DEBIAN_FRONTEND=noninteractive /usr/bin/apt-get -y update',
    'sudo --user root -- apt-get update',
    'env DEBIAN_FRONTEND=noninteractive apt-get update',
    'env -i -u X PATH=/bin apt-get update',
    'nice apt-get update',
    'nice -n 10 apt-get update',
    'nice -10 apt-get update',
    'nice -n10 ionice -c 3 sudo env A=b=c timeout -k 5 10m apt-get update',
    'nohup setsid time -f %e stdbuf -oL apt-get update',
  ],
  'apt reuse': [
    'apt-get install hello',
    'apt-get install update',
    'apt-get -t update install hello',
    'apt-get -y -o update dist-upgrade',
    'apt-get upgrade',
    'apt-get source hello',
    'apt-get build-dep hello',
    'apt-get download hello',
    'apt-get autoclean',
    'apt full-upgrade',
    'apt show hello',
    'aptitude safe-upgrade',
    'aptitude -w update install hello',
    'aptitude',
    'apt-cache policy hello',
    'unattended-upgrade',
    'unattended-upgrades -d',
    'sudo apt install hello',
    'apt-get install -- --update',
  ],
  'apt none': ['apt-get clean', 'apt-get', 'apt --help', 'apt-get install -h', 'aptitude clean'],
  'dnf refresh': ['dnf makecache', 'yum -q makecache', 'dnf5 -x install makecache'],
  'dnf reuse': ['dnf -C install hello', 'dnf upgrade --cacheonly'],
  'dnf pin': [
    'dnf install hello',
    'dnf -y upgrade',
    'dnf --setopt makecache install hello',
    'yum check-update',
    'microdnf install makecache',
    'dnf-3 repoquery hello',
    'dnf install --refresh hello',
  ],
  'dnf none': ['dnf clean all', 'dnf -y remove hello', 'dnf --version', 'dnf'],
  'zypper refresh': ['zypper refresh', 'zypper -n ref', 'zypper --root install refresh'],
  'zypper reuse': ['zypper install -t refresh hello', 'zypper -n up', 'zypper -R /mnt dup'],
  'zypper pin': ['zypper shell'],
  'zypper none': ['zypper clean', 'zypper lr -u', 'zypper', 'zypper -V'],
  'pacman refresh': [
    'pacman -Sy',
    'pacman -Syy',
    'pacman -Syu',
    'pacman -Syu --noconfirm hello',
    'pacman --noconfirm -S -y',
    'pacman --sync --refresh',
    'pacman -r /mnt -Sy',
    'pacman -b -R -Sy',
  ],
  'pacman reuse': [
    'pacman -S hello',
    'pacman -Su',
    'pacman -Sw hello',
    'pacman -S --config -y hello',
  ],
  'pacman pin': ['pacman -U hello.pkg.tar', 'pacman -Fy'],
  'pacman none': [
    'pacman -Scc',
    'pacman -Ss hello',
    'pacman -Q',
    'pacman -Qyu',
    'pacman -Rns hello',
    'pacman -F hello',
    'pacman -Sh',
    'pacman',
  ],
  'apk refresh': ['apk update', 'apk add -U hello', 'apk --update-cache -X add upgrade'],
  'apk reuse': ['apk add hello', 'apk -p update upgrade', 'apk add -t update hello'],
  'apk pin': ['apk add --no-cache hello'],
  'apk none': ['apk del hello', 'apk info', 'apk'],
  'pip pin': [
    'pip install hello',
    'pip3 download hello',
    'pip3.11 wheel hello',
    'pip --proxy list install hello',
    'python3 -m pip install hello',
    'python -I -m pip index versions hello',
    'pip list --outdated',
  ],
  'pip none': ['pip freeze', 'pip --version', 'python3.11 -m pip uninstall hello'],
  'npm pin': ['npm install hello', 'npm --prefix help ci', 'npm ls', 'npx help', 'npm exec hello'],
  'npm none': ['npm help', 'npm', 'npm --version', 'npx'],
  'other pin': [
    'rsync -a a b',
    'sh -c apt-get',
    'python3 -m apt-get update',
    'python3 apt-get update',
    'my-apt-get update',
    'apt-get-update',
    'sudo',
    'timeout',
    'env A=b',
  ],
} as const;

test.for(
  Object.entries(COMMANDS).flatMap(([preset, lines]) =>
    lines.map((line) => [line, preset] as const),
  ),
)('%s is %s', ([line, preset]) => {
  const { family, use } = presetFor(line.split(' '));
  expect(`${family} ${use}`).toBe(preset);
});

test.for([
  ['apt list --installed', true],
  ['sudo apt-cache policy hello', true],
  ['apt-mark hold hello', true],
  ['aptitude search list', true],
  ['apt remove hello', true],
  ['apt-get install -s hello', true],
  ['apt-get --print-uris update', true],
  ['dnf -q list', true],
  ['dnf --setopt list search hello', true],
  ['dnf group list', true],
  ['dnf -C install hello', true],
  ['zypper -n se hello', true],
  ['zypper remove hello', true],
  ['pacman -U hello.pkg.tar', true],
  ['pip list --outdated', true],
  ['npm ls', true],
  ['npm --prefix install run build', true],
  ['apt-get install list', undefined],
  ['apt -U list', undefined],
  ['apt-file -s update', undefined],
  ['dnf makecache', undefined],
  ['dnf install list', undefined],
  ['dnf group install list', undefined],
  ['zypper refresh', undefined],
  ['zypper install se', undefined],
  ['pacman -Sy', undefined],
  ['pip install list', undefined],
  ['npm install ls', undefined],
  ['npx ls', undefined],
  ['curl list', undefined],
  ['apt download hello', undefined],
  ['aptitude changelog hello', undefined],
  ['unattended-upgrade', undefined],
] as const)('`%s` works with what is on this host: %s', ([line, is]) => {
  expect(presetFor(line.split(' ')).isLocal).toBe(is);
});

test('an empty command line and empty words mean a plain pin', () => {
  expect(presetFor([])).toEqual({ family: 'other', use: 'pin' });
  expect(presetFor([''])).toEqual({ family: 'other', use: 'pin' });
});

test('a word with spaces or newlines is one word', () => {
  expect(presetFor(['apt-get', '-o', 'a b\ninstall', 'update']).use).toBe('refresh');
  expect(presetFor(['/opt/with space/apt-get', 'update']).use).toBe('refresh');
  expect(presetFor(['env', '-S', 'apt-get update']).use).toBe('pin');
  expect(presetFor(['sh', '-c', 'apt-get update']).use).toBe('pin');
});

test('wrappers in any number and order change nothing', () => {
  const wrapper = fc.constantFrom(
    ['sudo'],
    ['sudo', '-u', 'root', 'A=b'],
    ['env', 'A=b', 'C='],
    ['nice', '-n', '5'],
    ['timeout', '--signal', 'INT', '5'],
    ['nohup'],
    ['/usr/bin/setsid'],
  );
  const line = fc.constantFrom(...Object.values(COMMANDS).flat());
  fc.assert(
    fc.property(fc.array(wrapper), line, (wrappers, text) => {
      const words = text.split(' ');
      expect(presetFor([...wrappers.flat(), ...words])).toEqual(presetFor(words));
    }),
  );
});

test('every command line has a preset', () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom('sudo', 'env', 'timeout', 'apt-get', 'pacman', '-Sy', '--', '-', '-o', 'a=b'),
  );
  fc.assert(
    fc.property(fc.array(word), (words) => {
      expect(['refresh', 'reuse', 'pin', 'none']).toContain(presetFor(words).use);
    }),
  );
});
