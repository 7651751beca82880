/**
 * Below it, nginx in front asks for what it sends itself: an answer names the file and has no body. It is a place of its
 * own, not a header, so that no cache between keeps such an answer for a client that asks for the file.
 */
export const FOR_NGINX = '/-/nginx';

/** Where nginx sends what is named; no client can ask for it. */
export const SENT_BY_NGINX = '/-/sent/';
