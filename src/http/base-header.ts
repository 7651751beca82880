/** The header by which a server says where the URLs of a mirror begin: pins, snapshots, `current.json`. */
export const BASE_HEADER = 'x-mirrorlatch-base';
