/** The header by which a server says where the URLs of a mirror begin: pins, snapshots, `current.json`. */
export const BASE_HEADER = 'x-mirrorlatch-base';

/** The header by which it says that what was asked for is read by a channel of that mirror, and by which. */
export const CHANNEL_HEADER = 'x-mirrorlatch-channel';
