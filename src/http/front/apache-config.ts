import { FOR_NGINX } from '../nginx-places.ts';
import {
  connectableAddress,
  type DecidedPlace,
  decidedPlaces,
  type Front,
  type FrontedMirror,
  isOneAtTop,
  LATER_CHANNELS,
  ownPlaces,
  quotedFor,
} from './front.ts';

/**
 * The configuration for Apache in front of `serve`, with modules of its own alone: Apache sends every file.
 * Where a file is, it asks for each request a program of ours that it starts itself, `answerApache`, which
 * asks mirrorlatch once for each run of a client.
 *
 * @param program the command line that starts it, as a shell would split it.
 * @throws MirrorlatchError USAGE when a path or prefix contains what Apache cannot name.
 */
export function apacheConfig(
  { mirrors, listen, keepSeconds, quietSeconds, start }: Front,
  program: string,
): string {
  const places = allPlaces(mirrors);
  return `# Apache in front of mirrorlatch, printed by: mirrorlatch serve --apache-config
#
# Apache sends the files. mirrorlatch decides which snapshot a client reads: it is asked once for a client (its address
# and its User-Agent), and for what the snapshot lacks; the answer is kept for ${keepSeconds} s. One run of a client, such as apt-get update and install, stays
# with one snapshot; a client that begins again after ${quietSeconds} s without a request gets the newest.
#
# 1. Start mirrorlatch, best by systemd (mirrorlatch help web-servers):
#    ${start}
# 2. Save this as /etc/apache2/sites-available/mirror.conf, with your own ServerName, port and certificates.
# 3. a2enmod alias autoindex dir env headers proxy proxy_http rewrite && a2ensite mirror
# 4. apachectl configtest && systemctl restart apache2
# 5. curl -I http://YOUR-SERVER${mirrors[0]?.content ?? '/'} shows the header X-Mirrorlatch-Snapshot. "unpinned" there
#    means that mirrorlatch is down, or does not trust Apache: see its log.
#
# Apache's user (www-data) has to be able to enter the mirror: r-x for the directories above it and for the snapshots.
# With SELinux: semanage fcontext -a -t httpd_sys_content_t 'ROOT(/.*)?' && restorecon -R ROOT, and
# setsebool -P httpd_can_network_connect 1.
#
# To have the mirror in a server that you have already, see: mirrorlatch help web-servers
${LATER_CHANNELS}

<VirtualHost *:80>
    ServerName mirror.example.org

    # Behind a proxy of your own, so that its clients are told apart (a2enmod remoteip):
    # RemoteIPHeader X-Forwarded-For
    # RemoteIPInternalProxy 192.0.2.1

    # Apache starts this program and ends it. It keeps the decisions, and answers where a file is. The last word is the
    # user that it runs as; leave it away where Apache is not started by root.
    RewriteEngine On
    RewriteMap mirrorlatch "prg:${quoted(program).slice(1, -1)}" www-data:www-data
    RewriteMap escape int:escape

    AllowEncodedSlashes On
    <LocationMatch "${places}">
        ProxyAddHeaders Off
        RequestHeader set X-Forwarded-For "expr=%{REMOTE_ADDR}"
        RequestHeader unset X-Mirrorlatch-Snapshot
        RequestHeader set X-Mirrorlatch-Snapshot "%{MIRRORLATCH_DECIDED}e" env=MIRRORLATCH_DECIDED
        # Apache's own ETag can be the same in two snapshots. The program's, which is sent, is not. Mind that FileETag
        # None would take that out, too.
        FileETag INode MTime Size
        # Apache takes every date after the file's for the file's own, and the same date for the same file.
        RequestHeader unset If-Modified-Since env=MIRRORLATCH_changed
        RequestHeader unset Range env=MIRRORLATCH_changed
        # While mirrorlatch is down. Its own answers say when to come back.
        Header always set Retry-After 30 "expr=%{REQUEST_STATUS} == 503 && -z %{resp:Retry-After}"
    </LocationMatch>

    RewriteRule "^(/-/decide|${FOR_NGINX})/" "-" [R=404,L]
${mirrors.map((mirror) => rulesOf(mirror, mirrors)).join('')}
    # "SNAPSHOT changed|same ETAG /PATH": found. "none": there is none, and mirrorlatch is down.
    RewriteCond "%{ENV:MIRRORLATCH}" "^([^ ]+) ([a-z]+) ([^ ]+) (/.*)$"
    RewriteRule "^" "-" [E=MIRRORLATCH_SNAPSHOT:%1,E=MIRRORLATCH_%2:1,E=MIRRORLATCH_ETAG:%3,E=MIRRORLATCH_FILE:%4,E=no-proxy:1,L]
    RewriteCond "%{ENV:MIRRORLATCH}" "=none"
    RewriteRule "^" "-" [R=404,L]
    # "later": it is down, and the mirror is behind its gate; or it hangs, or has too much to do, and a run that went on with
    # what is current would be a mix.
    RewriteCond "%{ENV:MIRRORLATCH}" "=later"
    RewriteRule "^" "-" [R=503,L]
    # Apache looks for an index: there is none.
    RewriteCond "%{IS_SUBREQ}" "=true"
    RewriteRule "${places}" "-" [E=MIRRORLATCH_FILE:%{ENV:MIRRORLATCH_FILE}/.none,L]
    RewriteCond "%{ENV:MIRRORLATCH}" "^ask ([^ ]+)$"
    RewriteRule "^" "-" [E=MIRRORLATCH_DECIDED:%1]
    # The rest is mirrorlatch's: what the snapshot lacks, pins, current.json, and the status page below /-/.
${passedOn(places, listen)}${isOneAtTop(mirrors) ? '' : top(listen)}${mirrors.map((mirror) => locationsOf(mirror, mirrors)).join('')}</VirtualHost>`;
}

/** A regular expression for all that is a mirror's, or mirrorlatch's own. */
function allPlaces(mirrors: readonly FrontedMirror[]): string {
  if (isOneAtTop(mirrors)) return '^';
  const places = [...ownPlaces(mirrors), ...mirrors.map(({ content }) => content)];
  return `^(${places.map((place) => patternOf(place.slice(0, -1))).join('|')})(/|$)`;
}

function passedOn(places: string, listen: string): string {
  return `    RewriteRule "${places}" "${backendOf(listen)}\${escape:%{REQUEST_URI}}" [P,NE]\n`;
}

const top = (listen: string): string => `
    # The status page once more, and 404 for all else. Leave it out in a server that has pages of its own.
${passedOn('^', listen)}`;

function rulesOf(mirror: FrontedMirror, mirrors: readonly FrontedMirror[]): string {
  const { prefix, trees, hasSnapshots } = mirror;
  const pattern = patternOf(prefix);
  const decided = decidedPlaces(mirror);
  const places = decided.map((one) => placeOf(one, mirrors));
  const withoutSlash = decided.map(({ content }) => patternOf(content.slice(0, -1)));
  return `
    RewriteCond "%{REQUEST_METHOD}" "!^(GET|HEAD)$"
    RewriteRule "^(${[...places, `${pattern}snapshots/`].join('|')})" "-" [R=405,L]
    RewriteRule "^(${[...withoutSlash, `${pattern}snapshots`].join('|')})$" "$1/" [R=301,L]
${decided.map((one, at) => decidedRule(one, places[at] ?? '')).join('')}${hasSnapshots ? snapshotRule(pattern, trees) : ''}`;
}

function decidedRule({ name, content, link }: DecidedPlace, place: string): string {
  const asked = question(
    word(name),
    word(link),
    '%{REMOTE_ADDR}',
    escaped('%{HTTP_USER_AGENT}'),
    KNOWN,
    word(content),
    escaped('$1'),
  );
  return `    RewriteRule "^${place}(.*)$" "-" "${asked}"\n`;
}

function snapshotRule(pattern: string, snapshots: string): string {
  const directory = `${word(`${snapshots}/`)}${escaped('$1')}`;
  const asked = question('-', directory, '-', '-', KNOWN, '-', escaped('$2'));
  return `    RewriteRule "^${pattern}snapshots/([^/]+)/(.*)$" "-" "${asked}"\n`;
}

/** A regular expression for where a place begins, without those of others below it. */
function placeOf({ content }: DecidedPlace, mirrors: readonly FrontedMirror[]): string {
  const others = ['/-/', ...mirrors.flatMap((other) => [other.prefix, other.content])]
    .filter((other) => other.startsWith(content) && other !== content)
    .map((other) => patternOf(other.slice(content.length)));
  return patternOf(content) + (others.length === 0 ? '' : `(?!${others.join('|')})`);
}

/** A regular expression for a text. */
function patternOf(text: string): string {
  return quoted(text)
    .slice(1, -1)
    .replaceAll(/[.+^()|]/g, '\\$&');
}

/** The flag that puts the program's answer to a line of words into MIRRORLATCH. */
function question(...words: readonly string[]): string {
  return `[E=MIRRORLATCH:\${mirrorlatch:${words.join(' ')}}]`;
}

/** What Apache finds while it rewrites, without a space in it. */
function escaped(variable: string): string {
  return `\${escape:${variable}}`;
}

/** By what a client recognizes what it has. */
const KNOWN = [
  escaped('%{HTTP:If-Modified-Since}'),
  escaped('%{HTTP:If-Range}'),
  escaped('%{HTTP:If-None-Match}'),
  escaped('%{HTTP:If-Match}'),
  escaped('%{HTTP:If-Unmodified-Since}'),
].join(';');

/** In a line for the program, which decodes it. A bare % would begin a variable. */
function word(text: string): string {
  return encodeURIComponent(text).replaceAll('%2F', '/').replaceAll('%', '\\%');
}

function locationsOf(mirror: FrontedMirror, mirrors: readonly FrontedMirror[]): string {
  const { prefix, trees } = mirror;
  const snapshots = patternOf(`${prefix}snapshots/`);
  const decided = decidedPlaces(mirror).map((one) => [placeOf(one, mirrors), one.headers] as const);
  const places = [...decided, [snapshots, {}] as const];
  return [
    ...places.map(
      ([place, headers]) => `
    <LocationMatch "^${place}">
        Alias "%{reqenv:MIRRORLATCH_FILE}"
        SetHandler None
        SetEnv no-gzip 1
        Header set Cache-Control no-cache env=MIRRORLATCH_SNAPSHOT
        Header set X-Mirrorlatch-Snapshot "%{MIRRORLATCH_SNAPSHOT}e" env=MIRRORLATCH_SNAPSHOT
        Header set ETag "\\"%{MIRRORLATCH_ETAG}e\\"" "expr=%{reqenv:MIRRORLATCH_ETAG} =~ /^[^-]/"
${Object.entries(headers).map(setHeader).join('')}    </LocationMatch>
`,
    ),
    `
    # What never changes. An id that a person gave can come again, for another snapshot.
    <LocationMatch "^${snapshots}[0-9]{8}T[0-9]{6}Z(-[0-9]+)?/">
        Header set Cache-Control "public, max-age=31536000, immutable" env=MIRRORLATCH_SNAPSHOT
    </LocationMatch>

    # The program names no path with a symlink in it: only listings follow them.
    <Directory ${quoted(trees)}>
        Options Indexes FollowSymLinks
        AllowOverride None
        DirectoryIndex index.html index.json
        Require all granted
    </Directory>
`,
  ].join('');
}

function setHeader([name, value]: readonly [string, string]): string {
  return `        Header set ${name} ${quoted(value)}\n`;
}

/** What mod_proxy is told to connect to. */
function backendOf(listen: string): string {
  return listen.startsWith('unix:')
    ? `${quoted(listen).slice(1, -1)}|http://mirrorlatch`
    : `http://${connectableAddress(listen)}`;
}

/** Within Apache's quotes, these are variables, or wildcards of <Location> and <Directory>. */
function quoted(text: string): string {
  return quotedFor('Apache', /["\\$%*?[\]{}\n]/, text);
}
