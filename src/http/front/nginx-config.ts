import { BASE_HEADER, CHANNEL_HEADER } from '../base-header.ts';
import { FOR_NGINX, SENT_BY_NGINX } from '../nginx-places.ts';
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
 * The configuration for nginx in front of `serve`, a file for its `http` block: nginx sends every file, and
 * asks mirrorlatch once for each run of a client which snapshot that client reads.
 *
 * The decision is the cached answer to a subrequest (ngx_http_auth_request_module), so the answer's
 * `Cache-Control` says how long it is kept. What nginx does not find in the snapshot without following a symlink is
 * asked of mirrorlatch, which names a file for nginx to send (X-Accel-Redirect). A decision without a tree can have
 * three reasons: mirrorlatch is down, then `current` is read; it does not answer in time, then it is 503, because a
 * run that went on with `current` would mix; or the mirror is behind its gate, then mirrorlatch is asked for every
 * file, and answers 503.
 *
 * While mirrorlatch is down, `$realpath_root` finds where a path with symlinks leads. It needs a location whose
 * `root` is that path: one for the tree and one for the file, and what is then sent has no symlink in it.
 *
 * @throws MirrorlatchError USAGE when a path or prefix contains what nginx cannot name.
 */
export function nginxConfig({ mirrors, listen, keepSeconds, quietSeconds, start }: Front): string {
  return `# nginx in front of mirrorlatch, printed by: mirrorlatch serve --nginx-config
#
# nginx sends the files. mirrorlatch decides which snapshot a client reads: nginx asks once for a client (its address
# and its User-Agent) and keeps the answer for ${keepSeconds} s. One run of a client, such as apt-get update and install, stays
# with one snapshot; a client that begins again after ${quietSeconds} s without a request gets the newest.
#
# 1. Start mirrorlatch, best by systemd (mirrorlatch help web-servers):
#    ${start}
# 2. Save this as /etc/nginx/sites-available/mirror, with your own server_name, listen and certificates.
# 3. ln -s ../sites-available/mirror /etc/nginx/sites-enabled/ && nginx -t && systemctl reload nginx
# 4. curl -I http://YOUR-SERVER${mirrors[0]?.content ?? '/'} shows the header X-Mirrorlatch-Snapshot. "unpinned" there
#    means that mirrorlatch is down or does not trust nginx: see its log and nginx's error log.
#
# nginx's user (www-data) has to be able to enter the mirror: r-x for the directories above it and for the snapshots.
# With SELinux: semanage fcontext -a -t httpd_sys_content_t 'ROOT(/.*)?' && restorecon -R ROOT, and
# setsebool -P httpd_can_network_connect 1.
#
# To have the mirror in a server that you have already, see: mirrorlatch help web-servers
${LATER_CHANNELS}

# The decisions. A megabyte is enough for some 8,000 clients. nginx makes the directory.
proxy_cache_path /run/nginx-mirrorlatch keys_zone=mirrorlatch:8m max_size=256m inactive=${quietSeconds}s use_temp_path=off;

upstream mirrorlatch {
    server ${quoted(connectableAddress(listen))};
    keepalive 16;
}

# The ETag of a file is that of the decision, one for each snapshot: nginx's own, time and size, can be the same in two.
map $sent_http_last_modified $mirrorlatch_etag {
    default $mirrorlatch_tag;
    "" "";
}
# Whether what a client has is still the same file, mirrorlatch knows better: it has the earlier snapshots.
map $http_if_match$http_if_none_match$http_if_modified_since$http_if_unmodified_since$http_if_range $mirrorlatch_decided {
    default /dev/null;
    "" $mirrorlatch_tree;
}

# The directory to send from. /dev/null has no files, so mirrorlatch is asked for each.
map $mirrorlatch_tree $mirrorlatch_directory {
    default $mirrorlatch_decided;
    "" $mirrorlatch_undecided;
}
# 503: the mirror is behind its gate. 504: mirrorlatch hangs, or has too much to do, and a run that went on with what is
# current would be a mix. 410: there is no such channel any more. These, and 500, are for mirrorlatch to answer. Otherwise
# it is down: then what is current, or what the channel names, is read, unpinned.
map $mirrorlatch_status $mirrorlatch_undecided {
    default $mirrorlatch_current;
    "~(?:410|50[034])$" /dev/null;
}
# Without a decision in time, a client is told to come back: also if there was one that said 503 or 500.
map $mirrorlatch_name|$mirrorlatch_tree|$mirrorlatch_status $mirrorlatch_late {
    "~^[^|]+\\|\\|.*504$" 1;
}
map $mirrorlatch_name|$mirrorlatch_tree|$upstream_status $mirrorlatch_silent {
    "~^[^|]+\\|\\|.*504$" 1;
}
map $mirrorlatch_snapshot $mirrorlatch_shown {
    default $mirrorlatch_snapshot;
    "" unpinned;
}

# Where mirrorlatch may let nginx send from, whatever else answers in this server.
map $upstream_http_x_mirrorlatch_tree $mirrorlatch_named {
    default /dev/null;
${mirrors.map(namedTrees).join('')}}

# While mirrorlatch is down: the tree, the path in it, and what that is without symlinks, if it is still in the tree.
map $mirrorlatch_tree$mirrorlatch_current $mirrorlatch_top {
    default $mirrorlatch_read;
    "" /dev/null;
}
map $mirrorlatch_tree $mirrorlatch_read {
    default $mirrorlatch_tree;
    "" $mirrorlatch_current;
}
map $mirrorlatch_content|$uri $mirrorlatch_path {
    "~(?s)^([^|]*)\\|\\1(/.*)$" $2;
}
map $mirrorlatch_path $mirrorlatch_slash {
    "~(?s)/$" /;
}
map $mirrorlatch_real_top|$mirrorlatch_real_path$mirrorlatch_slash $mirrorlatch_alone {
    "~(?s)^([^|]+)\\|\\1(/.*)$" /-/alone$2;
    "~^\\|" /-/later;
    default /-/none;
}

# What never changes. An id that a person gave can come again, for another snapshot.
map $mirrorlatch_content $mirrorlatch_caching {
    default no-cache;
    "~/[0-9]{8}T[0-9]{6}Z(-[0-9]+)?$" "public, max-age=31536000, immutable";
}

server {
    listen 80;
    listen [::]:80;
    server_name mirror.example.org;

    # Behind a proxy of your own, so that its clients are told apart:
    # set_real_ip_from 192.0.2.1; real_ip_header X-Forwarded-For; real_ip_recursive on;
    absolute_redirect off;
    recursive_error_pages on;
    log_not_found off;
    uninitialized_variable_warn off;

    # A location that sets one of these headers itself would lose the others.
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header User-Agent $http_user_agent;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Original-URI $request_uri;
    proxy_set_header X-Mirrorlatch-Snapshot $mirrorlatch_snapshot;
    proxy_connect_timeout 2s;
    proxy_max_temp_file_size 0;

    location = /-/decision {
        internal;
        proxy_pass http://mirrorlatch/-/decide/$mirrorlatch_name;
        proxy_method GET;
        proxy_pass_request_body off;
        proxy_pass_request_headers off;
        proxy_read_timeout 3s;
        proxy_cache mirrorlatch;
        proxy_cache_key "$mirrorlatch_name|$remote_addr|$http_user_agent";
        # "updating" would give the first two requests of a run two snapshots.
        proxy_cache_use_stale off;
        open_file_cache max=4096 inactive=60s;
        proxy_intercept_errors on;
        error_page 400 401 403 404 410 500 502 503 504 = @mirrorlatch_undecided;
    }
    location @mirrorlatch_undecided {
        # A client that asks for /-/decision itself.
        if ($mirrorlatch_name = "") {
            return 404;
        }
        return 204;
    }
    location ^~ /-/decide/ {
        return 404;
    }
    location ^~ ${FOR_NGINX}/ {
        return 404;
    }

    # What nginx does not have or may not send: mirrorlatch looks in all snapshots, and follows symlinks within one.
    location @mirrorlatch {
        if ($mirrorlatch_late) {
            rewrite ^ /-/later last;
        }
        proxy_pass http://mirrorlatch${FOR_NGINX}$request_uri;
        proxy_read_timeout 20s;
        error_page 502 504 = @mirrorlatch_down;
    }
    # The file that mirrorlatch names, by a path without symlinks. What nginx cannot read, mirrorlatch sends itself.
    location ^~ ${SENT_BY_NGINX} {
        internal;
        alias $mirrorlatch_named/;
        disable_symlinks on from=$mirrorlatch_named;
        etag off;
        gzip off;
        error_page 403 404 = @mirrorlatch_itself;
        add_header ETag $upstream_http_etag;
        add_header X-Mirrorlatch-Snapshot $upstream_http_x_mirrorlatch_snapshot;
${[BASE_HEADER, CHANNEL_HEADER].map(passedHeader).join('')}    }
    location @mirrorlatch_itself {
        proxy_pass http://mirrorlatch$request_uri;
    }

    # Without mirrorlatch: a path through symlinks is sent if it stays in the tree. What is not there, mirrorlatch may have
    # when it has time again.
    location @mirrorlatch_down {
        if ($mirrorlatch_silent) {
            rewrite ^ /-/later last;
        }
        root $mirrorlatch_top;
        set $mirrorlatch_real_top $realpath_root;
        set $mirrorlatch_asked $mirrorlatch_path;
        rewrite ^ /-/real last;
    }
    location = /-/real {
        internal;
        root $mirrorlatch_top$mirrorlatch_asked;
        set $mirrorlatch_real_path $realpath_root;
        rewrite ^ $mirrorlatch_alone last;
    }
    location ^~ /-/alone/ {
        internal;
        alias $mirrorlatch_real_top/;
        disable_symlinks on from=$mirrorlatch_real_top;
        index index.html index.json;
        autoindex on;
        etag off;
        gzip off;
        error_page 403 404 = /-/none;
        error_page 301 = /-/later;
        add_header ETag $mirrorlatch_etag;
        add_header Cache-Control no-cache;
        add_header X-Mirrorlatch-Snapshot $mirrorlatch_shown;
    }
    location = /-/none {
        internal;
        if ($upstream_status ~ 504$) {
            rewrite ^ /-/later last;
        }
        return 404;
    }
    location = /-/later {
        internal;
        # A client that asks for /-/later itself.
        error_page 404 = /-/none;
        add_header Retry-After 30 always;
        return 503;
    }

    # Pins, and the status page: /-/, /-/status.json, /-/metrics, /-/healthz.
${ownPlaces(mirrors).map(passedOn).join('')}${isOneAtTop(mirrors) ? '' : TOP}${mirrors.map(locationsOf).join('')}}`;
}

function namedTrees({ trees, hasSnapshots }: FrontedMirror): string {
  const below = hasSnapshots ? '[^/]+' : '.+';
  return `    "~^${patternOf(trees)}/${below}$" $upstream_http_x_mirrorlatch_tree;\n`;
}

const TOP = `    # The status page once more. A server that has a page here already does not need this.
    location "/" {
        proxy_pass http://mirrorlatch;
    }
`;

/** `^~`: no regular expression of a location that the server has already takes it over. */
function passedOn(place: string): string {
  return `    location ^~ ${quoted(place)} {
        proxy_pass http://mirrorlatch${FOR_NGINX}$request_uri;
        client_max_body_size 4k;
    }
`;
}

function passedHeader(name: string): string {
  return `        add_header ${name} $upstream_http_${name.replaceAll('-', '_')};\n`;
}

function locationsOf(mirror: FrontedMirror): string {
  const { prefix, root, trees, hasSnapshots, channels } = mirror;
  return [
    ...decidedPlaces(mirror).map(decidedLocations),
    ...['current', ...channels].map((name) => announcement(prefix, root, `${name}.json`)),
    hasSnapshots ? snapshotLocations(prefix, trees) : '',
  ].join('');
}

function decidedLocations({ name, content, link, headers }: DecidedPlace): string {
  return `
    location ^~ ${quoted(content)} {
        set $mirrorlatch_name ${quoted(name.split('/').map(encodeURIComponent).join('/'))};
        set $mirrorlatch_content ${quoted(content.slice(0, -1))};
        set $mirrorlatch_current ${quoted(link)};
        auth_request /-/decision;
        auth_request_set $mirrorlatch_tree $upstream_http_x_mirrorlatch_tree;
        auth_request_set $mirrorlatch_snapshot $upstream_http_x_mirrorlatch_snapshot;
        auth_request_set $mirrorlatch_tag $upstream_http_etag;
        auth_request_set $mirrorlatch_status $upstream_status;
        alias $mirrorlatch_directory/;
        # Only mirrorlatch knows whether a symlink leads out of the snapshot.
        disable_symlinks on from=$mirrorlatch_directory;
        index index.html index.json;
        autoindex on;
        etag off;
        gzip off;
        error_page 403 404 = @mirrorlatch;
        add_header ETag $mirrorlatch_etag;
        add_header Cache-Control no-cache;
        add_header X-Mirrorlatch-Snapshot $mirrorlatch_shown;
${Object.entries(headers).map(addedHeader).join('')}    }
${content === '/' ? '' : withSlash(content)}`;
}

function addedHeader([name, value]: readonly [string, string]): string {
  return `        add_header ${name} ${quoted(value)};\n`;
}

function announcement(prefix: string, root: string, name: string): string {
  return `    location = ${quoted(`${prefix}${name}`)} {
        alias ${quoted(`${root}/${name}`)};
        disable_symlinks on ${quoted(`from=${root}`)};
        etag off;
        if_modified_since off;
        error_page 403 404 = @mirrorlatch;
        add_header Cache-Control no-cache;
    }
`;
}

function withSlash(content: string): string {
  return `    location = ${quoted(content.slice(0, -1))} {
        return 301 ${quoted(content)};
    }
`;
}

function snapshotLocations(prefix: string, snapshots: string): string {
  return `    location ^~ ${quoted(`${prefix}snapshots/`)} {
        if ($uri ~ "^${patternOf(`${prefix}snapshots/`)}([^/]+)/") {
            set $mirrorlatch_current "${plain(snapshots)}/$1";
            set $mirrorlatch_content "${plain(prefix)}snapshots/$1";
        }
        # For what may change, nginx's own ETag, time and size, is not enough: mirrorlatch is asked.
        set $mirrorlatch_unchanging ${quoted(snapshots)};
        if ($mirrorlatch_caching = no-cache) {
            set $mirrorlatch_unchanging /dev/null;
        }
        alias $mirrorlatch_unchanging/;
        disable_symlinks on from=$mirrorlatch_unchanging;
        index index.html index.json;
        autoindex on;
        gzip off;
        error_page 403 404 = @mirrorlatch;
        add_header Cache-Control $mirrorlatch_caching;
    }
    location = ${quoted(`${prefix}snapshots/`)} {
        proxy_pass http://mirrorlatch;
    }
`;
}

/** A regular expression for a text. */
function patternOf(text: string): string {
  return plain(text).replaceAll(/[.+*?^()|[\]{}]/g, '\\$&');
}

function plain(text: string): string {
  return quoted(text).slice(1, -1);
}

/** Within nginx's quotes, variables are replaced, and nothing keeps it from that. */
function quoted(text: string): string {
  return quotedFor('nginx', /["\\$\n]/, text);
}
