import { expect, test } from 'vitest';
import { documentKind } from '../../../src/http/pins/entry-documents.ts';

test.for([
  'dists/stable/InRelease',
  'dists/stable/Release',
  'InRelease',
  'repodata/repomd.xml',
  'core/os/x86_64/core.db',
  'core/os/x86_64/core.db.tar.gz',
  'v3.22/main/x86_64/APKINDEX.tar.gz',
  'simple/',
  'simple/requests/',
  'simple/requests/index.html',
  'lodash',
  '@types/node',
  'p/packages.json',
  '',
])('a run begins with %j', (path) => {
  expect(documentKind(path)).toBe('entry');
});

test.for([
  'dists/stable/Release.gpg',
  'dists/stable/main/binary-amd64/Packages.xz',
  'dists/stable/main/source/Sources',
  'dists/stable/main/Contents-amd64.gz',
  'dists/stable/main/i18n/Translation-en.xz',
  'repodata/repomd.xml.asc',
  'core/os/x86_64/core.db.sig',
  'core/os/x86_64/core.files',
  'ls-lR.gz',
])('%j belongs to one generation', (path) => {
  expect(documentKind(path)).toBe('bound');
});

test.for([
  'pool/main/h/hello/hello_2.10-3_amd64.deb',
  'dists/stable/main/binary-amd64/by-hash/SHA256/0123abcd',
  'repodata/0123abcd-primary.xml.gz',
  'Packages/h/hello-2.10-3.x86_64.rpm',
  'packages/requests-2.0-py3-none-any.whl',
  'lodash/-/lodash-4.17.21.tgz',
])('%j is content, which another document has named', (path) => {
  expect(documentKind(path)).toBe('content');
});
