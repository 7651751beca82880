/**
 * Variables that let git ask a proxy for what lies below URLs, whatever its files say: the longest URL wins
 * (git-config(1), GIT_CONFIG_COUNT and http.<url>.*). Pure.
 */
export function gitVariables(
  urls: readonly URL[],
  proxy: string,
  env: Readonly<NodeJS.ProcessEnv>,
): Record<string, string> {
  const first = Number(env['GIT_CONFIG_COUNT'] || 0);
  return Object.fromEntries([
    ['GIT_CONFIG_COUNT', String(first + urls.length)],
    ...urls.flatMap((url, at) => [
      [`GIT_CONFIG_KEY_${first + at}`, `http.${url.href}.proxy`],
      [`GIT_CONFIG_VALUE_${first + at}`, `${proxy}/`],
    ]),
  ]);
}
