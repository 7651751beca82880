import { expect, test } from 'vitest';
import { parseServedRoot, refuseRivals } from '../../../src/http/server/served-places.ts';

const serve = (...words: string[]): void => refuseRivals(words.map(parseServedRoot));

test.each([
  ['/srv/a=/status.json', '/status.json'],
  ['/srv/a=/metrics//', '/metrics'],
  ['/srv/a=/still/', '/still'],
  ['/srv/a=/healthz/debian/', '/healthz'],
  ['/srv/metrics', '/metrics'],
  ['/srv/a/current=/metrics/', '/metrics'],
  ['/srv/a=/-', '/-/'],
  ['/srv/a=/-/mirrors/a/', '/-/'],
  ['/srv/a/current=/-/a/', '/-/'],
])('%s is refused, since the server has pages there', (word, page) => {
  const [, path] = /^([^=]*)/.exec(word) ?? [];
  expect(() => serve('/srv/b', word)).toThrow(
    expect.objectContaining({
      code: 'USAGE',
      message: expect.stringContaining(`${page} is a page of the server itself, so ${path} cannot`),
      hint: expect.stringMatching(`${path}=/OTHER/$`),
    }),
  );
});

test.each(['//metrics', '/metrics%2Fx', '/%2D/x', '/status%2Ejson', '/a//metrics', '/./metrics'])(
  'a prefix spelt %s is refused',
  (prefix) => {
    expect(() => serve(`/srv/a=${prefix}`)).toThrow(`"${prefix}/" cannot begin a URL`);
  },
);

test('where a mirror has the place /, the pages of the server are below /-/ alone', () => {
  expect(() => serve('/srv/a=/', '/srv/b=/metrics/')).not.toThrow();
  expect(() => serve('/srv/a/current=/', '/srv/b=/metrics/')).not.toThrow();
  expect(() => serve('/srv/a=/', '/srv/b=/-/metrics/')).toThrow('/-/ is a page of the server');
  expect(() => serve('/srv/a=/metricsX/', '/srv/b=/a/metrics/')).not.toThrow();
});
