/** Whether a word is no path, but where clients find a mirror by HTTP. */
export function isWebUrl(word: string): boolean {
  return /^https?:\/\//i.test(word);
}
