/**
 * PATH as the caller set it, for commands that the caller names. The launcher takes relative elements out of our own,
 * so that no program of ours is that of the mirror in which we stand, and for `lock` and `watch` passes on the original.
 */
export const callersPath = process.env['ml_path'] ?? process.env['PATH'];

delete process.env['ml_path'];
