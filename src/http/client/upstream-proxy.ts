/**
 * Which proxy of the caller's a request goes through: the rules of curl and wget, which most clients follow
 * (curl(1), ENVIRONMENT). Pure.
 */

export interface UpstreamProxies {
  readonly http: string | undefined;
  /** Also for what a client tunnels. */
  readonly https: string | undefined;
  /** What names these, in words: for messages. */
  readonly httpFrom?: string | undefined;
  readonly httpsFrom?: string | undefined;
  /** Hosts that are reached without a proxy, as in the variable no_proxy. */
  readonly except: string;
}

/** What the caller's environment says. */
export function proxiesOf(env: Readonly<NodeJS.ProcessEnv>): UpstreamProxies {
  const setIn = (...names: string[]) => names.find((name) => env[name]) ?? '';
  const http = setIn('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY');
  const https = setIn('https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY');
  return {
    http: env[http],
    https: env[https],
    httpFrom: http && `the variable ${http}`,
    httpsFrom: https && `the variable ${https}`,
    except: env[setIn('no_proxy', 'NO_PROXY')] ?? '',
  };
}

/** Whether a host is one of those that are reached without a proxy. */
export function isExcepted(except: string, { hostname, port, protocol }: URL): boolean {
  const host = hostname.replace(/^\[|\]$|\.$/g, '').toLowerCase();
  return except
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true;
      const [, name = '', wanted] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
      if (wanted !== undefined && wanted !== (port || (protocol === 'https:' ? '443' : '80')))
        return false;
      const plain = name.replace(/^\*?\./, '').replace(/\.$/, '');
      return host === plain || host.endsWith(`.${plain}`);
    });
}
